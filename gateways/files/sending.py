"""Files to clients of HTTP/1: each function is a task of one session, outside the lane.

The bytes of a plain connection go from the kernel's memory to the socket by ``os.sendfile``,
others through OpenSSL piece by piece. What has to come from a disk first is brought in by a thread.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

import trio

from uwgate.files.finder import Refused
from uwgate.files.memory import Whole
from uwgate.files.plan import Extent, Plan
from uwgate.files.resident import BrokenFileError, ShortenedError, is_resident
from uwgate.gateways import relay
from uwgate.gateways.exchange import Request
from uwgate.gateways.files.head import head_of
from uwgate.gateways.files.lane import PIECE, Rest
from uwgate.gateways.files.library import Reply, status_of
from uwgate.gateways.pace import Pace, Taking

if TYPE_CHECKING:
    from uwgate.gateways.session import Session

log = logging.getLogger("uwgate.http")

TLS_PIECE = 65536  # bytes of a file sent at a time through OpenSSL
ROUNDS = 8  # pieces sent before others get their turn


async def search(session: Session, request: Request) -> bool:
    """Answer with the request's file, or have the application answer."""
    gateway = session.gateway
    began = time.time()
    try:
        reply = await gateway.library.find(request)
    except OSError as error:
        return await fail(session, request, error)
    if reply is None:
        return await relay.answer(session, request, gateway.exchange(request))
    gateway.library.note(request, reply, began)
    return await respond(session, request, reply, drop_body(session, request))


async def hand_over(session: Session, request: Request, head: bytes, is_read: bool) -> bool:
    """Answer with the file that the application's answer names."""
    try:
        reply = await session.gateway.library.find_named(request, head)
    except OSError as error:
        return await fail(session, request, error)
    if isinstance(reply, Refused):
        return await refuse(session, request, reply)
    return await respond(session, request, reply, is_read)


async def respond(session: Session, request: Request, reply: Reply, is_read: bool) -> bool:
    """Send a file; ``is_read``: nothing of the request is to come."""
    start, keep = head_for(session, request, reply, is_read)
    if isinstance(reply, Whole):
        await Outflow(session).send(start + reply.body)
        return await ended(session, is_read, keep)
    return await go_on(session, request, reply, Rest(start), is_read, keep)


async def go_on(
    session: Session, request: Request, plan: Plan, rest: Rest, is_read: bool, keep: bool
) -> bool:
    """Send the rest of an answer; see ``respond``."""
    try:
        outflow = Outflow(session)
        if rest.head:
            await outflow.send(rest.head, more=bool(plan.pieces))
        await outflow.send_plan(plan, rest.number, rest.done)
    except BrokenFileError as error:
        say_broken(session, request, error)
        return False
    finally:
        plan.close()
    return await ended(session, is_read, keep)


async def refuse(session: Session, request: Request, refused: Refused) -> bool:
    """The application has named a file that it must not, or that is not there."""
    text = "%s: %s: the application names %r: %s"
    counters = session.gateway.counters
    path, level = refused.path[:200], logging.ERROR
    counters.refuse("answer-500", text, session.name, request, path, refused.reason, level=level)
    return await relay.dismiss(session, session.gateway.writer.error(500, body=has_body(request)))


async def fail(session: Session, request: Request, error: OSError) -> bool:
    """The machine cannot open or read a file."""
    status = status_of(error)
    text = "%s: %s: %d: cannot serve the file: %s"
    counters = session.gateway.counters
    counters.refuse(
        f"answer-{status}",
        text,
        session.name,
        request,
        status,
        error.strerror,
        level=logging.ERROR,
    )
    page = session.gateway.writer.error(status, body=has_body(request))
    return await relay.dismiss(session, page)


def has_body(request: Request) -> bool:
    """Whether an answer to it may have one."""
    return request.method != b"HEAD"


def drop_body(session: Session, request: Request) -> bool:
    """Throw away the body of a request that needs none; whether all of it was there."""
    length = request.length
    if length is None or len(session.buffer) < length - len(request.body):
        return request.complete and length is not None and len(request.body) == length
    session.buffer = session.buffer[length - len(request.body) :]
    return True


def head_for(session: Session, request: Request, reply: Reply, is_read: bool) -> tuple[bytes, bool]:
    """The head as the client gets it, and whether the connection is kept."""
    if isinstance(reply, Whole):
        flags, head, size = reply.flags, reply.head, len(reply.body)
    else:
        flags, head = head_of(reply, request.method)
        size = reply.length
    start, _, keep = session.gateway.writer.start(request, flags, head, size, is_read)
    return start, keep


def say_broken(session: Session, request: Request, error: BrokenFileError) -> None:
    """The answer cannot be as long as its head has said: the connection ends before that."""
    text = "%s: %s: the file cannot be sent to its end: %s"
    counters = session.gateway.counters
    counters.refuse("file-broken", text, session.name, request, error.strerror, level=logging.ERROR)


async def ended(session: Session, is_read: bool, keep: bool) -> bool:
    """The answer is sent: go on, or let the client read it before the connection is closed."""
    if keep:
        return True
    if is_read and not session.buffer:
        return False
    return await relay.linger(session)


class Outflow:
    """What goes to one client; it has to be taken at http-min-rate."""

    def __init__(self, session: Session) -> None:
        relay.enter_response(session)
        self._session = session
        self._sock = session.sock
        # TLS has no use for it: OpenSSL has to see the bytes.
        self._by_kernel = isinstance(session.sock, socket.socket)
        self._round = 0

    async def send(self, data: bytes, *, more: bool = False) -> None:
        """Send bytes; ``more``: they may wait for those that come next.

        Raises:
            OSError: the connection broke.
        """
        rest = memoryview(data)
        sock = self._sock
        try:
            while rest:
                try:
                    if more and isinstance(sock, socket.socket):
                        sent = sock.send(rest, socket.MSG_MORE)
                    else:
                        sent = sock.send(rest)
                except BlockingIOError:
                    await self._room()
                    continue
                rest = rest[sent:]
            await self._turn()
        finally:
            self._session.taking = None

    async def send_plan(self, plan: Plan, number: int, done: int) -> None:
        """Send the pieces of a plan from ``number`` on, of which ``done`` bytes are sent.

        Raises:
            BrokenFileError: the file cannot be read to the end.
            OSError: the connection broke.
        """
        for piece in plan.pieces[number:]:
            if isinstance(piece, Extent):
                rest = Extent(piece.descriptor, piece.offset + done, piece.length - done)
                await self._send_extent(rest)
            else:
                await self.send(piece[done:])
            done = 0

    async def _send_extent(self, extent: Extent) -> None:
        offset, end = extent.offset, extent.offset + extent.length
        most = PIECE if self._by_kernel else TLS_PIECE
        move = self._move_by_kernel if self._by_kernel else self._move_by_hand
        try:
            while offset < end:
                count = min(end - offset, most)
                if not is_resident(extent.descriptor, offset, count):
                    await self._bring_in(extent.descriptor, offset, count)
                moved = await move(extent.descriptor, offset, count)
                if not moved:
                    raise ShortenedError
                offset += moved
                await self._turn()
        finally:
            self._session.taking = None

    async def _move_by_kernel(self, descriptor: int, offset: int, count: int) -> int:
        while True:
            try:
                return os.sendfile(self._sock.fileno(), descriptor, offset, count)
            except BlockingIOError:
                await self._room()

    async def _move_by_hand(self, descriptor: int, offset: int, count: int) -> int:
        try:
            data = memoryview(os.pread(descriptor, count, offset))
        except OSError as error:
            raise BrokenFileError(error.errno, error.strerror) from error
        count = len(data)
        while data:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError:
                await self._room()
        return count

    async def _room(self) -> None:
        """Wait until the client takes more."""
        session = self._session
        now = trio.current_time()
        if session.taking is None:
            gateway = session.gateway
            pace = Pace(gateway.edge.http_min_rate, gateway.edge.http_min_rate_grace)
            timeout = gateway.options.http_timeout
            session.taking = Taking(session.sock.fileno(), pace, timeout, now)
            session.deadline = session.taking.begin(now)
        await trio.lowlevel.wait_writable(self._sock)

    async def _bring_in(self, descriptor: int, offset: int, count: int) -> None:
        """Have a thread read what is not in memory; the client is not to blame meanwhile."""
        session = self._session
        session.taking = None
        session.deadline = trio.current_time() + session.gateway.options.http_timeout
        await session.gateway.library.bring_in(descriptor, offset, count)

    async def _turn(self) -> None:
        """Give others their turn, now and then."""
        self._round += 1
        if self._round % ROUNDS == 0:
            session = self._session
            if session.taking is None:
                session.deadline = trio.current_time() + session.gateway.options.http_timeout
            await trio.lowlevel.checkpoint()
