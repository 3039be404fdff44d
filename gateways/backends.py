"""Backends that are not our own workers by leases: nodes, ``http-to`` and the like.

Each request gets a connection of its own. The answer is HTTP text that ends with the
connection (spec/uwsgi-protocol.md section 4), or as its own head says.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO

import trio

from uwgate.conf.errors import BackendError, ClientError, NoNodeError
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways import records, streams
from uwgate.gateways.connecting import ConnectError, connect
from uwgate.gateways.corerouter.attempts import Attempts, Router
from uwgate.gateways.corerouter.target import Asked, Target
from uwgate.gateways.exchange import BodySource, Raw, Reply, Request
from uwgate.gateways.speech import Http, Speech, Uwsgi
from uwgate.gateways.stickiness import Stickiness
from uwgate.gateways.tunnel import CountedSide, SocketSide
from uwgate.gateways.wire import lease
from uwgate.gateways.wire.chunked import ChunkedDecoder
from uwgate.gateways.wire.fastcgi import FastCgiDecoder, FastCgiError
from uwgate.gateways.wire.response import ResponseError
from uwgate.gateways.wire.upgrade import HandshakeError, check_accept

SPOOL_IN_MEMORY = 1 << 20  # bytes of a chunked body kept in memory; beyond it a file
SPOOL_LIMIT = 1 << 30  # bytes of a chunked body at most, where limit-post says nothing
REFUSALS = frozenset((502, 503, 504))  # answers by which a backend says that it cannot
NOBODY = Asked("")


class Backends:
    """What the exchanges of a gateway have in common.

    ``limit``: bytes of a collected body. ``speech``: what all backends are spoken to in; None:
    each says whether it is HTTP or uwsgi.
    """

    def __init__(
        self,
        router: Router,
        options: HttpOptions,
        edge: EdgeOptions,
        stickiness: Stickiness | None = None,
        limit: int = 0,
        speech: Speech | None = None,
    ) -> None:
        self.router = router
        self.stickiness = stickiness
        self.options = options
        self.spool_limit = limit or SPOOL_LIMIT
        self.uwsgi: Speech = speech or Uwsgi(options)
        self.http: Speech = speech or Http(options, edge)


class BackendExchange:
    """One request on a connection of its own."""

    __slots__ = (
        "_attempts",
        "_backends",
        "_began",
        "_blocked",
        "_chunks",
        "_decoder",
        "_is_sent",
        "_left",
        "_name",
        "_received",
        "_sent",
        "_since",
        "_size",
        "_sock",
        "_speech",
        "_spool",
        "_tail",
    )

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._attempts: Attempts | None = None
        self._sock: socket.socket | None = None
        self._name = ""
        self._speech = backends.uwsgi
        self._size: int | None = None  # of the request's body
        self._spool: IO[bytes] | None = None
        self._left: int | None = None  # bytes missing of the response's body; None: until EOF
        self._chunks: ChunkedDecoder | None = None
        self._decoder: FastCgiDecoder | None = None
        self._tail = b""
        self._sent = self._received = 0  # bytes
        self._is_sent = False  # the client has nothing more to send
        # Trio's clock. When the request, or the last piece of its body, was there; since when
        # nobody but the backend is waited for; since when it does not take a piece.
        self._began = 0.0
        self._since: float | None = None
        self._blocked: float | None = None

    async def begin(
        self, request: Request, source: BodySource, nursery: trio.Nursery | None
    ) -> Reply:
        self._began = trio.current_time()
        sock = await self._hand_over(request, source)
        if request.complete or nursery is None:
            self._wait_for_backend()
        else:
            nursery.start_soon(self._forward_rest, sock, source, request)
        if self._spool is not None:
            await self._forward(sock, request, self._read_spool)
        return await self._receive_head(sock, request)

    # The request

    async def _hand_over(self, request: Request, source: BodySource) -> socket.socket:
        """Connect to the first backend that takes it, and begin to send.

        Raises:
            NoNodeError: there is none.
            BackendError: it broke off.
        """
        router = self._backends.router
        attempts = self._attempts = router.attempts(request.asked or NOBODY)
        self._size = request.length
        while True:
            if router.needs_task:
                await attempts.prepare()
            target = attempts.next(router.clock())
            if target is None:
                raise NoNodeError(
                    attempts.refusal, retry_after=attempts.retry_after(router.clock())
                )
            packet = await self._begin_with(target, request, source)
            try:
                sock = await connect(
                    target.address,
                    router.options.connect_timeout,
                    attempts.patience(router.clock()),
                )
            except ConnectError as error:
                attempts.failed(router.clock(), str(error), busy=error.is_busy)
                continue
            self._sock = sock
            if request.expects_continue and not request.complete:
                await source.send_continue()
                request.expects_continue = False
            try:
                sent = self._send_now(sock, packet)
            except OSError as error:  # it closed at once: nothing was handed over
                self._close()
                attempts.failed(router.clock(), f"no connection: {error.strerror}")
                continue
            attempts.connected(router.clock())
            if sent < len(packet):
                await self._send(sock, packet[sent:])
            return sock

    async def _begin_with(self, target: Target, request: Request, source: BodySource) -> bytes:
        """What is sent at first: the request, and what has come of its body."""
        backends = self._backends
        self._name = target.name
        self._speech = speech = backends.http if target.speaks_http else backends.uwsgi
        self._decoder = speech.decoder()
        if speech.wants_length and self._size is None and request.raw is None:
            self._size = await self._collect(request, source)
        packet = speech.head(request, target, self._size)
        if self._spool is not None:
            return packet
        if request.body:
            packet += speech.piece(request, self._size, request.body)
        return packet + speech.end(request, self._size) if request.complete else packet

    async def _collect(self, request: Request, source: BodySource) -> int:
        """Take in the whole chunked body: a plain backend needs its length first."""
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_IN_MEMORY)  # noqa: SIM115
        self._spool = spool  # end() closes it
        size = spool.write(request.body)
        if request.expects_continue and not request.complete:
            await source.send_continue()
            request.expects_continue = False
        if not request.complete:
            while data := await source.read_body():
                size += spool.write(data)
                if size > self._backends.spool_limit:
                    raise ClientError(413, f"chunked body of more than {size} bytes")
        request.complete = True
        self._began = trio.current_time()
        spool.seek(0)
        return size

    def _send_now(self, sock: socket.socket, data: bytes) -> int:
        """Send as much as goes without waiting; returns how much that is.

        Raises:
            OSError: nothing.
        """
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        self._sent += sent
        return sent

    async def _send(self, sock: socket.socket, data: bytes) -> None:
        try:
            await streams.send_all(sock, data)
        except OSError as error:
            raise self._broken(f"refused the request: {error.strerror}") from error
        self._sent += len(data)

    async def _forward(
        self, sock: socket.socket, request: Request, read: Callable[[], Awaitable[bytes]]
    ) -> None:
        """Send the body. When the backend has read enough of it, its answer will say why."""
        while piece := await read():  # an OSError here is the client's: it ends the request
            self._began = trio.current_time()
            data = self._speech.piece(request, self._size, piece)
            self._blocked = self._began
            try:
                await streams.send_all(sock, data)
            except OSError:
                return
            self._sent += len(data)
            self._blocked = None
        if end := self._speech.end(request, self._size):
            with contextlib.suppress(OSError):
                await streams.send_all(sock, end)

    async def _forward_rest(
        self, sock: socket.socket, source: BodySource, request: Request
    ) -> None:
        await self._forward(sock, request, source.read_body)
        self._wait_for_backend()
        if request.raw is Raw.ENDLESS and not self._speech.has_end:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)  # how else would it know?

    def _wait_for_backend(self) -> None:
        """All of the request is there: the time that passes from now on is the backend's."""
        self._is_sent = True
        self._since = self._began

    async def _read_spool(self) -> bytes:
        assert self._spool is not None
        return self._spool.read(streams.RECEIVE_SIZE)

    # The response

    async def _receive_head(self, sock: socket.socket, request: Request) -> Reply:
        buffer = b""
        while True:
            try:
                found = self._speech.read_head(buffer, request.method)
            except ResponseError as error:
                raise self._broken(str(error)) from error
            if found is None:
                data = await self._receive(sock)
                if not data:
                    what = "closed in the response head" if buffer else "closed without an answer"
                    raise self._broken(what)
                buffer += data
                continue
            head, buffer = found
            if head.status == 101:
                return self._open_tunnel(request, head.head, buffer)
            if head.status >= 200:
                break
        self._answered(good=head.status not in REFUSALS)
        self._left = head.length
        if head.chunked and not head.flags & lease.NO_BODY:
            self._chunks = ChunkedDecoder()
        self._tail = buffer
        lines = self._with_cookie(request, head.head)
        last = self._left == 0
        if last or not buffer:
            return Reply(head.flags, lines, b"", last)
        body, last = await self.read()
        return Reply(head.flags, lines, body, last)

    def _with_cookie(self, request: Request, head: bytes) -> bytes:
        stickiness = self._backends.stickiness
        if stickiness is None or self._attempts is None:
            return head
        return head + stickiness.line(request, self._attempts.target)

    def _open_tunnel(self, request: Request, head: bytes, received: bytes) -> Reply:
        if not request.websocket_key:
            raise self._broken("101, but nobody asked for an upgrade")
        try:
            check_accept(head, request.websocket_key)
        except HandshakeError as error:
            raise self._broken(str(error)) from error
        self._tail = received
        self._answered(good=True)
        lines = self._with_cookie(request, head)
        return Reply(lease.HEAD | lease.TUNNEL, lines, b"", last=False)

    @property
    def side(self) -> SocketSide:
        assert self._sock is not None
        self._received -= len(self._tail)  # it will be counted there
        return CountedSide(self._sock, self._tail, self._count)

    def _count(self, received: int, sent: int) -> None:
        self._received += received
        self._sent += sent

    async def read(self) -> tuple[bytes, bool]:
        sock = self._sock
        assert sock is not None
        while True:
            data, self._tail = self._tail, b""
            if not data:
                data = await self._receive(sock)
            if self._chunks is not None:
                if not data:
                    raise self._broken("closed within a chunked body")
                try:
                    body = self._chunks.feed(data)
                except ClientError as error:
                    raise self._broken(str(error)) from error
                if body or self._chunks.done:
                    return body, self._chunks.done
            elif self._left is None:
                return data, not data
            else:
                if not data:
                    raise self._broken(f"{self._left} bytes short")
                body = data[: self._left]
                self._left -= len(body)
                return body, not self._left

    async def _receive(self, sock: socket.socket) -> bytes:
        """More of the answer; empty at its end."""
        decoder = self._decoder
        if decoder is None:
            return await self._receive_bytes(sock)
        try:
            return await records.receive(decoder, lambda: self._receive_bytes(sock), self._name)
        except FastCgiError as error:
            raise self._broken(str(error)) from error

    async def _receive_bytes(self, sock: socket.socket) -> bytes:
        if self._is_sent and self._since is None:
            self._since = trio.current_time()
        try:
            data = await streams.receive(sock, self._backends.options.http_buffer_size)
        except OSError as error:
            raise self._broken(f"broke off: {error.strerror}") from error
        self._since = None
        self._received += len(data)
        return data

    # What became of it

    def _answered(self, *, good: bool) -> None:
        assert self._attempts is not None
        self._attempts.answered(self._backends.router.clock(), good=good)

    def _broken(self, reason: str) -> BackendError:
        """The error to raise when the backend has failed after it was connected."""
        self._answered(good=False)
        return BackendError(self._name, reason, sent=True)

    def end(self) -> None:
        if self._spool is not None:
            self._spool.close()
        attempts = self._attempts
        if attempts is not None:
            if self._is_overdue():
                self._answered(good=False)
            attempts.end(self._backends.router.clock(), tx=self._received, rx=self._sent)
            self._attempts = None
        self._close()

    def _is_overdue(self) -> bool:
        """Whether the request was given up because the backend took too long.

        Whoever gives a request up does not say why. The gateway looks at the clock twice a
        second.
        """
        since = self._since if self._blocked is None else self._blocked
        if since is None:
            return False
        limit = self._backends.options.http_timeout
        return trio.current_time() - since >= max(limit - 1.0, limit / 2)

    def _close(self) -> None:
        if self._sock is not None:
            streams.close(self._sock)
            self._sock = None
