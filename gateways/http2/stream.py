"""One request on an HTTP/2 connection, and its response.

A request without a body applies for a lease like a session of HTTP/1 does, and a whole small
answer is sent without a task. Everything else gets a task (gateways/http2/relay.py).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio
from h2.errors import ErrorCodes

from uwgate.files.disk import NotCachedError
from uwgate.files.finder import Refused
from uwgate.files.memory import Whole
from uwgate.files.plan import Plan
from uwgate.gateways.exchange import Exchange, Request
from uwgate.gateways.files import frames
from uwgate.gateways.http2 import relay
from uwgate.gateways.http2.responses import CONTINUE
from uwgate.gateways.http2.upload import Upload
from uwgate.gateways.lease_exchange import LeaseExchange
from uwgate.gateways.pace import Pace
from uwgate.gateways.pages import error_parts
from uwgate.gateways.states import STATUS_OF_TIMEOUT, State
from uwgate.gateways.wire.lease import (
    ENCODING,
    HEAD,
    LENGTH,
    NAMES_FILE,
    NO_BODY,
    encode_request,
)

if TYPE_CHECKING:
    from uwgate.gateways.http2.connection import Connection
    from uwgate.gateways.leases import Lease
    from uwgate.gateways.routed.exchange import RoutedExchange

log = logging.getLogger("uwgate.http")

_NOTHING = memoryview(b"")


class Stream:
    """A request that is being answered. ``number`` is the stream's identifier.

    ``deadline`` (trio's clock) is watched by the connection, which calls ``expire``.
    """

    __slots__ = (
        "_ending",
        "_gave_up",
        "_lease",
        "_pace",
        "_packet",
        "_pending",
        "_routed",
        "_scope",
        "_sent",
        "connection",
        "deadline",
        "number",
        "packet",
        "request",
        "state",
        "upload",
    )

    def __init__(self, connection: Connection, number: int, request: Request) -> None:
        self.connection = connection
        self.number = number
        self.request = request
        self.state = State.BACKEND
        self.deadline = 0.0
        self.upload: Upload | None = None  # of a request with a body
        self.packet = b""  # the request, if it may go into the queue
        self._packet = b""  # the same in any case
        self._routed: RoutedExchange | None = None  # the same, where there are rules
        edge = connection.gateway.edge
        self._pace = Pace(edge.http_min_rate, edge.http_min_rate_grace)
        self._lease: Lease | None = None
        self._gave_up = False  # the worker runs it, but nobody wants its answer
        self._scope: trio.CancelScope | None = None  # of the task, if there is one
        self._pending = _NOTHING  # of the response's body: not in a frame yet
        self._ending = False  # behind it the response ends
        self._sent: trio.Event | None = None  # set when nothing is pending any longer

    def __str__(self) -> str:
        return f"{self.connection.name}: stream {self.number}: {self.request}"

    def begin(self, ended: bool) -> None:
        """Have the request answered; ``ended``: the client has sent all of it."""
        gateway = self.connection.gateway
        request = self.request
        self.touch()
        if not ended:
            self.upload = Upload(self)
        if gateway.serves_files and gateway.policy is None and self._serve_file():
            return
        leases = gateway.leases
        if request.length != 0 or request.websocket_key or leases is None:
            self._start(relay.answer, gateway.exchange(request))
            return
        block = request.block
        if gateway.policy is not None:
            self._routed = gateway.policy.exchange(request, gateway.plain_exchange)
            asked = self._routed.try_request()
            if asked is None:
                self._start(relay.answer, self._routed)
                return
            if not isinstance(asked, Request):
                self._pass_on(*asked)
                return
            block = asked.block
        self._packet, self.packet = encode_request(block)
        gateway.lane.expected += 1
        leases.apply(self)

    def touch(self) -> None:
        """Something moves: the time-out counts from now on."""
        if self.state is not State.TUNNEL:  # it keeps its own time
            gateway = self.connection.gateway
            self.deadline = gateway.now + gateway.options.http_timeout

    # The worker (``leases.Applicant``)

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
        if self._gave_up:
            self.connection.worker_done()
            return
        gateway = self.connection.gateway
        gateway.lane.expected -= 1
        if self._routed is not None:
            routed = self._routed.try_answer(flags, head, body)
            if routed is None:
                self._start(relay.answer, self._routed)
                return
            flags, head, body = routed
        self._pass_on(flags, head, body)

    def _pass_on(self, flags: int, head: bytes, body: bytes) -> None:
        """Answer with what a worker or a rule has said."""
        gateway = self.connection.gateway
        if flags & NAMES_FILE and gateway.library.names_file(head):
            self._hand_over(head)
            return
        if flags & ENCODING:
            flags, head, body = gateway.compression.whole(self.request, flags, head, body)
        self.send_whole(flags, head, body)

    def send_whole(self, flags: int, head: bytes, body: bytes) -> None:
        """Send a whole small response."""
        self.start_response(flags, head, len(body), end=not body or bool(flags & NO_BODY))
        if body and not flags & NO_BODY:
            self._offer(body, end=True)
        self.connection.schedule()

    # A file

    def _serve_file(self) -> bool:
        """Answer with a file; False if the request is for none."""
        try:
            reply = self.connection.gateway.library.look(self.request)
        except NotCachedError:
            self._start(frames.search)
            return True
        except OSError as error:
            frames.fail(self, error)
            return True
        if reply is None:
            return False
        self._reply(reply, frames.search)
        return True

    def _hand_over(self, head: bytes) -> None:
        """Answer with the file that the application's answer names."""
        try:
            reply = self.connection.gateway.library.look_named(self.request, head)
        except NotCachedError:
            self._start(frames.hand_over, head)
        except OSError as error:
            frames.fail(self, error)
        else:
            if isinstance(reply, Refused):
                frames.refuse(self, reply)
            else:
                self._reply(reply, frames.hand_over, head)

    def _reply(
        self, reply: Whole | Plan, later: Callable[..., Awaitable[None]], *arguments: object
    ) -> None:
        """Send a file; ``later`` waits until there is room for it, and finds it again."""
        library = self.connection.gateway.library
        is_own = later is frames.search  # else a worker has logged the request
        if isinstance(reply, Whole):
            if is_own:
                library.note(self.request, reply)
            self.send_whole(reply.flags, reply.head, reply.body)
            return
        try:
            self.connection.files.acquire_nowait()
        except trio.WouldBlock:
            reply.close()
            self._start(later, *arguments)
        else:
            if is_own:
                library.note(self.request, reply)
            self._start(frames.respond, reply)

    def streamed(self, lease: Lease) -> None:
        """The response takes waiting: a task goes on with it."""
        self._lease = None
        if self._gave_up:
            self.connection.worker_done()
            lease.discard()
            return
        gateway = self.connection.gateway
        leases = gateway.leases
        assert leases is not None
        lease.user = None
        gateway.lane.expected -= 1
        exchange: Exchange = LeaseExchange.resumed(leases, lease, len(self._packet))
        if self._routed is not None:
            exchange = self._routed.resume(exchange)
        self._start(relay.answer, exchange)

    # The response

    def send_continue(self) -> None:
        """Tell the client to send the body that it holds back."""
        if self.has_started:
            return
        self.connection.protocol.send_head(self.number, CONTINUE, interim=True)
        self.connection.schedule()

    def start_response(self, flags: int, head: bytes, size: int | None, *, end: bool) -> None:
        """Send the head; see ``ResponseHeads.block``."""
        self.state = State.RESPONSE
        self.touch()
        connection = self.connection
        block = connection.gateway.http2_heads.block(
            flags, head, size, secure=connection.peer.is_secure
        )
        connection.protocol.send_head(self.number, block, end=end)
        if end:
            self.finish()

    async def send(
        self, data: bytes, *, end: bool, behind: Callable[[], None] | None = None
    ) -> None:
        """Send a piece of the body; returns when all of it is in frames.

        ``behind`` is called when there is no room for all of it yet. Cancelling loses what is
        not in frames.
        """
        if self.state is State.CLOSED:
            await trio.sleep_forever()  # ``cancel`` has cancelled us
        self._sent = trio.Event()
        self._offer(data, end=end)
        self.connection.flush()
        if behind is not None and not self._sent.is_set():
            behind()
        await self._sent.wait()

    def open_tunnel(self, head: bytes) -> None:
        """Answer that the WebSocket is open; ``head`` is that of the backend's 101."""
        self.state = State.TUNNEL
        self.deadline = math.inf
        connection = self.connection
        block = connection.gateway.http2_heads.opened(head)
        connection.protocol.send_head(self.number, block)
        connection.schedule()

    def _offer(self, data: bytes, *, end: bool) -> None:
        """Have the connection send the next piece of the body; the client has to take it at
        http-min-rate."""
        self._pending = memoryview(data)
        self._ending = end
        self._set_pace(self.connection.gateway.now)
        self.connection.offer(self)

    def _set_pace(self, now: float) -> None:
        self.touch()
        if self.state is not State.TUNNEL:
            self.deadline = min(self.deadline, self._pace.begin(now))

    def advance(self) -> bool:
        """Put the next piece of the body into a frame; False if there is no room for it.

        Called by the connection, while something is pending.
        """
        protocol = self.connection.protocol
        pending = self._pending
        if pending:
            room = protocol.room(self.number)
            if room <= 0:
                return False
            piece, self._pending = pending[:room], pending[room:]
            end = self._ending and not self._pending
            protocol.send_data(self.number, piece, end=end)
            now = self.connection.gateway.now
            self._pace.moved(now, len(piece))
            self._set_pace(now)
        else:
            end = self._ending
            protocol.send_data(self.number, b"", end=True)
        if end:
            self._ending = False
            self.finish()
        if self._sent is not None and not self._pending:
            self._sent.set()
        return True

    @property
    def is_pending(self) -> bool:
        """Something of the response is not in a frame yet."""
        return bool(self._pending) or self._ending

    @property
    def has_started(self) -> bool:
        """The client has got the head of the response."""
        return self.state in (State.RESPONSE, State.TUNNEL, State.CLOSED)

    def refuse(self, status: int, retry_after: int = 1) -> None:
        """Answer in our own name."""
        head, page = error_parts(status, retry_after)
        no_body = self.request.method == b"HEAD"
        flags = HEAD | LENGTH | (NO_BODY if no_body else 0)
        self.start_response(flags, head, len(page), end=no_body)
        if not no_body:
            self._offer(page, end=True)
        self.connection.schedule()

    def finish(self) -> None:
        """The response is complete."""
        if self.state is State.CLOSED:
            return
        if self.upload is not None and not self.upload.ended:
            # Section 8.1: nobody wants the rest of the request.
            self.connection.protocol.reset(self.number, ErrorCodes.NO_ERROR)
        self._end()

    # The end

    def abort(self, code: ErrorCodes) -> None:
        """Break the stream off; what runs for it is given up."""
        if self.state is State.CLOSED:
            return
        self.connection.protocol.reset(self.number, code)
        self.cancel()
        self.connection.schedule()

    def cancel(self) -> None:
        """The stream is over, whoever ended it: give up what runs for it."""
        if self.state is State.CLOSED:
            return
        if self._scope is not None:
            self._scope.cancel()
        elif self.state is State.BACKEND:
            self._give_up()
        self._end()

    def _give_up(self) -> None:
        gateway = self.connection.gateway
        gateway.lane.expected -= 1
        if self._lease is not None:
            self._gave_up = True
            self.connection.worker_owes()
        elif gateway.leases is not None:
            gateway.leases.withdraw(self)

    def _end(self) -> None:
        self.state = State.CLOSED
        self.deadline = math.inf
        self._pending = _NOTHING
        self._ending = False
        if self.upload is not None:
            self.upload.drop()
        self.connection.forget(self)

    def expire(self) -> None:
        """The deadline is over."""
        self.deadline = math.inf
        status = STATUS_OF_TIMEOUT.get(self.state)
        what = f"timed out waiting for {self.state.value}"
        counters = self.connection.gateway.counters
        if status is None:
            counters.refuse("slow-reader", "%s: %s", self, what)
            self.abort(ErrorCodes.CANCEL)
            return
        name = f"answer-{status}"
        counters.refuse(name, "%s: %d: %s", self, status, what, level=logging.WARNING)
        if self._scope is not None:
            self._scope.cancel()
        else:
            self._give_up()
        self.refuse(status)

    # Outside the lane

    def _start(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Have a task go on: ``work(self, *arguments)``."""
        gateway = self.connection.gateway
        gateway.lane.tasks += 1
        self._scope = trio.CancelScope()
        gateway.nursery.start_soon(self._run, work, arguments)

    async def _run(
        self, work: Callable[..., Awaitable[None]], arguments: tuple[object, ...]
    ) -> None:
        """Answer in a task. Never raises: a stream's failure ends the stream."""
        scope = self._scope
        assert scope is not None
        try:
            with scope:
                await work(self, *arguments)
        except Exception:
            log.exception("%s crashed", self)  # a bug: the traceback is the report
            self._scope = None
            self.abort(ErrorCodes.INTERNAL_ERROR)
        finally:
            self._scope = None
            self.connection.gateway.lane.tasks -= 1
