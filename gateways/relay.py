"""Requests that take waiting: bodies, streams, slow readers, plain backends.

Each function here is a task of one session, outside the lane. It returns True when the
session may go back there and wait for the next request.
"""

from __future__ import annotations

import logging
import math
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from uwgate.conf.errors import BackendError, ClientError, NoNodeError
from uwgate.files.plan import Plan
from uwgate.files.resident import BrokenFileError
from uwgate.gateways import streams, tunnel
from uwgate.gateways.exchange import Exchange, Raw, Reply, Request, UnansweredError, collect
from uwgate.gateways.files import sending
from uwgate.gateways.pace import Pace, Taking
from uwgate.gateways.spool import Read, Spool
from uwgate.gateways.states import State
from uwgate.gateways.wire.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk
from uwgate.gateways.wire.lease import ENCODING, LENGTH, NAMES_FILE, NO_BODY, TUNNEL

if TYPE_CHECKING:
    from uwgate.gateways.session import Session

log = logging.getLogger("uwgate.http")

LINGER = 2.0  # seconds in which a refused client may stop sending, so that it reads the answer
MAX_UNREAD = 65536  # bytes of a body that are read though nobody wants them
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


async def answer(session: Session, request: Request, exchange: Exchange) -> bool:
    """Serve one request from its head on."""
    body = ClientBody(session, request)
    relay = _Relay(session, request, exchange, body)
    status = 0
    retry_after = 1
    try:
        body.take_buffered()
        await body.collect(session.gateway.edge.http_body_buffer)
        keeps = await relay.run()
        if relay.named is not None:
            return await sending.hand_over(session, request, relay.named, body.is_read)
        if keeps:
            return True
    except ClientError as error:
        counters = session.gateway.counters
        counters.refuse(f"answer-{error.status}", "%s: %d: %s", session.name, error.status, error)
        status = error.status
    except (BackendError, NoNodeError) as error:
        status = error.status
        name = f"answer-{status}"
        counters = session.gateway.counters
        counters.refuse(
            name, "%s: %s: %d: %s", session.name, request, status, error, level=logging.ERROR
        )
        retry_after = retry_after_of(error)
    except UnansweredError:
        return False
    finally:
        exchange.end()  # now: a client that takes its time must not hold a worker
    if status:
        await relay.fail(status, retry_after)
    if relay.broken:
        return False
    if body.is_read and not session.buffer and session.state is not State.TUNNEL:
        return False
    return await linger(session)


async def refuse(session: Session, status: int) -> bool:
    """Answer a request that was not understood, and close."""
    return await dismiss(session, session.gateway.writer.error(status))


async def dismiss(session: Session, page: bytes) -> bool:
    """Send a last response, and close; more of the request may be on its way."""
    enter_response(session)
    await streams.send_all(session.sock, page)
    return await linger(session)


async def finish(session: Session, rest: bytes, keep: bool) -> bool:
    """Send the rest of a response to a client that is slow to take it."""
    enter_response(session)
    await _send(session, rest)
    return keep


async def linger(session: Session) -> bool:
    """Let the client read the answer before a reset throws it away (RFC 9112 section 9.6)."""
    session.state = State.LINGER
    session.deadline = trio.current_time() + LINGER
    session.sock.shutdown(socket.SHUT_WR)
    while await streams.receive(session.sock):
        pass
    return False


async def _send(session: Session, data: bytes, behind: Callable[[], None] | None = None) -> None:
    """Send a piece of a response; the client has to take it at http-min-rate.

    ``behind`` is called when it does not take all at once.

    Raises:
        OSError: the connection broke.
    """
    try:
        sent = session.sock.send(data)
    except BlockingIOError:
        sent = 0
    if sent == len(data):
        await trio.lowlevel.checkpoint()
        return
    if behind is not None:
        behind()
    gateway = session.gateway
    pace = Pace(gateway.edge.http_min_rate, gateway.edge.http_min_rate_grace)
    now = trio.current_time()
    session.taking = Taking(session.sock.fileno(), pace, gateway.options.http_timeout, now)
    session.deadline = session.taking.begin(now)
    try:
        await streams.send_all(session.sock, data[sent:])
    finally:
        session.taking = None


def enter_response(session: Session) -> None:
    """From now on the client is waited for."""
    session.state = State.RESPONSE
    session.deadline = session.gateway.now + session.gateway.options.http_timeout


class ClientBody:
    """The body of a request, as it comes from the client."""

    def __init__(self, session: Session, request: Request) -> None:
        self._session = session
        self._chunks: ChunkedDecoder | None = None
        self._left = 0  # bytes still to be read, plain framing
        self._taken = 0  # bytes read, without a length
        self._endless = False  # the client's end of file is still to come, and ends the body
        self._request = request
        edge = session.gateway.edge
        self._pace = Pace(edge.http_min_rate, edge.http_min_rate_grace)

    def take_buffered(self) -> None:
        """Give the request what has arrived of its body. To be called once, before anything else.

        Raises:
            ClientError: the chunks are malformed (400), or too many (413).
        """
        session, request = self._session, self._request
        if request.body:  # in the lane already
            return
        buffer, session.buffer = session.buffer, b""
        if request.raw is Raw.ENDLESS:
            self._endless = True
            self._count(len(buffer))
            request.body = buffer
        elif request.length is None:
            self._chunks = ChunkedDecoder()
            request.body = self._decode(buffer)
        else:
            request.body = buffer[: request.length]
            session.buffer = buffer[request.length :]
            self._left = request.length - len(request.body)
        request.complete = self.is_read
        if request.body:  # the client did not wait
            request.expects_continue = False

    async def collect(self, size: int) -> None:
        """Have the request wait for its body; see ``exchange.collect``."""
        request = self._request
        await collect(request, self, size)
        request.complete = self.is_read

    @property
    def is_read(self) -> bool:
        """All of it has been read."""
        return self._chunks is None and not self._left and not self._endless

    async def read_body(self) -> bytes:
        session = self._session
        while not self.is_read:
            session.deadline = session.gateway.now + session.gateway.options.http_timeout
            data = session.buffer
            if data:
                session.buffer = b""
            else:
                data = await self._receive()
            if self._endless:
                self._endless = bool(data)
                self._count(len(data))
                return data
            if self._chunks is None:
                piece = data[: self._left]
                session.buffer = data[len(piece) :]
                self._left -= len(piece)
                return piece
            data = self._decode(data)
            if data:
                return data
        return b""

    async def _receive(self) -> bytes:
        session = self._session
        before = session.state
        if before is State.BACKEND:
            session.state = State.BODY
        timeout = session.gateway.options.http_timeout
        now = trio.current_time()
        session.deadline = min(now + timeout, self._pace.begin(now))
        data = await streams.receive(session.sock, session.gateway.options.http_buffer_size)
        self._pace.moved(trio.current_time(), len(data))
        if session.state is State.BODY:
            session.state = before
        if not data and not self._endless:
            raise ClientError(400, "request body broke off")
        session.deadline = session.gateway.now + timeout
        return data

    def _decode(self, data: bytes) -> bytes:
        chunks = self._chunks
        assert chunks is not None
        body = chunks.feed(data)
        if chunks.done:
            self._session.buffer = chunks.rest
            self._chunks = None
        self._count(len(body))
        if self._request.raw is Raw.CHUNKS:
            body = data[: len(data) - len(chunks.rest)] if chunks.done else data
        return body

    def _count(self, size: int) -> None:
        self._taken += size
        limit = self._session.gateway.reader.limit_post
        if limit and self._taken > limit:
            raise ClientError(413, f"body of more than {limit} bytes")

    async def send_continue(self) -> None:
        await streams.send_all(self._session.sock, b"HTTP/1.1 100 Continue\r\n\r\n")


class _Relay:
    """One request and its response, on their way."""

    def __init__(
        self, session: Session, request: Request, exchange: Exchange, body: ClientBody
    ) -> None:
        self._session = session
        self._request = request
        self._exchange = exchange
        self._body = body
        self.broken = False  # the client is to see that the response is not complete
        self.named: bytes | None = None  # the head of an answer that names a file

    async def run(self) -> bool:
        """Forward the request, then its response."""
        if self._request.complete:
            return await self._respond(None)
        keep = False
        failure: Exception | None = None
        try:
            async with trio.open_nursery() as nursery:
                keep = await self._respond(nursery)
                nursery.cancel_scope.cancel()  # the answer is complete; nobody reads the rest
        except* (ClientError, BackendError, NoNodeError, UnansweredError, OSError) as group:
            failure = first_error(group)
        if failure is not None:
            raise failure
        return keep and self._body.is_read

    async def _respond(self, nursery: trio.Nursery | None) -> bool:
        session = self._session
        exchange = self._exchange
        reply = await exchange.begin(self._request, self._body, nursery)
        if reply.flags & TUNNEL:
            await self._tunnel(reply.head, exchange.side)
            return False
        read: Read = exchange.read
        if reply.flags & NAMES_FILE and session.gateway.library.names_file(reply.head):
            self.named = reply.head
            await finish_unread(exchange, reply)
            return False
        if reply.flags & ENCODING:
            reply, read = session.gateway.compression.begin(self._request, reply, read)
        enter_response(session)
        start, chunked, keep = session.gateway.writer.start(
            self._request,
            reply.flags,
            reply.head,
            len(reply.body) if reply.last else None,
            self._body.is_read,
        )
        if reply.plan is not None and not chunked:
            return await self._send_file(start, reply.plan) and keep
        if reply.flags & NO_BODY:
            await streams.send_all(session.sock, start)
            while not reply.last:  # nothing comes but the end
                reply = Reply(reply.flags, b"", *await read())
            return keep
        try:
            await self._stream(start, reply, chunked, read)
        except BackendError as error:
            log.error("%s: %s: response broke off: %s", session.name, self._request, error)
            if not chunked and not reply.flags & LENGTH:
                # Only a reset can tell this client that the response is not complete.
                self.broken = True
                session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            return False
        return keep

    async def _send_file(self, start: bytes, plan: Plan) -> bool:
        """Send a whole answer whose body the kernel can send; whether it was sent to its end."""
        outflow = sending.Outflow(self._session)
        try:
            await outflow.send(start, more=True)
            await outflow.send_plan(plan, 0, 0)
        except BrokenFileError as error:
            sending.say_broken(self._session, self._request, error)
            return False
        return True

    async def _stream(self, start: bytes, reply: Reply, chunked: bool, read: Read) -> None:
        session = self._session
        gateway = session.gateway
        body, last = reply.body, reply.last
        spool: Spool | None = None

        def read_ahead() -> None:
            nonlocal spool, read
            if spool is None and not last and self._request.complete:
                spool = gateway.spools.begin(read, reply.flags, reply.head, self._exchange.end)
                if spool is not None:
                    read = spool.read

        try:
            while True:
                if chunked:
                    if body:
                        body = encode_chunk(body)
                    if last:
                        body += LAST_CHUNK
                if start:
                    body = start + body
                    start = b""
                if body:
                    await _send(session, body, read_ahead)
                if last:
                    return
                session.deadline = gateway.now + gateway.options.http_timeout
                body, last = await read()
        finally:
            if spool is not None:
                await spool.close()

    async def _tunnel(self, head: bytes, backend: tunnel.Side) -> None:
        """Open the WebSocket; returns when it has ended."""
        session = self._session
        if session.gateway.closes_tunnels:
            raise NoNodeError("no tunnel is opened any longer")
        enter_response(session)
        head = b"HTTP/1.1 %bUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" % head
        session.state = State.TUNNEL
        await streams.send_all(session.sock, head)
        session.deadline = math.inf  # the tunnel keeps its own time
        # What the client sent together with its head belongs to the tunnel.
        client = tunnel.SocketSide(session.sock, session.buffer)
        session.buffer = b""
        idle = session.gateway.options.http_tunnel_timeout
        if not await tunnel.relay(client, backend, idle):
            log.info("%s: %s: no byte moves any longer", session.name, self._request)

    async def fail(self, status: int, retry_after: int) -> None:
        """Tell the client what went wrong, if no response has begun."""
        session = self._session
        if session.state in (State.RESPONSE, State.LINGER):
            return
        enter_response(session)
        has_body = self._request.method != b"HEAD"
        page = session.gateway.writer.error(status, body=has_body, retry_after=retry_after)
        await streams.send_all(session.sock, page)


async def finish_unread(exchange: Exchange, reply: Reply) -> None:
    """End an exchange whose body nobody wants; if it is small, the worker need not notice."""
    size, last = len(reply.body), reply.last
    while not last and size < MAX_UNREAD:
        body, last = await exchange.read()
        size += len(body)
    exchange.end()


def retry_after_of(error: BackendError | NoNodeError) -> int:
    """Seconds after which a client may ask again."""
    return error.retry_after if isinstance(error, NoNodeError) else 1


def first_error(group: BaseExceptionGroup[Exception]) -> Exception:
    """The error that decides the answer: the client's before a backend's."""
    leaves: list[Exception] = []
    stack: list[BaseException] = [group]
    while stack:
        error = stack.pop()
        if isinstance(error, BaseExceptionGroup):
            stack.extend(error.exceptions)
        elif isinstance(error, Exception):
            leaves.append(error)
    return min(leaves, key=lambda error: not isinstance(error, ClientError))
