"""Files to clients of HTTP/2: what takes a task of the stream.

The bytes are read piece by piece, as the client's windows and those of the other streams let them
go; what has to come from a disk first is brought in by a thread.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from uwgate.files.finder import Refused
from uwgate.files.memory import Whole
from uwgate.files.plan import Extent, Plan
from uwgate.files.resident import BrokenFileError, ShortenedError, is_resident
from uwgate.gateways.files.head import head_of
from uwgate.gateways.files.library import Reply, status_of
from uwgate.gateways.http2 import relay

if TYPE_CHECKING:
    from uwgate.gateways.http2.stream import Stream

PIECE = 65536  # bytes read at a time


async def search(stream: Stream) -> None:
    """Answer with the request's file, or have the application answer."""
    gateway = stream.connection.gateway
    began = time.time()
    async with stream.connection.files:
        try:
            reply = await gateway.library.find(stream.request)
        except OSError as error:
            fail(stream, error)
            return
        if reply is not None:
            gateway.library.note(stream.request, reply, began)
            await _respond(stream, reply)
            return
    await relay.answer(stream, gateway.exchange(stream.request))


async def hand_over(stream: Stream, head: bytes) -> None:
    """Answer with the file that the application's answer names."""
    async with stream.connection.files:
        try:
            reply = await stream.connection.gateway.library.find_named(stream.request, head)
        except OSError as error:
            fail(stream, error)
            return
        if isinstance(reply, Refused):
            refuse(stream, reply)
        else:
            await _respond(stream, reply)


async def respond(stream: Stream, plan: Plan) -> None:
    """Send a file for which there is room (``Connection.files``), and give that back."""
    try:
        await _respond(stream, plan)
    finally:
        stream.connection.files.release()


async def _respond(stream: Stream, reply: Reply) -> None:
    if isinstance(reply, Whole):
        if not stream.has_started:
            stream.send_whole(reply.flags, reply.head, reply.body)
        return
    try:
        if stream.has_started:
            return  # it was cancelled, or a time-out was answered, at this very moment
        flags, head = head_of(reply, stream.request.method)
        stream.start_response(flags, head, reply.length, end=not reply.length)
        await _send_plan(stream, reply)
    except BrokenFileError as error:
        text = "%s: the file cannot be sent to its end: %s"
        counters = stream.connection.gateway.counters
        counters.refuse("file-broken", text, stream, error.strerror, level=logging.ERROR)
        stream.abort(ErrorCodes.INTERNAL_ERROR)  # the client must not take it for complete
    finally:
        reply.close()


def refuse(stream: Stream, refused: Refused) -> None:
    """The application has named a file that it must not, or that is not there."""
    text = "%s: the application names %r: %s"
    counters = stream.connection.gateway.counters
    path, level = refused.path[:200], logging.ERROR
    counters.refuse("answer-500", text, stream, path, refused.reason, level=level)
    stream.refuse(500)


def fail(stream: Stream, error: OSError) -> None:
    """The machine cannot open or read a file."""
    status = status_of(error)
    text = "%s: %d: cannot serve the file: %s"
    counters = stream.connection.gateway.counters
    counters.refuse(f"answer-{status}", text, stream, status, error.strerror, level=logging.ERROR)
    stream.refuse(status)


async def _send_plan(stream: Stream, plan: Plan) -> None:
    last = len(plan.pieces) - 1
    for number, piece in enumerate(plan.pieces):
        if not isinstance(piece, Extent):
            await stream.send(piece, end=number == last)
            continue
        offset, end = piece.offset, piece.offset + piece.length
        while offset < end:
            data = await _read(stream, piece.descriptor, offset, min(PIECE, end - offset))
            offset += len(data)
            await stream.send(data, end=number == last and offset == end)


async def _read(stream: Stream, descriptor: int, offset: int, count: int) -> bytes:
    """At least one byte of a file.

    Raises:
        BrokenFileError: there are none.
    """
    if not is_resident(descriptor, offset, count):
        stream.touch()
        await stream.connection.gateway.library.bring_in(descriptor, offset, count)
        stream.touch()
    try:
        data = os.pread(descriptor, count, offset)
    except OSError as error:
        raise BrokenFileError(error.errno, error.strerror) from error
    if not data:
        raise ShortenedError
    return data
