"""One client connection of the fastrouter: a uwsgi packet, and the backend that gets it.

A session lives in the lane and is driven by function calls: ``ready`` for what the client does,
``backend_ready`` for what the backend does. Only where something has to be waited for in another
way (a Python function that chooses, a host name, a full accept queue) there is a task for as long
(backend.py).

The common request is one packet, sent to a backend that answers in a few pieces and closes. What
takes more gets a relay (relay.py): a body that is still to come, a client that takes its time,
an answer of which there is always more.
"""

from __future__ import annotations

import contextlib
import logging
import math
import select
import socket
import struct
from typing import TYPE_CHECKING, Final

from uwgate.gateways.fastrouter.backend import Backend
from uwgate.gateways.fastrouter.body import Body
from uwgate.gateways.fastrouter.client import AT_ONCE, Client
from uwgate.gateways.fastrouter.head import Head
from uwgate.gateways.fastrouter.lease_stream import LeaseStream
from uwgate.gateways.fastrouter.leased import Leased
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

if TYPE_CHECKING:
    from uwgate.gateways.fastrouter.process import Fastrouter

log = logging.getLogger("uwgate.fastrouter")

REFUSED: Final = "%s: %d: %s"  # whose request, status, reason
PIECES: Final = 4  # of an answer that are passed on at a time without a relay
LINGER_TIME: Final = 10.0  # seconds; for a client to see that nobody wants the rest of its body
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing tells the peer that something is missing
Source = socket.socket | LeaseStream  # of an answer
FIVE: Final = ord("5")
# Of a worker that cannot serve.
BAD_STATUS: Final = frozenset((b"502", b"503", b"504"))
# With the last piece of an answer: over TCP the end of file goes with it, not after it.
LAST: Final = int(socket.MSG_MORE | socket.MSG_DONTWAIT)


class Session(Client):
    """See the module.

    The gateway calls ``expire`` when ``deadline`` is over. ``missing`` does not change any more
    when there is a relay.
    """

    __slots__ = ("_relay", "_rx", "_tx", "backend")

    def __init__(self, gateway: Fastrouter, sock: socket.socket) -> None:
        Client.__init__(self, gateway, sock)  # for every request: super() takes its time
        self.backend: Backend | Leased | None = None
        self._relay: Relay | None = None  # where more is needed than a packet and an answer
        self._rx = 0  # bytes that the backend got before there was a relay
        self._tx = 0  # and that came from it

    # The client

    def ready(self, mask: int) -> None:
        """The client has done something; see ``lane.Member``."""
        state = self.state
        if state is HEAD:
            self.receive_head(mask)
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
            self._client_ready()

    def _client_ready(self) -> None:
        """It may have something for the backend."""
        relay = self._relay
        if relay is None:
            backend = self.backend
            assert backend is not None
            relay = self._begin_relay(backend.sock)
            if self.state is RELAY:  # the first pieces of the answer needed none
                assert backend.sock is not None
                relay.answer(backend.sock, b"")
        # Compiled, ``self._relay`` could not be asked again whether it is None (docs/design.md).
        if self.state is not CLOSED:
            relay.client_ready()

    def _is_gone(self, mask: int) -> bool:
        """A client that has only sent its end of file still wants the answer."""
        if mask & select.EPOLLERR:
            return True
        if self.state is LINGER:
            return False
        # Our own end of file makes the other half of a hang-up.
        return self._relay is None or not self._relay.is_answered

    @property
    def _expects_more(self) -> bool:
        """Whether the client may have something to send."""
        if self._relay is not None:
            return self._relay.expects_more(self.missing)
        return self.missing is None or self.missing > 0

    # The backend

    def _choose(self, head: Head) -> None:
        gateway = self.gateway
        if gateway.leases is not None:
            leased = Leased(self, gateway.leases, self._data, head.length)
            self.backend = leased
            leased.begin(whole=self.missing == 0 and self._body is None)
            return
        attempts = gateway.corerouter.attempts(head)
        if not head.key:
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

    def await_worker(self) -> None:
        """One of our own workers shall take the request, however long all of them are busy."""
        self.state = CONNECT
        self.deadline = self.gateway.now + self.gateway.timeout

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

    def connected(self, sock: Source, packet: bytes, sent: int) -> None:
        """The backend has got the first ``sent`` bytes of ``packet``."""
        gateway = self.gateway
        self.state = ANSWER
        self.deadline = gateway.now + gateway.timeout
        gateway.lane.expected += 1
        self._rx = sent
        self._data = b""
        if self.missing != 0 or sent < len(packet) or self._body is not None or self._has_more:
            self._begin_relay(sock, packet[sent:], self._body).carry_up()

    def backend_ready(self, mask: int) -> None:
        """The backend has done something."""
        relay = self._relay
        if relay is not None and self.state in (ANSWER, RELAY):
            relay.backend_ready()
        if self.state is ANSWER:
            self._receive_answer(mask)
        elif relay is None and self.state is RELAY:
            assert self.backend is not None
            assert self.backend.sock is not None
            self._receive_rest(self.backend.sock)

    def _receive_answer(self, mask: int) -> None:
        """Its first bytes, and most often all of them."""
        gateway = self.gateway
        backend = self.backend
        assert backend is not None
        assert backend.sock is not None
        try:
            data = backend.sock.recv(gateway.piece)
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
        status = data[9] if count > 9 else 0  # HTTP/1.1 200
        counts = gateway.answers.counts
        counts[status] += 1
        is_good = status != FIVE or data[9:12] not in BAD_STATUS
        backend.attempts.answered(gateway.clock(), good=is_good)
        is_alone = self.missing == 0 and self._relay is None
        is_last = is_alone and mask & ENDED != 0 and count < gateway.piece
        try:
            sent = self.sock.send(data, LAST if is_last else AT_ONCE)
        except BlockingIOError:
            sent = 0
        except OSError:  # the client is gone
            self.close()
            return
        if sent == count and is_alone:
            if is_last:
                self.close()
            else:
                self._receive_rest(backend.sock)
            return
        self._carry_on(backend.sock, data[sent:])

    def _receive_rest(self, sock: Source) -> None:
        """Pass on what follows, while the client has nothing to send and takes it at once."""
        gateway = self.gateway
        rest = b""
        for _ in range(PIECES):
            try:
                data = sock.recv(gateway.piece)
            except BlockingIOError:
                return
            except OSError:
                self.break_off()
                return
            if not data:
                self.close()
                return
            self._tx += len(data)
            self.deadline = gateway.now + gateway.timeout
            try:
                sent = self.sock.send(data, AT_ONCE)
            except BlockingIOError:
                sent = 0
            except OSError:  # the client is gone
                self.close()
                return
            if sent < len(data):
                rest = data[sent:]
                break
        self._carry_on(sock, rest)

    def _carry_on(self, sock: Source, begun: bytes) -> None:
        """Let the answer go on in a relay; ``begun`` is what the client has not taken of it."""
        relay = self._relay
        if relay is None:
            relay = self._begin_relay(sock)
        relay.answer(sock, begun)

    def _begin_relay(
        self, sock: Source | None, unsent: bytes = b"", body: Body | None = None
    ) -> Relay:
        """It takes more than a packet and an answer; see ``Relay``."""
        self.watch()
        self._relay = relay = Relay(self, sock, unsent, body)
        return relay

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
            self.sock.send(error_page(status, retry_after=retry_after), AT_ONCE)
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
        relay = self._relay
        if relay is None:
            relay = self._begin_relay(None)
        relay.up.throw_away()
        self.gateway.lane.again(self)

    def break_off(self) -> None:
        """The backend has done so in the middle of its answer."""
        assert self.backend is not None
        self.backend.attempts.answered(self.gateway.clock(), good=False)
        self.cut_off("the backend broke off in the middle of its answer")

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
        if self._is_watched:
            self.gateway.lane.forget(self.sock.fileno())
        self.sock.close()  # first of all: the last piece of the answer may wait for it
        self._end_backend()
        # They know us: circles would have to be found by the collector.
        self.backend = self._relay = None
        self.state = CLOSED
        self.gateway.forget(self)
