"""One client connection of the fastrouter: a uwsgi packet, and the backend that gets it.

A session lives in the lane and is driven by function calls: ``ready`` for what the client does,
``backend_ready`` for what the backend does. Only where something has to be waited for in another
way (a Python function that chooses, a host name, a full accept queue) there is a task for as long
(backend.py).

The common request is one packet, sent to a backend that answers in one piece and closes. What
takes more gets a relay (relay.py).
"""

from __future__ import annotations

import contextlib
import logging
import math
import select
import socket
import struct
from typing import TYPE_CHECKING

from uwgate.gateways.fastrouter.backend import Backend
from uwgate.gateways.fastrouter.body import Body
from uwgate.gateways.fastrouter.head import Head
from uwgate.gateways.fastrouter.relay import Relay
from uwgate.gateways.fastrouter.states import (
    ANSWER,
    BODY,
    CHOICE,
    CLOSED,
    CONNECT,
    HEAD,
    LINGER,
    RELAY,
)
from uwgate.gateways.lane import ENDED, GONE
from uwgate.gateways.pages import error_page
from uwgate.gateways.wire.uwsgi import PacketError

if TYPE_CHECKING:
    from uwgate.gateways.fastrouter.process import Fastrouter

log = logging.getLogger("uwgate.fastrouter")

REFUSED = "%s: %d: %s"  # whose request, status, reason
HEADER_SIZE = 4  # bytes
RECEIVE_SIZE = 16384  # bytes asked for while a packet is awaited
ANSWER_SIZE = 65536  # and when an answer begins
LINGER_TIME = 10.0  # seconds that a client has to notice that nobody wants the rest of its body
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing tells the peer that something is missing
# Of a worker that cannot serve; where they stand in "HTTP/1.1 503".
BAD_STATUS = frozenset((b"502", b"503", b"504"))
STATUS = slice(9, 12)


class Session:
    """See the module.

    ``deadline`` (trio's clock) is watched by the gateway, which calls ``expire``. ``missing`` is
    how many bytes of the body had not come when the relay began, None: that is not known.
    """

    __slots__ = (
        "_body",
        "_data",
        "_head",
        "_is_watched",
        "_relay",
        "_rx",
        "_tx",
        "backend",
        "deadline",
        "gateway",
        "missing",
        "sock",
        "state",
    )

    def __init__(self, gateway: Fastrouter, sock: socket.socket) -> None:
        self.gateway = gateway
        self.sock = sock
        self.state = HEAD
        self.deadline = gateway.now + gateway.timeout
        self._is_watched = False  # the client, in the lane; not before that is needed
        self._data = b""  # the packet, and what came behind it, until somebody has it
        self._head: Head | None = None
        self.missing: int | None = 0
        self._body: Body | None = None
        self.backend: Backend | None = None
        self._relay: Relay | None = None  # where more is needed than a packet and an answer
        self._rx = 0  # bytes that the backend got before there was a relay
        self._tx = 0  # and that came from it

    @property
    def name(self) -> str:
        """Whose request it is, for the log."""
        if self._head is None:
            return "a client"
        asked = self._head.asked
        client = asked.client.decode("ascii", "replace")  # which may be anything
        return f"{client if client.isprintable() else '?'} for {asked.key or '-'}"

    @property
    def is_idle(self) -> bool:
        """Whether the client has said nothing yet."""
        return self.state is HEAD and not self._data

    @property
    def is_closed(self) -> bool:
        """Nobody waits for the backend any more."""
        return self.state is CLOSED

    # The client

    def ready(self, mask: int) -> None:
        """The client has done something; see ``lane.Member``."""
        state = self.state
        if state is HEAD:
            self._receive_head(mask)
        elif state is CLOSED:
            return
        elif mask & GONE and self._is_gone(mask):
            self.gateway.counters.refuse(
                "client-gone", "%s: client gone, request given up", self.name
            )
            self.close()
        elif state is BODY:
            self._receive_body()
        elif state in (ANSWER, RELAY, LINGER):
            if self._relay is None:
                assert self.backend is not None
                self._relay = Relay(self, self.backend.sock)
            self._relay.client_ready()

    def _is_gone(self, mask: int) -> bool:
        """A client that has only sent its end of file still wants the answer."""
        if mask & select.EPOLLERR:
            return True
        if self.state is LINGER:
            return False
        # Our own end of file makes the other half of a hang-up.
        return self._relay is None or not self._relay.is_answered

    def watch(self) -> None:
        """Have the lane tell what the client does; what it has done already counts."""
        if not self._is_watched and self.state is not CLOSED:
            self._is_watched = True
            self.gateway.lane.add(self.sock.fileno(), self)

    def _receive_head(self, mask: int) -> None:
        try:
            data = self.sock.recv(RECEIVE_SIZE)
        except BlockingIOError:
            self.watch()
            return
        except OSError:
            self.close()
            return
        if not data:
            if self._data:
                self.gateway.counters.refuse(
                    "cut-short", "a client closed in the middle of a packet"
                )
            self.close()
            return
        count = len(data)
        if self._data:
            data = self._data + data
        self._data = data
        if len(data) >= HEADER_SIZE:
            end = HEADER_SIZE + data[1] + (data[2] << 8)
            if len(data) >= end:
                self._begin(end)
                return
        if not self._is_watched:
            self.watch()
        elif count == RECEIVE_SIZE or mask & ENDED:
            self.gateway.lane.again(self)

    def _begin(self, end: int) -> None:
        """The packet is complete."""
        gateway = self.gateway
        data = self._data
        try:
            self._head = head = gateway.heads.read(data, end)
        except PacketError as error:
            self.refuse(400, f"malformed packet: {error}", name="malformed-packet")
            return
        self.missing = missing = head.length and head.missing(len(data) - end)
        if not head.asked.key:
            if not gateway.options.fastrouter_fallback_on_no_key:
                self.refuse(400, "no key", name="no-key")
                return
        elif missing and gateway.bodies.memory:
            self._body = Body(gateway.bodies, missing)
            self.state = BODY
            self.deadline = gateway.now + gateway.timeout
            self._receive_body()
            return
        self._choose(head)

    def _receive_body(self) -> None:
        """Take in the body, up to its end or as much as there is room for."""
        body = self._body
        assert body is not None
        gateway = self.gateway
        going_on = True
        moved = False
        while going_on and self.missing:
            try:
                data = self.sock.recv(RECEIVE_SIZE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                gateway.counters.refuse(
                    "cut-short", "%s: closed %d bytes before the end", self.name, self.missing
                )
                self.close()
                return
            moved = True
            self.missing = max(0, self.missing - len(data))
            going_on = body.add(data)
        if moved:
            self.deadline = gateway.now + gateway.timeout
        if going_on and self.missing:
            self.watch()
            return
        body.rewind()
        assert self._head is not None
        self._choose(self._head)

    @property
    def _expects_more(self) -> bool:
        """Whether the client may have something to send."""
        if self._relay is not None:
            return self._relay.expects_more(self.missing)
        return self.missing is None or self.missing > 0

    # The backend

    def _choose(self, head: Head) -> None:
        gateway = self.gateway
        attempts = gateway.corerouter.attempts(head.asked)
        if not head.asked.key:
            attempts.skip_to_fallbacks()
        self.backend = backend = Backend(self, attempts, self._data)
        backend.begin()

    def await_choice(self) -> None:
        """A backend is looked for by a task, which takes no longer than it may."""
        self.state = CHOICE
        self.deadline = math.inf

    def await_connection(self) -> None:
        """A backend is asked for a connection."""
        self.state = CONNECT
        gateway = self.gateway
        self.deadline = gateway.now + gateway.corerouter.options.connect_timeout

    def unserved(self) -> None:
        """Nobody takes the request."""
        backend = self.backend
        assert backend is not None
        outcome = backend.attempts.outcome
        self.refuse(
            503,
            f"no backend: {outcome.value if outcome is not None else 'none'}",
            retry_after=backend.attempts.retry_after(self.gateway.clock()),
        )

    def connected(self, sock: socket.socket, packet: bytes, sent: int) -> None:
        """The backend has got the first ``sent`` bytes of ``packet``."""
        gateway = self.gateway
        self.state = ANSWER
        self.deadline = gateway.now + gateway.timeout
        gateway.lane.expected += 1
        self._rx = sent
        self._data = b""
        if self.missing != 0 or sent < len(packet) or self._body is not None or self._is_watched:
            self._relay = Relay(self, sock, packet[sent:], self._body)
            self.watch()
            self._relay.carry_up()

    def backend_ready(self, mask: int) -> None:
        """The backend has done something."""
        relay = self._relay
        if relay is not None and self.state in (ANSWER, RELAY):
            relay.backend_ready()
        if self.state is ANSWER:
            self._receive_answer(mask)

    def _receive_answer(self, mask: int) -> None:
        """Its first bytes, and most often all of them."""
        gateway = self.gateway
        backend = self.backend
        assert backend is not None
        assert backend.sock is not None
        try:
            data = backend.sock.recv(ANSWER_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(502, f"broke off: {error.strerror}")
            return
        if not data:
            self._fail(502, "closed without an answer")
            return
        gateway.lane.expected -= 1
        self.state = RELAY
        self.deadline = gateway.now + gateway.timeout
        self._tx = count = len(data)
        status = data[STATUS]
        gateway.answers[status[0] if status else 0] += 1
        backend.attempts.answered(gateway.clock(), good=status not in BAD_STATUS)
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # the client is gone
            self.close()
            return
        is_whole = mask & ENDED and count < ANSWER_SIZE
        if is_whole and sent == count and (self.missing == 0 or not self._expects_more):
            self.close()
            return
        if self._relay is None:
            self._relay = Relay(self, backend.sock)
        self.watch()
        self._relay.answer(backend.sock, data[sent:])

    # The end

    def _fail(self, status: int, reason: str) -> None:
        """The backend has got the request, and there is no answer."""
        backend = self.backend
        assert backend is not None
        target = backend.attempts.target
        backend.attempts.answered(self.gateway.clock(), good=False)
        self.refuse(status, f"{target.name if target else 'backend'}: {reason}")

    def expire(self) -> None:
        """The deadline is over."""
        state = self.state
        if self.is_idle or state is LINGER:
            self.close()
        elif state is HEAD:
            hint = ", it looks like HTTP" if self._data.startswith((b"GET ", b"POST ")) else ""
            self.refuse(408, f"timed out waiting for {state.value}{hint}")
        elif state is BODY:
            self.refuse(408, f"timed out waiting for {state.value}")
        elif state is CONNECT:
            assert self.backend is not None
            self.backend.expire()
        elif state is ANSWER:
            relay = self._relay
            if relay is not None and not relay.up.pending and self.missing and self._expects_more:
                self.refuse(408, f"timed out waiting for {BODY.value}")
            else:
                self._fail(504, "timed out")
        elif self._relay is not None and self._relay.is_answered:
            self.close()
        elif state is RELAY:
            self.cut_off("no byte moves any more")

    def refuse(self, status: int, reason: str, *, name: str = "", retry_after: int = 1) -> None:
        """Answer in our own name; ``name`` is what is counted."""
        gateway = self.gateway
        gateway.counters.refuse(
            name or f"answer-{status}",
            REFUSED,
            self.name,
            status,
            reason,
            level=logging.WARNING if status >= 500 else logging.INFO,
        )
        gateway.answers.add(status)
        with contextlib.suppress(OSError):  # nothing was sent before: it fits, or nobody reads it
            self.sock.send(error_page(status, retry_after=retry_after))
        knows_all = self._head is not None and not self._expects_more
        if knows_all:
            self.close()
        else:
            self.linger()

    def linger(self) -> None:
        """Let the client send what nobody wants, until it has read what there is to read.

        To close would reset the connection, and what it has not read yet would be lost.
        """
        self._end_backend()
        self.state = LINGER
        self.deadline = self.gateway.now + LINGER_TIME
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        if self._relay is None:
            self._relay = Relay(self, None)
        self._relay.up.throw_away()
        self.watch()
        self.gateway.lane.again(self)

    def cut_off(self, reason: str) -> None:
        """End an answer that is not complete, so that the client sees that."""
        self.gateway.counters.refuse("cut-off", "%s: %s", self.name, reason)
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def _end_backend(self) -> None:
        backend = self.backend
        if self.state is ANSWER:
            self.gateway.lane.expected -= 1
        if backend is not None:
            tx, rx = self._tx, self._rx
            relay = self._relay
            if relay is not None:
                rx += relay.up.went
                tx += relay.down.came if relay.down is not None else 0
            backend.close(tx=tx, rx=rx)
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        """Close both connections; the lane forgets them."""
        if self.state is CLOSED:
            return
        self._end_backend()
        # They know us: circles would have to be found by the collector.
        self.backend = self._relay = None
        self.state = CLOSED
        if self._is_watched:
            self.gateway.lane.forget(self.sock.fileno())
        self.sock.close()
        self.gateway.forget(self)
