"""Requests that take waiting: bodies, streams, slow readers, plain backends.

Each function here is a task of one session, outside the lane. It returns True when the
session may go back there and wait for the next request.
"""

from __future__ import annotations

import logging
import socket
import struct
from typing import TYPE_CHECKING

import trio

from uwgate.conf.errors import BackendError, ClientError, NoNodeError
from uwgate.gateways import streams
from uwgate.gateways.exchange import Exchange, Reply, Request
from uwgate.gateways.pages import error_page
from uwgate.gateways.states import State
from uwgate.gateways.wire.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk
from uwgate.gateways.wire.lease import LENGTH, NO_BODY

if TYPE_CHECKING:
    from uwgate.gateways.session import Session

log = logging.getLogger("uwgate.http")

LINGER = 2.0  # seconds in which a refused client may stop sending, so that it reads the answer
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


async def answer(session: Session, request: Request, exchange: Exchange) -> bool:
    """Serve one request from its head on."""
    body = ClientBody(session, request)
    relay = _Relay(session, request, exchange, body)
    status = 0
    try:
        body.take_buffered()
        if await relay.run():
            return True
    except ClientError as error:
        log.info("%s: %d: %s", session.name, error.status, error)
        status = error.status
    except (BackendError, NoNodeError) as error:
        log.error("%s: %s: %d: %s", session.name, request, error.status, error)
        status = error.status
    finally:
        exchange.end()  # now: a client that takes its time must not hold a worker
    if status:
        await relay.fail(status)
    if relay.broken or (body.is_read and not session.buffer):
        return False
    return await linger(session)


async def refuse(session: Session, status: int) -> bool:
    """Answer a request that was not understood, and close."""
    return await dismiss(session, error_page(status))


async def dismiss(session: Session, page: bytes) -> bool:
    """Send a last response, and close; more of the request may be on its way."""
    _enter_response(session)
    await streams.send_all(session.sock, page)
    return await linger(session)


async def finish(session: Session, rest: bytes, keep: bool) -> bool:
    """Send the rest of a response to a client that is slow to take it."""
    _enter_response(session)
    await streams.send_all(session.sock, rest)
    return keep


async def linger(session: Session) -> bool:
    """Let the client read the answer before a reset throws it away (RFC 9112 section 9.6)."""
    session.state = State.LINGER
    session.deadline = trio.current_time() + LINGER
    session.sock.shutdown(socket.SHUT_WR)
    while await streams.receive(session.sock):
        pass
    return False


def _enter_response(session: Session) -> None:
    session.state = State.RESPONSE
    session.deadline = session.gateway.now + session.gateway.options.http_timeout


class ClientBody:
    """The body of a request, as it comes from the client."""

    def __init__(self, session: Session, request: Request) -> None:
        self._session = session
        self._chunks: ChunkedDecoder | None = None
        self._left = 0  # bytes still to be read, plain framing
        self._taken = 0  # bytes read, chunked framing
        self._request = request

    def take_buffered(self) -> None:
        """Give the request what has arrived of its body. To be called once, before anything else.

        Raises:
            ClientError: the chunks are malformed (400), or too many (413).
        """
        session, request = self._session, self._request
        if request.body:  # in the lane already
            return
        buffer, session.buffer = session.buffer, b""
        if request.length is None:
            self._chunks = ChunkedDecoder()
            request.body = self._decode(buffer)
        else:
            request.body = buffer[: request.length]
            session.buffer = buffer[request.length :]
            self._left = request.length - len(request.body)
        request.complete = self.is_read
        if request.body:  # the client did not wait
            request.expects_continue = False

    @property
    def is_read(self) -> bool:
        """All of it has been read."""
        return self._chunks is None and not self._left

    async def read_body(self) -> bytes:
        session = self._session
        while not self.is_read:
            session.deadline = session.gateway.now + session.gateway.options.http_timeout
            data = session.buffer
            if data:
                session.buffer = b""
            else:
                data = await self._receive()
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
        data = await streams.receive(session.sock, session.gateway.options.http_buffer_size)
        if session.state is State.BODY:
            session.state = before
        if not data:
            raise ClientError(400, "request body broke off")
        session.deadline = session.gateway.now + session.gateway.options.http_timeout
        return data

    def _decode(self, data: bytes) -> bytes:
        chunks = self._chunks
        assert chunks is not None
        body = chunks.feed(data)
        if chunks.done:
            self._session.buffer = chunks.rest
            self._chunks = None
        self._taken += len(body)
        limit = self._session.gateway.reader.limit_post
        if limit and self._taken > limit:
            raise ClientError(413, f"chunked body of more than {limit} bytes")
        return body

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
        except* (ClientError, BackendError, NoNodeError, OSError) as group:
            failure = _first(group)
        if failure is not None:
            raise failure
        return keep and self._body.is_read

    async def _respond(self, nursery: trio.Nursery | None) -> bool:
        session = self._session
        exchange = self._exchange
        reply = await exchange.begin(self._request, self._body, nursery)
        _enter_response(session)
        start, chunked, keep = session.gateway.writer.start(
            self._request,
            reply.flags,
            reply.head,
            len(reply.body) if reply.last else None,
            self._body.is_read,
        )
        if reply.flags & NO_BODY:
            await streams.send_all(session.sock, start)
            while not reply.last:  # nothing comes but the end
                reply = Reply(reply.flags, b"", *await exchange.read())
            return keep
        try:
            await self._stream(start, reply, chunked)
        except BackendError as error:
            log.error("%s: %s: response broke off: %s", session.name, self._request, error)
            if not chunked and not reply.flags & LENGTH:
                # Only a reset can tell this client that the response is not complete.
                self.broken = True
                session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            return False
        return keep

    async def _stream(self, start: bytes, reply: Reply, chunked: bool) -> None:
        session = self._session
        gateway = session.gateway
        body, last = reply.body, reply.last
        while True:
            if chunked:
                if body:
                    body = encode_chunk(body)
                if last:
                    body += LAST_CHUNK
            if start:
                body = start + body
                start = b""
            session.deadline = gateway.now + gateway.options.http_timeout
            if body:
                await streams.send_all(session.sock, body)
            if last:
                return
            session.deadline = gateway.now + gateway.options.http_timeout
            body, last = await self._exchange.read()

    async def fail(self, status: int) -> None:
        """Tell the client what went wrong, if no response has begun."""
        session = self._session
        if session.state in (State.RESPONSE, State.LINGER):
            return
        _enter_response(session)
        page = error_page(status, body=self._request.method != b"HEAD")
        await streams.send_all(session.sock, page)


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
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
