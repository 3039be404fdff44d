"""How datagrams get to a subscription server.

A host name may stand for several servers: all of them are told. What goes wrong is logged when
it begins and when it ends; nothing here fails for good, and nothing waits for ever.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import socket
import struct
from collections.abc import Iterable, Sequence

import trio

from uwgate.conf.address import Address, AddressKind

log = logging.getLogger("uwgate.announce")

RESOLVE_LIMIT = 2.0  # seconds that a name server may take
RESOLVE_PERIOD = 30.0  # seconds after which a name is looked up again
MAX_ADDRESSES = 16  # of one name
CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid

SocketAddress = str | tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
Where = tuple[int, SocketAddress]  # family and address


class Line:
    """The way to one socket address. ``name`` is for the log."""

    def __init__(self, name: str, where: Where, credentials: tuple[int, int]) -> None:
        self._name = name
        self._family, self._address = where
        self._ancillary: list[tuple[int, int, bytes]] = []
        if self._family == socket.AF_UNIX:
            # The master may have more power than what it speaks for; uWSGI's has not.
            packed = CREDENTIALS.pack(os.getpid(), *credentials)
            self._ancillary = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, packed)]
        self._socket: socket.socket | None = None
        self._trouble = ""  # of this round
        self._known_trouble = ""  # that the log has

    def begin(self) -> None:
        """Open a socket for a round of datagrams: what moved or restarted is found again.

        The last one was kept, since a host answers later that nobody listens there (udp(7)).
        """
        self._trouble = self._pending_error()
        self.close()
        try:
            self._socket = self._open()
        except OSError as error:
            self._fail(error)

    async def send(self, datagram: bytes) -> None:
        """Send one datagram; waits while the queue of a UNIX server is full."""
        while self._socket is not None:
            try:
                self._socket.sendmsg([datagram], self._ancillary)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            except OSError as error:
                # An error that a datagram before this one has caused is reported here.
                self._fail(error)
                return
            else:
                return

    def finish(self, *, in_time: bool) -> None:
        """The round is over: log what has changed."""
        if not in_time:
            self._trouble = "its queue is full"
        if self._trouble and self._trouble != self._known_trouble:
            log.warning("subscription server %s: %s", self._name, self._trouble)
        elif self._known_trouble and not self._trouble:
            log.info("subscription server %s takes announcements again", self._name)
        self._known_trouble = self._trouble

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if self._family == socket.AF_INET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.connect(self._address)
        except BaseException:
            sock.close()
            raise
        return sock

    def _pending_error(self) -> str:
        if self._socket is None:
            return ""
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return os.strerror(number) if number else ""

    def _fail(self, error: OSError) -> None:
        self._trouble = error.strerror or str(error)


class Server:
    """A subscription server as the options name it.

    ``credentials`` are the user and group that a UNIX server is told.
    """

    def __init__(self, address: Address, credentials: tuple[int, int]) -> None:
        self.credentials = credentials
        self._address = address
        self._lines: dict[Where, Line] = {}
        self._resolve_at = -math.inf
        self._trouble = ""

    async def send(self, datagrams: Iterable[bytes], *, limit: float) -> None:
        """Send everything, in at most ``limit`` seconds; what is left then is not sent.

        Nothing is taken from ``datagrams`` before it can be sent.
        """
        with trio.move_on_after(limit) as scope:
            await self._resolve()
            for line in self._lines.values():
                line.begin()
            if not self._lines:
                return
            for datagram in datagrams:
                for line in self._lines.values():
                    await line.send(datagram)
                await trio.lowlevel.checkpoint()  # many signatures take their time
        for line in self._lines.values():
            line.finish(in_time=not scope.cancelled_caught)

    def close(self) -> None:
        """Give all sockets back."""
        for line in self._lines.values():
            line.close()

    async def _resolve(self) -> None:
        """Find out the socket addresses, if it is time to; old ones stay if that fails."""
        if trio.current_time() < self._resolve_at:
            return
        try:
            with trio.fail_after(RESOLVE_LIMIT):
                found = await self._look_up()
        # UnicodeError: a part of the name is too long.
        except (OSError, UnicodeError, trio.TooSlowError) as error:
            trouble = str(error) or f"no answer in {RESOLVE_LIMIT:g} s"
            if trouble != self._trouble:
                log.warning("subscription server %s: %s", self._address, trouble)
            self._trouble = trouble
            return
        if self._trouble:
            log.info("subscription server %s is found again", self._address)
            self._trouble = ""
        self._resolve_at = trio.current_time() + RESOLVE_PERIOD
        for where in self._lines.keys() - set(found):
            self._lines.pop(where).close()
        for where in found:
            if where not in self._lines:
                self._lines[where] = Line(self._name_of(where), where, self.credentials)

    async def _look_up(self) -> Sequence[Where]:
        match self._address.kind:
            case AddressKind.UNIX:
                return [(socket.AF_UNIX, self._address.path)]
            case AddressKind.ABSTRACT:
                return [(socket.AF_UNIX, "\0" + self._address.path)]
            case _:
                return await self._look_up_host(self._address.host or "127.0.0.1")

    async def _look_up_host(self, host: str) -> Sequence[Where]:
        find = trio.socket.getaddrinfo  # in a thread, unless it is a number
        found = await find(host, self._address.port, type=socket.SOCK_DGRAM)
        addresses = list(dict.fromkeys((int(one[0]), one[4]) for one in found))
        # As for listening sockets: a name with both kinds of addresses means IPv4.
        first = min((family for family, _ in addresses), key=lambda one: one != socket.AF_INET)
        return [one for one in addresses if one[0] == first][:MAX_ADDRESSES]

    def _name_of(self, where: Where) -> str:
        name = str(self._address)
        try:
            ipaddress.ip_address(self._address.host)
        except ValueError:
            if self._address.host:
                return f"{name} ({where[1][0]})"
        return name
