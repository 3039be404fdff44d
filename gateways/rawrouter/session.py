"""One client connection of the rawrouter, and its connection to a backend.

A session lives in the lane and is driven by function calls: ``ready`` for what the client does,
``backend_ready`` for what the backend does. Its backend is looked for as soon as it begins, for in
many protocols the server speaks first. Then a ``Relay`` carries the bytes.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import logging
import math
import select
import socket
import struct
import termios
from typing import TYPE_CHECKING, Protocol

from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.target import Asked
from uwgate.gateways.flow import Flow, Stream
from uwgate.gateways.rawrouter import xclient
from uwgate.gateways.rawrouter.backend import Backend
from uwgate.gateways.rawrouter.caller import Caller
from uwgate.gateways.rawrouter.relay import Relay
from uwgate.gateways.rawrouter.spliced import SplicedFlow
from uwgate.gateways.rawrouter.states import State
from uwgate.gateways.wire import proxy_protocol

if TYPE_CHECKING:
    from uwgate.gateways.rawrouter.process import RawGateway

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing tells the peer that something is missing
RECEIVE_SIZE = 4096  # bytes asked for while a greeting is awaited
# Seconds in which a peer may get what was sent to it, before a reset makes the kernel forget that.
LINGER_TIME = 1.0
_queued = array.array("i", [0])  # what TIOCOUTQ answers (tcp(7))


class Client(Stream, Protocol):
    """What is used of a client's connection; TLS or not."""

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...

    def close(self) -> None: ...


class Session:
    """See the module. ``key`` is what its backend is looked up by.

    ``deadline`` (trio's clock) is watched by the gateway, which calls ``expire``.
    """

    __slots__ = (
        "_backend",
        "_greeting",
        "_has_answered",
        "_relay",
        "_until",
        "caller",
        "deadline",
        "gateway",
        "key",
        "sock",
        "state",
    )

    sock: Client

    def __init__(self, gateway: RawGateway, sock: socket.socket, caller: Caller, key: str) -> None:
        self.gateway = gateway
        self.sock = sock
        self.caller = caller
        self.key = key
        self.state = State.CHOICE
        self._until = gateway.now + (gateway.lifetime or math.inf)
        self.deadline = min(gateway.now + gateway.timeout, self._until)
        self._backend: Backend | None = None
        self._relay: Relay | None = None  # when both are connected
        self._has_answered = False  # the backend has sent something
        self._greeting = b""

    @property
    def name(self) -> str:
        """Whose connection it is, for the log."""
        return f"{self.caller} for {ascii(self.key)[1:-1]}"

    @property
    def is_closed(self) -> bool:
        """Nobody waits for a backend any more."""
        return self.state is State.CLOSED

    def begin(self) -> None:
        """The client is here."""
        self.search()

    # The backend

    def search(self) -> None:
        """Look for a backend."""
        gateway = self.gateway
        client = self.caller.host.encode("ascii")
        attempts = gateway.corerouter.attempts(Asked(self.key, client=client, affinity=client))
        self._backend = backend = Backend(self, attempts)
        backend.begin()

    def await_choice(self) -> None:
        """A backend is looked for by a task, which takes no longer than it may."""
        self.state = State.CHOICE
        self.deadline = math.inf
        self.watch()

    def await_connection(self) -> None:
        """A backend is asked for a connection."""
        self.state = State.CONNECT
        gateway = self.gateway
        self.deadline = gateway.now + gateway.corerouter.options.connect_timeout
        self.watch()

    def unserved(self) -> None:
        """Nobody takes the connection."""
        assert self._backend is not None
        outcome = self._backend.attempts.outcome or Outcome.NOBODY
        self.gateway.counters.refuse(
            "no-backend",
            "%s: no backend: %s",
            self.name,
            outcome.value,
            level=logging.WARNING,
        )
        self.turn_away(outcome)

    def refuse(self, last_words: bytes) -> None:
        """End the connection such that the client can read these, or what it was sent before."""
        self._end_backend()
        self.state = State.REFUSED
        self.deadline = self.gateway.now + LINGER_TIME
        with contextlib.suppress(OSError):
            if last_words:
                self._socket.send(last_words)
            self._socket.shutdown(socket.SHUT_WR)
        self.watch()
        self._throw_away()

    def _throw_away(self) -> None:
        """Closing while there is something to read would be a reset, which overtakes our words."""
        try:
            while self._socket.recv(RECEIVE_SIZE):
                pass
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    def turn_away(self, outcome: Outcome) -> None:
        """Nobody serves the client: end its connection, in a way that it understands."""
        self.close()

    def connected(self, sock: socket.socket) -> None:
        """There is a backend."""
        gateway = self.gateway
        self.watch()
        first = self.first_bytes()
        if gateway.asks_for_greeting and self.caller.is_ip:
            if first:
                sock.send(first)  # it fits: nothing was sent before
            self.state = State.BANNER
            self._touch()
            gateway.lane.again(self.backend)
            return
        self._carry(sock, first)

    def watch(self) -> None:
        """Have the lane tell what the client does; again is the same as once."""
        lane = self.gateway.lane
        fd = self.sock.fileno()
        if not lane.watches(fd, self):
            lane.add(fd, self, writable=True)

    def first_bytes(self) -> bytes:
        """What the backend gets before anything else."""
        return self._proxy_header()

    def _proxy_header(self) -> bytes:
        version = self.gateway.options.backend_proxy_protocol
        if not version:
            return b""
        source, destination = self._endpoints()
        if version == 1:
            return proxy_protocol.encode_v1(source, destination)
        return proxy_protocol.encode_v2(
            proxy_protocol.ProxyHeader(source=source, destination=destination, tlvs=self.tlvs())
        )

    def _endpoints(self) -> tuple[proxy_protocol.Endpoint | None, proxy_protocol.Endpoint | None]:
        """Who the client is, and where it came in; None for a local one."""
        own = Caller.of(self._socket.getsockname())
        if not self.caller.is_ip or not own.is_ip:
            return None, None
        return (self.caller.host, self.caller.port), (own.host, own.port)

    @property
    def _socket(self) -> socket.socket:
        """The client's socket, beneath all layers."""
        assert isinstance(self.sock, socket.socket)
        return self.sock

    def tlvs(self) -> tuple[tuple[int, bytes], ...]:
        """What a PROXY header of version 2 says besides the addresses."""
        return ()

    def backend_ready(self, mask: int) -> None:
        """The backend has done something; see ``lane.Member``."""
        if self._relay is not None:
            self._relay.backend_ready(mask)
        elif self.state is State.BANNER:
            self._receive_greeting()

    def _receive_greeting(self) -> None:
        """Take the backend's first line, and answer it with who the client is."""
        backend = self._backend
        assert backend is not None
        assert backend.sock is not None
        sock = backend.sock
        while True:
            try:
                data = sock.recv(RECEIVE_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._break_off("no-greeting", "closed without a greeting")
                return
            self._greeting += data
            self.answered(good=True)
            try:
                rest = xclient.after_greeting(self._greeting)
            except xclient.GreetingError as error:
                self._break_off("no-greeting", str(error))
                return
            if rest is not None:
                self._greeting = b""
                self._carry(sock, xclient.command(self.caller), rest)
                return

    def answered(self, *, good: bool) -> None:
        """Tell the corerouter, once, what it can know of the backend: whether it speaks."""
        backend = self._backend
        if not self._has_answered and backend is not None:
            self._has_answered = True
            backend.attempts.answered(self.gateway.clock(), good=good)

    # Bytes

    def _carry(self, sock: socket.socket, up: bytes, down: bytes = b"") -> None:
        """Carry bytes from now on; first ``up`` to the backend and ``down`` to the client."""
        self.state = State.RELAY
        self._touch()
        self._relay = Relay(
            self, self.make_flow(self.sock, sock, up), self.make_flow(sock, self.sock, down)
        )
        self._relay.begin()

    def make_flow(self, source: Stream, sink: Stream, pending: bytes) -> Flow:
        """One direction."""
        gateway = self.gateway
        return SplicedFlow(source, sink, gateway.buffer, gateway.pipes, pending)

    def ready(self, mask: int) -> None:
        """The client has done something; see ``lane.Member``."""
        state = self.state
        if self._relay is not None:
            self._relay.client_ready(mask)
        elif state is State.REFUSED:
            self._throw_away()
        elif state is not State.CLOSED and mask & select.EPOLLERR:
            self.gateway.counters.refuse("client-gone", "%s: gone while it waited", self.name)
            self.close()

    # For the relay

    @property
    def backend(self) -> Backend:
        """It is there while bytes are carried."""
        assert self._backend is not None
        return self._backend

    @property
    def lingers(self) -> bool:
        """Bytes are no longer carried."""
        return self.state is State.LINGER

    def moved(self) -> None:
        """Bytes have come or gone: the idle time begins anew."""
        if self.state is State.RELAY:
            self._touch()

    def linger(self, *, at_backend: bool) -> None:
        """Reset everything, as soon as that peer has got what was sent to it."""
        sock = self.backend.sock if at_backend else self._socket
        if sock is None or not _unacknowledged(sock):
            self.reset()
            return
        self.state = State.LINGER
        self.deadline = self.gateway.now + LINGER_TIME

    def _touch(self) -> None:
        self.deadline = min(self.gateway.now + self.gateway.timeout, self._until)

    # The end

    def _break_off(self, name: str, reason: str) -> None:
        """The backend does not do what was expected of it."""
        backend = self._backend
        target = backend.attempts.target if backend is not None else None
        self.answered(good=False)
        self.gateway.counters.refuse(
            name,
            "%s: %s: %s",
            self.name,
            target.name if target is not None else "backend",
            reason,
            level=logging.WARNING,
        )
        self.reset()

    def expire(self) -> None:
        """The deadline is over."""
        state = self.state
        if state is State.CONNECT and self._backend is not None:
            self._backend.expire()
        elif state is State.BANNER:
            self._break_off("no-greeting", "no greeting in time")
        elif state is State.LINGER:
            self.reset()
        elif self._relay is not None and self._relay.is_stuck:
            self.gateway.counters.refuse(
                "stalled", "%s: cut off with bytes on their way, which nobody takes", self.name
            )
            self.reset()
        else:
            self.close()

    def reset(self) -> None:
        """Close both connections so that both peers see that something is missing."""
        if self.state is State.CLOSED:
            return
        backend = self._backend
        for sock in (self.sock, backend.sock if backend is not None else None):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def close(self) -> None:
        """Close both connections; the lane forgets them."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._end_backend()
        self.gateway.lane.forget(self.sock.fileno())
        self.sock.close()
        self.gateway.forget(self)

    def _end_backend(self) -> None:
        backend, relay = self._backend, self._relay
        came = went = 0
        if relay is not None:
            relay.close()
            came, went = relay.down.came, relay.up.went
        if backend is not None:
            backend.close(tx=came, rx=went)
        self._backend = self._relay = None  # circles


def _unacknowledged(sock: socket.socket) -> int:
    """How many bytes the peer's kernel has not got yet."""
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _queued)
    except OSError:
        return 0
    return _queued[0]
