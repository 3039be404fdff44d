"""One client connection of the HTTP gateway.

Between requests, and while a simple request is served, a session lives in the lane and is
driven by function calls: ``ready`` (the client sent something), ``granted`` (a lease is free),
``answered`` (the worker sent something). Whatever has to wait in another way (bodies, streams,
slow readers, plain backends) makes it leave the lane for a task (gateways/relay.py), and come
back when the request is served.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from uwgate.conf.errors import ClientError
from uwgate.gateways import relay
from uwgate.gateways.exchange import Exchange, Request
from uwgate.gateways.files import answering
from uwgate.gateways.lane import ENDED, GONE
from uwgate.gateways.lease_exchange import LeaseExchange
from uwgate.gateways.leases import NOBODY
from uwgate.gateways.pace import Pace, Taking
from uwgate.gateways.peer import Peer
from uwgate.gateways.states import STATUS_OF_TIMEOUT, State
from uwgate.gateways.streams import Socket
from uwgate.gateways.wire import http1
from uwgate.gateways.wire.http2 import PREFACE
from uwgate.gateways.wire.lease import ENCODING, MAX_QUEUED, NAMES_FILE, encode_request

if TYPE_CHECKING:
    from uwgate.gateways.http import HttpGateway
    from uwgate.gateways.leases import Lease
    from uwgate.gateways.routed.exchange import RoutedExchange

log = logging.getLogger("uwgate.http")

REFUSED = "%s: %d: %s"  # client, status, reason
# States in which the lane has to tell what the client sends.
AWAITING = frozenset((State.IDLE, State.HEAD, State.BODY))
RECEIVE_SIZE = 16384  # bytes asked for while a head is awaited


class Session:
    """A client connection.

    ``deadline`` (trio's clock) is watched by the gateway, which calls ``expire``.
    """

    __slots__ = (
        "_ends",
        "_held",
        "_lease",
        "_more",
        "_pace",
        "_packet",
        "_quota",
        "_request",
        "_routed",
        "_scope",
        "buffer",
        "deadline",
        "gateway",
        "gone",
        "is_watched",
        "packet",
        "peer",
        "sock",
        "state",
        "taking",
    )

    def __init__(self, gateway: HttpGateway, sock: Socket, peer: Peer) -> None:
        self.gateway = gateway
        self.sock = sock
        self.peer = peer
        self.state = State.IDLE
        self.deadline = gateway.now + gateway.options.http_headers_timeout
        self.gone = False  # the client has reset the connection
        self.is_watched = False  # registered in the lane; not before something has to be awaited
        self.buffer = b""  # received, but not consumed yet
        self.taking: Taking | None = None  # a response that fills the socket
        # From 0 downwards there is no limit.
        self._quota = gateway.edge.http_connection_requests
        self._ends = gateway.lifetime_end()
        self._more = False  # the client may have sent more than was received
        self._request: Request | None = None
        self._routed: RoutedExchange | None = None  # the same, where there are rules
        self._packet = b""  # the running request
        self.packet = b""  # the same, if it may go into the queue
        self._lease: Lease | None = None
        self._pace: Pace | None = None  # of a body that is awaited in the lane
        self._held = 0  # bytes of it
        self._scope: trio.CancelScope | None = None  # of the task, outside the lane

    @property
    def name(self) -> str:
        """The client's address, for the log."""
        return str(self.peer)

    @property
    def in_task(self) -> bool:
        """Outside the lane."""
        return self._scope is not None

    # The client

    def ready(self, mask: int) -> None:
        if self.state is State.BACKEND:
            if mask & GONE:
                log.info("%s: client gone, request given up", self.name)
                self._abandon()
            self._more = True  # the next request, or end of file: it can wait
            return
        if self.state is State.CLOSED or self._scope is not None:
            return
        try:
            ended = self._receive(mask)
        except OSError:
            self.close()
            return
        if ended or mask & ENDED:
            self._more = True  # nothing will tell again that there is an end of file to read
        if self.state is State.BODY:
            self._await_body(ended)
        elif self.buffer:
            self._advance(ended)
        elif ended:
            self.close()
            return
        if not self.is_watched and self.state in AWAITING:
            self.watch()

    def _receive(self, mask: int) -> bool:
        """Put what is there into the buffer; True at the end of what the client sends.

        No more than one head is held, whatever a client sends ahead.
        """
        limit = self.gateway.reader.limits.head
        while len(self.buffer) <= limit:
            self._more = False
            try:
                data = self.sock.recv(RECEIVE_SIZE)
            except BlockingIOError:
                return False
            if not data:
                return True
            self.buffer = self.buffer + data if self.buffer else data
            if len(data) < RECEIVE_SIZE:
                # Without an event of its own, what an earlier one told may be still to come.
                self._more = not mask and self.is_watched
                return False
            self._more = True
        return False

    def watch(self) -> None:
        """Have the lane tell what the client does; what it has done already counts."""
        if not self.is_watched and self._scope is None:
            self.is_watched = True
            self.gateway.lane.add(self.sock.fileno(), self)

    def _advance(self, ended: bool) -> None:
        """Take the next request out of the buffer, if it is complete.

        ``ended``: the client sends nothing that is not in the buffer.
        """
        buffer = self.buffer
        gateway = self.gateway
        try:
            if buffer[:4] == b"PRI " and self._begins_http2(buffer):
                return
            buffer = http1.without_empty_lines(buffer)
            end = http1.find_end(buffer, gateway.reader.limits)
            if end < 0 and ended:
                log.info("%s: closed in the middle of a request head", self.name)
                self.close()
                return
            if end < 0:
                self.buffer = buffer
                if self.state is State.IDLE and buffer:
                    self.state = State.HEAD
                    self.deadline = gateway.now + gateway.options.http_headers_timeout
                if self._more:
                    gateway.lane.again(self)
                return
            self.buffer = buffer[end:]
            self._request = request = gateway.reader.read(buffer[:end], self.peer)
        except ClientError as error:
            gateway.counters.refuse(
                f"answer-{error.status}", REFUSED, self.name, error.status, error
            )
            self.leave_lane(relay.refuse, self, error.status)
            return
        self._quota -= 1
        if not self._quota or gateway.now >= self._ends:
            request.keep_alive = False
        self._await_body(ended)

    def _await_body(self, ended: bool) -> None:
        """Begin with the request, unless it has a small body that is still to come."""
        gateway = self.gateway
        request = self._request
        assert request is not None
        length = request.length
        held = len(self.buffer)
        if (
            length is None
            or held >= length
            or length > min(gateway.edge.http_body_buffer, gateway.reader.limits.head)
            or request.expects_continue
            or request.raw is not None
            or ended
        ):
            self._begin(request)
            return
        now = gateway.now
        if self._pace is None or self.state is not State.BODY:
            self.state = State.BODY
            self._pace = Pace(gateway.edge.http_min_rate, gateway.edge.http_min_rate_grace)
        else:
            self._pace.moved(now, held - self._held)
        self._held = held
        self.deadline = min(now + gateway.options.http_timeout, self._pace.begin(now))
        if self._more:
            gateway.lane.again(self)

    def _begin(self, request: Request) -> None:
        """Have a request answered."""
        gateway = self.gateway
        self.state = State.BACKEND
        self.deadline = gateway.now + gateway.options.http_timeout
        if gateway.serves_files and gateway.policy is None and answering.serve(self, request):
            return
        length = request.length
        if gateway.leases is None or length is None or not self._is_simple(request, length):
            self.leave_lane(relay.answer, self, request, gateway.exchange(request))
            return
        if length:
            request.body = self.buffer[:length]
            self.buffer = self.buffer[length:]
        block = request.block
        if gateway.policy is not None:
            self._routed = routed = gateway.policy.exchange(request, gateway.plain_exchange)
            asked = routed.try_request()
            if asked is None:
                self.leave_lane(relay.answer, self, request, routed)
                return
            if not isinstance(asked, Request):
                self._pass_on(request, *asked, together=True)
                return
            block = asked.block
        self._packet, self.packet = encode_request(block, request.body)
        gateway.lane.expected += 1
        if gateway.leases.apply(self):
            self.watch()  # the client may leave meanwhile

    def _is_simple(self, request: Request, length: int) -> bool:
        """Whether the body is there already, and small enough to be sent without waiting."""
        if not length:
            return not request.websocket_key
        return length <= MAX_QUEUED and len(self.buffer) >= length

    def _begins_http2(self, buffer: bytes) -> bool:
        """The client knows that we speak HTTP/2 here (RFC 9113 section 3.3): hand it over."""
        gateway = self.gateway
        if not gateway.options2.http2_prior_knowledge or not PREFACE.startswith(buffer[:18]):
            return False
        self.state = State.CLOSED
        gateway.lane.remove(self.sock.fileno())
        gateway.begin_http2(self.sock, self.peer, buffer)
        gateway.forget(self)
        return True

    # The worker

    def granted(self, lease: Lease) -> bool:
        if not lease.hand_over(self._packet, self):
            return False
        self._lease = lease
        return True

    def taken(self, lease: Lease) -> None:
        self._lease = lease

    def answered(self, flags: int, head: bytes, body: bytes) -> None:
        """Pass on a whole small response."""
        self._lease = None
        self.gateway.lane.expected -= 1
        request = self._request
        assert request is not None
        if self._routed is not None:
            routed = self._routed.try_answer(flags, head, body)
            if routed is None:
                self.leave_lane(relay.answer, self, request, self._routed)
                return
            flags, head, body = routed
        self._pass_on(request, flags, head, body)

    def _pass_on(
        self, request: Request, flags: int, head: bytes, body: bytes, *, together: bool = False
    ) -> None:
        """Answer with what a worker or a rule has said.

        ``together``: many such answers come at once.
        """
        if flags & NAMES_FILE and self.gateway.library.names_file(head):
            answering.hand_over(self, request, head)
            return
        if flags & ENCODING:
            flags, head, body = self.gateway.compression.whole(request, flags, head, body)
        start, _, keep = self.gateway.writer.start(request, flags, head, len(body), True)
        if together:
            self.gateway.lane.send_soon(self, start + body, keep)
        else:
            self.send(start + body, keep)

    def streamed(self, lease: Lease) -> None:
        """The response takes waiting: a task goes on with it."""
        leases = self.gateway.leases
        assert leases is not None
        assert self._request is not None
        self._lease = None
        lease.user = None
        self.gateway.lane.expected -= 1
        exchange: Exchange = LeaseExchange.resumed(leases, lease, len(self._packet))
        if self._routed is not None:
            exchange = self._routed.resume(exchange)
        self.leave_lane(relay.answer, self, self._request, exchange)

    def send(self, data: bytes, keep: bool) -> None:
        """Send a whole response, and be ready for the next request."""
        if self.state is State.CLOSED:
            return  # while other answers of its round were made
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self.leave_lane(relay.finish, self, data[sent:], keep)
        else:
            self.sent(keep)

    def sent(self, keep: bool) -> None:
        """The response is on its way: go on, or close."""
        if keep:
            self._rest()
        elif self.buffer or self._has_more():
            self.leave_lane(relay.linger, self)
        else:
            self.close()

    def _has_more(self) -> bool:
        """Whether bytes of the client are unread: closing would then reset the connection."""
        if self.is_watched:
            return self._more
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _rest(self) -> None:
        """Wait for the next request; it may be in the buffer already."""
        self._request = self._routed = None
        self.state = State.IDLE
        self.deadline = self.gateway.now + self.gateway.idle_timeout
        if not self.is_watched:
            self.watch()
        if self.buffer or self._more:
            self.gateway.lane.again(self)

    # Outside the lane

    def leave_lane(self, work: Callable[..., Awaitable[bool]], *arguments: object) -> None:
        """Have a task go on; ``work`` says whether the session comes back."""
        lane = self.gateway.lane
        lane.remove(self.sock.fileno())
        self.is_watched = False
        lane.tasks += 1
        self._scope = trio.CancelScope()
        self.gateway.nursery.start_soon(self._run, work, arguments)

    async def _run(
        self, work: Callable[..., Awaitable[bool]], arguments: tuple[object, ...]
    ) -> None:
        """Run a task for the session; when it returns True, the session is back in the lane.

        Never raises: a session's failure ends the session.
        """
        scope = self._scope
        assert scope is not None
        keep = False
        try:
            with scope, contextlib.suppress(OSError):  # OSError: the client is gone
                keep = await work(*arguments)
            if scope.cancelled_caught:
                keep = False
                self._time_out()
        except Exception:
            log.exception("%s crashed", self.name)  # a bug: the traceback is the report
        self._scope = None
        self.gateway.lane.tasks -= 1
        if keep:
            self._more = False  # the lane tells anew what there is
            self._rest()
        else:
            trio.lowlevel.notify_closing(self.sock)
            self.close()

    # The end

    def expire(self) -> None:
        """End the session: its deadline is over, or nobody is there any longer."""
        taking = self.taking
        if taking is not None and not self.gone:
            now = trio.current_time()
            if taking.goes_on(now):
                self.deadline = taking.begin(now)
                return
            self.gateway.counters.refuse(
                "slow-reader", "%s: takes the response too slowly", self.name
            )
        self.deadline = math.inf
        if self._scope is not None:
            self._scope.cancel()
        elif self.state is not State.CLOSED:
            self._time_out()
            self._abandon()

    def _time_out(self) -> None:
        """Tell the client, if it waits for something, in one try without waiting."""
        status = STATUS_OF_TIMEOUT.get(self.state)
        if status is not None and not self.gone:
            self.gateway.counters.refuse(
                f"answer-{status}",
                REFUSED,
                self.name,
                status,
                f"timed out waiting for {self.state.value}",
                level=logging.WARNING,
            )
            with contextlib.suppress(OSError):
                for_head = self._request is not None and self._request.method == b"HEAD"
                self.sock.send(self.gateway.writer.error(status, body=not for_head))

    def _abandon(self) -> None:
        """Give up the request that is running in the lane."""
        leases = self.gateway.leases
        if self.state is State.BACKEND and leases is not None:
            self.gateway.lane.expected -= 1
            if self._lease is not None:
                self._lease.user = NOBODY
            else:
                leases.withdraw(self)
        self.close()

    def close(self) -> None:
        """Close the connection; the lane forgets it."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.gateway.lane.remove(self.sock.fileno())
        self.sock.close()
        self.gateway.forget(self)
