"""Requests on streams that take waiting: bodies, large responses, plain backends.

The counterpart of gateways/relay.py: each function is part of one stream's task.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio
from h2.errors import ErrorCodes

from uwgate.conf.errors import BackendError, ClientError, NoNodeError
from uwgate.gateways import tunnel
from uwgate.gateways.exchange import BodySource, Exchange, UnansweredError
from uwgate.gateways.files import frames
from uwgate.gateways.relay import finish_unread, first_error, retry_after_of
from uwgate.gateways.spool import Read, Spool
from uwgate.gateways.states import State
from uwgate.gateways.wire.lease import ENCODING, NAMES_FILE, NO_BODY, TUNNEL

if TYPE_CHECKING:
    from uwgate.gateways.http2.stream import Stream
    from uwgate.gateways.http2.upload import Upload

log = logging.getLogger("uwgate.http")


async def answer(stream: Stream, exchange: Exchange) -> None:
    """Serve one request from its head on."""
    status = 0
    retry_after = 1
    named: bytes | None = None
    try:
        if stream.upload is not None and not stream.request.complete:
            stream.upload.take_buffered(stream.request)
            size = stream.connection.gateway.edge.http_body_buffer
            await stream.upload.collect(stream.request, size)
        if stream.request.complete:
            named = await _respond(stream, exchange, _NoBody(), None)
        else:
            named = await _respond_while_reading(stream, exchange)
    except ClientError as error:
        counters = stream.connection.gateway.counters
        counters.refuse(f"answer-{error.status}", "%s: %d: %s", stream, error.status, error)
        status = error.status
    except (BackendError, NoNodeError) as error:
        status = error.status
        counters = stream.connection.gateway.counters
        counters.refuse(
            f"answer-{status}", "%s: %d: %s", stream, status, error, level=logging.ERROR
        )
        retry_after = retry_after_of(error)
    except UnansweredError:
        stream.abort(ErrorCodes.CANCEL)
    finally:
        exchange.end()  # now: a client that takes its time must not hold a worker
    if named is not None:
        await frames.hand_over(stream, named)
        return
    if not status or stream.state is State.CLOSED:
        return
    if stream.has_started:
        stream.abort(ErrorCodes.INTERNAL_ERROR)  # the client must not take it for complete
    else:
        stream.refuse(status, retry_after)


async def _respond_while_reading(stream: Stream, exchange: Exchange) -> bytes | None:
    """Answer while the rest of the request's body is forwarded; returns as ``_respond``."""
    named: bytes | None = None
    failure: Exception | None = None
    assert stream.upload is not None
    try:
        async with trio.open_nursery() as nursery:
            named = await _respond(stream, exchange, stream.upload, nursery)
            nursery.cancel_scope.cancel()  # the answer is complete; nobody reads the rest
    except* (ClientError, BackendError, NoNodeError, UnansweredError, OSError) as group:
        failure = first_error(group)
    if failure is not None:
        raise failure
    return named


async def _respond(
    stream: Stream, exchange: Exchange, source: BodySource, nursery: trio.Nursery | None
) -> bytes | None:
    """Send the backend's answer; the head of one that names a file comes back instead."""
    reply = await exchange.begin(stream.request, source, nursery)
    if stream.has_started:
        return None  # it was cancelled, or a time-out was answered, at this very moment
    gateway = stream.connection.gateway
    if reply.flags & TUNNEL:
        await _tunnel(stream, reply.head, exchange.side)
        return None
    if reply.flags & NAMES_FILE and gateway.library.names_file(reply.head):
        await finish_unread(exchange, reply)
        return reply.head
    read: Read = exchange.read
    if reply.flags & ENCODING:
        reply, read = gateway.compression.begin(stream.request, reply, read)
    flags, head, body, last, _ = reply
    no_body = bool(flags & NO_BODY)
    size = len(body) if last else None
    end = no_body or (last and not body)
    if end:
        while not last:  # nothing comes but the end; the worker shall not be asked for it twice
            body, last = await read()
        stream.start_response(flags, head, size, end=True)
        stream.connection.schedule()
        return None
    stream.start_response(flags, head, size, end=False)
    if not body:
        stream.connection.schedule()  # the client may be waiting for the head
    spool: Spool | None = None

    def read_ahead() -> None:
        nonlocal spool, read
        if spool is None and not last and nursery is None:
            spool = gateway.spools.begin(read, flags, head, exchange.end)
            if spool is not None:
                read = spool.read

    try:
        while True:
            if body or last:
                await stream.send(body, end=last, behind=read_ahead)
            if last:
                return None
            stream.touch()
            body, last = await read()
    finally:
        if spool is not None:
            await spool.close()


async def _tunnel(stream: Stream, head: bytes, backend: tunnel.Side) -> None:
    """Open the WebSocket; returns when it has ended (RFC 8441)."""
    gateway = stream.connection.gateway
    if gateway.closes_tunnels:
        raise NoNodeError("no tunnel is opened any longer")
    assert stream.upload is not None
    stream.open_tunnel(head)
    idle = gateway.options.http_tunnel_timeout
    if not await tunnel.relay(_StreamSide(stream, stream.upload), backend, idle):
        log.info("%s: no byte moves any longer", stream)
        stream.abort(ErrorCodes.CANCEL)


class _StreamSide:
    """A stream as one end of a tunnel. Who resets it cancels the stream's task."""

    def __init__(self, stream: Stream, upload: Upload) -> None:
        self._stream = stream
        self._upload = upload

    async def receive(self) -> bytes:
        return await self._upload.read_body()

    async def send_all(self, data: bytes) -> None:
        await self._stream.send(data, end=False)

    async def send_eof(self) -> None:
        await self._stream.send(b"", end=True)


class _NoBody:
    """The source of a body that is complete already."""

    async def read_body(self) -> bytes:
        return b""

    async def send_continue(self) -> None:
        pass
