"""A listening socket in the lane: accepts, but not while that cannot be done.

One connection is taken each time that the lane tells of it. It tells again, with the events of all
others in between, until nobody waits: to try once more is to fail once for every client. Only
where connections are brief, and several wait most of the time, a few are taken in a row.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import socket
from collections.abc import Callable
from typing import Final, Protocol

import trio

from uwgate.conf.start import Listener
from uwgate.gateways.baresocket import BareSocket
from uwgate.gateways.lane import Lane

log = logging.getLogger("uwgate.gateway")

EXHAUSTED_PAUSE = 0.1  # seconds without accepting when descriptors or memory have run out
STREAM: Final = int(socket.SOCK_STREAM)
IN_A_ROW: Final = 4  # brief connections that are accepted at a time, when
CROWD: Final = 4  # times in a row somebody has waited who was not looked for
RESERVED_DESCRIPTORS: Final = 64  # for everything that is not a client
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

# Takes an accepted connection and its address as ``accept`` has it.
Receive = Callable[[socket.socket, object], None]


def connection_limit(wanted: int, descriptors: int, *, reserved: int = 0) -> int:
    """How many clients a process may have: ``wanted`` (0: any number), but no more than possible.

    ``descriptors`` is what each of them may take, ``reserved`` what all may take together.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = max(1, (soft - RESERVED_DESCRIPTORS - reserved) // descriptors)
    return min(wanted or possible, possible)


class House(Protocol):
    """The gateway that a door leads into."""

    lane: Lane
    nursery: trio.Nursery

    @property
    def is_full(self) -> bool:
        """No more connections may come in for now."""
        ...


class Door:
    """One listening socket. ``receive`` gets every connection. Closed at first.

    ``brief``: connections come and go with each request. They are handed on as the kernel makes
    them, blocking: MSG_DONTWAIT says the same as ``setblocking``, and is no system call.
    """

    def __init__(
        self, house: House, listener: Listener, receive: Receive, *, brief: bool = False
    ) -> None:
        self._house = house
        self._name = listener.name
        self._receive = receive
        self._brief = brief
        self._row = 1  # how many are accepted at a time
        self._came = 0  # events in a row at which all of them were there
        self._sock = socket.socket(fileno=os.dup(listener.fd))
        # What ``socket.accept`` is made of, without its enums: connections are made of it below.
        self._accept: Callable[[], tuple[int, object]] = self._sock._accept  # type: ignore[attr-defined]
        self._family = int(self._sock.family)
        self._is_open = False  # whether there is to be accepted
        self._full = False
        with contextlib.suppress(OSError):  # a UNIX socket has no such option
            # Accepted sockets inherit it.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def open(self) -> None:
        """Accept from now on."""
        if not self._is_open:
            self._is_open = True
            self._watch()

    def shut(self) -> None:
        """Do not accept until ``open``; who connects waits in the kernel."""
        self._is_open = False
        self._house.lane.remove(self._sock.fileno())

    def close(self) -> None:
        """Accept no more."""
        if self._sock.fileno() >= 0:
            self.shut()
            self._sock.close()

    def ready(self, mask: int) -> None:
        """Somebody waits; see ``lane.Member``."""
        for number in range(self._row):
            if not self._is_open or not self._let_in():
                self._came = 0
                if number < 2:  # there was no row
                    self._row = 1
                return
        self._came += 1
        if self._brief and self._came >= CROWD:
            self._row = IN_A_ROW

    def _let_in(self) -> bool:
        """Accept one connection; False: that cannot be done now."""
        if self._house.is_full:
            if not self._full:
                log.error("%s: connection limit reached, others have to wait", self._name)
            self._full = True
            self._pause()
            return False
        self._full = False
        try:
            fd, address = self._accept()
            client = BareSocket(self._family, STREAM, 0, fd)
            if not self._brief:
                client.setblocking(False)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in EXHAUSTED:
                log.error("%s: cannot accept: %s", self._name, error.strerror)
                self._pause()
            return False  # else that client is gone already (accept(2), "Error handling")
        self._receive(client, address)
        return True

    def _watch(self) -> None:
        lane = self._house.lane
        fd = self._sock.fileno()
        if not lane.watches(fd, self):
            lane.add(fd, self, level=True)

    def _pause(self) -> None:
        self._house.lane.remove(self._sock.fileno())
        self._house.nursery.start_soon(self._reopen)

    async def _reopen(self) -> None:
        await trio.sleep(EXHAUSTED_PAUSE)
        if self._is_open:
            self._watch()
