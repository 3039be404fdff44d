"""One client connection of the rawrouter, and its connection to a backend.

A session lives in the lane and is driven by function calls: ``ready`` for what the client does,
``backend_ready`` for what the backend does. Its backend is looked for as soon as it begins, for in
many protocols the server speaks first.

What ends: an end of file goes on to the other side, and both directions end by themselves. A
connection that broke breaks the other one (reset), behind what came before; so nobody
takes a part for the whole.
"""

from __future__ import annotations

import array
import contextlib
import errno
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
from uwgate.gateways.flow import Broken, Flow, Stream
from uwgate.gateways.rawrouter import xclient
from uwgate.gateways.rawrouter.backend import Backend
from uwgate.gateways.rawrouter.caller import Caller
from uwgate.gateways.rawrouter.spliced import SplicedFlow
from uwgate.gateways.rawrouter.states import RELAYING, State
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
        "_cut",
        "_down",
        "_down_again",
        "_greeting",
        "_has_answered",
        "_moved",
        "_until",
        "_up",
        "_up_again",
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
        self._up: Flow | None = None  # from the client to the backend
        self._down: Flow | None = None  # and back
        self._up_again = False  # the lane calls us again for that
        self._down_again = False
        self._cut: Flow | None = None  # what is left to go on when the other direction broke
        self._moved = 0  # bytes that came and went until the last look
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
            self._queue_down()
            return
        self._relay(sock, first)

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
        state = self.state
        if not mask:
            self._down_again = False
        if state in RELAYING:
            self._pump(mask, self._down, self._up, wait=self._down_again)
        elif state is State.BANNER:
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
            self._answered(good=True)
            try:
                rest = xclient.after_greeting(self._greeting)
            except xclient.GreetingError as error:
                self._break_off("no-greeting", str(error))
                return
            if rest is not None:
                self._greeting = b""
                self._relay(sock, xclient.command(self.caller), rest)
                return

    def _answered(self, *, good: bool) -> None:
        """Tell the corerouter, once, what it can know of the backend: whether it speaks."""
        backend = self._backend
        if not self._has_answered and backend is not None:
            self._has_answered = True
            backend.attempts.answered(self.gateway.clock(), good=good)

    # Bytes

    def _relay(self, sock: socket.socket, up: bytes, down: bytes = b"") -> None:
        """Carry bytes from now on; first ``up`` to the backend and ``down`` to the client."""
        self.state = State.RELAY
        self._up = self.make_flow(self.sock, sock, up)
        self._down = self.make_flow(sock, self.sock, down)
        self._touch()
        # What is there already has been told by events that meant something else.
        self._queue_up()
        self._queue_down()

    def make_flow(self, source: Stream, sink: Stream, pending: bytes) -> Flow:
        """One direction."""
        gateway = self.gateway
        return SplicedFlow(source, sink, gateway.buffer, gateway.pipes, pending)

    def ready(self, mask: int) -> None:
        """The client has done something; see ``lane.Member``."""
        state = self.state
        if not mask:
            self._up_again = False
        if state in RELAYING:
            self._pump(mask, self._up, self._down, wait=self._up_again)
        elif state is State.REFUSED:
            self._throw_away()
        elif state is not State.CLOSED and mask & select.EPOLLERR:
            self.gateway.counters.refuse("client-gone", "%s: gone while it waited", self.name)
            self.close()

    def _pump(self, mask: int, came: Flow | None, goes: Flow | None, *, wait: bool) -> None:
        """A peer has done something: ``came`` is read from it, ``goes`` is sent to it.

        ``wait``: it is read soon anyway, when it is its turn again.
        """
        assert came is not None
        assert goes is not None
        if goes.is_blocked and self._goes_on(goes) and goes.pump():
            self._again(goes)
        if came.is_blocked:
            if mask & select.EPOLLERR and came is self._up:
                came.broken = Broken.SOURCE  # or nobody would notice while the backend stalls
        elif not wait and self._goes_on(came) and came.pump():
            self._again(came)
        self._look()

    def _goes_on(self, flow: Flow) -> bool:
        if self.state is State.LINGER:
            return False
        return self._cut is None or flow is self._cut

    def _again(self, flow: Flow) -> None:
        if flow is self._up:
            self._queue_up()
        else:
            self._queue_down()

    def _queue_up(self) -> None:
        if not self._up_again:
            self._up_again = True
            self.gateway.lane.again(self)

    def _queue_down(self) -> None:
        if not self._down_again:
            self._down_again = True
            assert self._backend is not None
            self.gateway.lane.again(self._backend)

    def _look(self) -> None:
        """See what has become of both directions."""
        up, down = self._up, self._down
        assert up is not None
        assert down is not None
        moved = up.came + up.went + down.came + down.went
        if moved != self._moved:
            self._moved = moved
            if self.state is State.RELAY:
                self._touch()
            if down.came:
                self._answered(good=True)
        cut = self._cut
        if cut is not None:
            if cut.broken is not None or cut.is_done:
                self._linger(cut)
        elif up.broken is not None or down.broken is not None:
            self._mourn(up, down)
        elif up.is_done and down.is_done:
            self.close()

    def _touch(self) -> None:
        """Somebody does something: the idle time begins anew."""
        self.deadline = min(self.gateway.now + self.gateway.timeout, self._until)

    # The end

    def _mourn(self, up: Flow, down: Flow) -> None:
        """A direction broke.

        Where it was the sink that broke off, what that has said before still goes the other
        way; then the other side is told as well.
        """
        if down.broken is Broken.SOURCE:
            self._answered(good=False)
        broken, other = (up, down) if up.broken is not None else (down, up)
        if broken.broken is Broken.SOURCE or other.broken is not None:
            self._linger(broken)
            return
        # EPIPE: it had sent its end of file before it broke off. ECONNRESET: it had not (tcp(7)).
        other.ends_badly = broken.code != errno.EPIPE
        self._cut = other
        if isinstance(broken, SplicedFlow):
            broken.close()
        self._again(other)

    def _linger(self, flow: Flow) -> None:
        """Nothing goes on: reset, as soon as what went to the sink of ``flow`` has arrived."""
        if self.state is State.LINGER:
            return
        backend = self._backend
        assert backend is not None
        sock = backend.sock if flow is self._up else self._socket
        if sock is None or not _unacknowledged(sock):
            self.reset()
            return
        self.state = State.LINGER
        self._cut = flow
        self.deadline = self.gateway.now + LINGER_TIME

    def _break_off(self, name: str, reason: str) -> None:
        """The backend does not do what was expected of it."""
        backend = self._backend
        target = backend.attempts.target if backend is not None else None
        self._answered(good=False)
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
        elif state is State.LINGER or self._is_stuck:
            self.reset()
        else:
            self.close()

    @property
    def _is_stuck(self) -> bool:
        """Whether closing would lose something."""
        return any(flow is not None and flow.is_blocked for flow in (self._up, self._down))

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
        backend, up, down = self._backend, self._up, self._down
        for flow in (up, down):
            if isinstance(flow, SplicedFlow):
                flow.close()
        if backend is not None:
            backend.close(
                tx=down.came if down is not None else 0, rx=up.went if up is not None else 0
            )
        self._backend = self._up = self._down = self._cut = None  # circles


def _unacknowledged(sock: socket.socket) -> int:
    """How many bytes the peer's kernel has not got yet."""
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, _queued)
    except OSError:
        return 0
    return _queued[0]
