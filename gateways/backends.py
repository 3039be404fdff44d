"""Plain uwsgi backends (``http-to``): real uWSGI processes, a connection for each request.

Their answer is HTTP text that ends with the connection (spec/uwsgi-protocol.md section 4).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from typing import IO

import trio

from uwgate.conf.address import Address, AddressKind
from uwgate.conf.errors import BackendError, BackendTimeout, ClientError, NoNodeError
from uwgate.conf.groups.corerouter import CorerouterOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways import streams
from uwgate.gateways.exchange import BodySource, Raw, Reply, Request
from uwgate.gateways.tunnel import SocketSide
from uwgate.gateways.wire import lease
from uwgate.gateways.wire.cgi import pack
from uwgate.gateways.wire.chunked import ChunkedDecoder
from uwgate.gateways.wire.response import MAX_HEAD, ResponseError, parse_response
from uwgate.gateways.wire.upgrade import HandshakeError, check_accept
from uwgate.gateways.wire.uwsgi import HEADER

log = logging.getLogger("uwgate.backends")

DEAD_TIME = 30.0  # seconds that a backend is passed over after a failed connect (gracetime)
BUSY_PAUSE = 0.02  # seconds until a UNIX socket whose accept queue was full is tried again
SPOOL_IN_MEMORY = 1 << 20  # bytes of a chunked body kept in memory; beyond it a file
SPOOL_LIMIT = 1 << 30  # bytes of a chunked body at most, where limit-post says nothing


class UwsgiBackends:
    """A fixed list of backends that take turns; ``limit``: bytes of a body that is collected."""

    def __init__(
        self,
        addresses: Sequence[Address],
        options: HttpOptions,
        core: CorerouterOptions,
        limit: int = 0,
        *,
        adds_forwarded: bool = False,
    ) -> None:
        self.addresses = list(addresses)
        self.options = options
        self.core = core
        self.adds_forwarded = adds_forwarded  # requests name the client already
        self.spool_limit = limit or SPOOL_LIMIT
        self._next = 0
        self._dead: dict[Address, float] = {}

    def in_turn(self) -> list[Address]:
        """All backends, the one whose turn it is first, those marked dead last."""
        count = len(self.addresses)
        turn = [self.addresses[(self._next + step) % count] for step in range(count)]
        self._next = (self._next + 1) % count if count else 0
        now = trio.current_time()
        return sorted(turn, key=lambda address: self._dead.get(address, 0.0) > now)

    def failed(self, address: Address) -> None:
        """A connect to ``address`` failed."""
        self._dead[address] = trio.current_time() + DEAD_TIME

    def answered(self, address: Address) -> None:
        """A connect to ``address`` succeeded."""
        self._dead.pop(address, None)


class UwsgiExchange:
    """One request on a connection of its own."""

    __slots__ = ("_backends", "_chunks", "_left", "_name", "_sock", "_spool", "_tail")

    def __init__(self, backends: UwsgiBackends) -> None:
        self._backends = backends
        self._sock: socket.socket | None = None
        self._name = ""
        self._spool: IO[bytes] | None = None
        self._left: int | None = None  # bytes missing of the response's body; None: until EOF
        self._chunks: ChunkedDecoder | None = None
        self._tail = b""

    async def begin(
        self, request: Request, source: BodySource, nursery: trio.Nursery | None
    ) -> Reply:
        packet = await self._packet(request, source)
        self._sock = sock = await self._connect()
        if request.expects_continue and not request.complete:
            await source.send_continue()
        try:
            await streams.send_all(sock, packet)
        except OSError as error:
            raise BackendError(self._name, f"refused the request: {error}", sent=True) from error
        if self._spool is not None:
            await self._forward(sock, self._read_spool)
        elif not request.complete and nursery is not None:
            nursery.start_soon(self._forward_rest, sock, source, request)
        return await self._receive_head(sock, request)

    async def _packet(self, request: Request, source: BodySource) -> bytes:
        """What is sent at first: the request, and what has come of its body."""
        block = request.block
        if request.length is None and request.raw is None:
            size = await self._collect(request, source)
            block += pack((("CONTENT_LENGTH", str(size).encode()),))
        options = self._backends.options
        packet = HEADER.pack(options.http_modifier1, len(block), options.http_modifier2) + block
        return packet if self._spool is not None else packet + request.body

    async def _collect(self, request: Request, source: BodySource) -> int:
        """Take in the whole chunked body: a plain backend needs its length first."""
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115 (end() closes it)
            SPOOL_IN_MEMORY
        )
        self._spool = spool
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
        spool.seek(0)
        return size

    async def _connect(self) -> socket.socket:
        """A connection to the first backend that takes one."""
        backends = self._backends
        if not backends.addresses:
            raise NoNodeError("no workers and no http-to backend")
        failure: BackendError | None = None
        for address in backends.in_turn():
            self._name = str(address)
            try:
                sock = await _connect(address, backends.core.connect_timeout)
            except BackendError as error:
                failure = error
                backends.failed(address)
                if not backends.core.quiet:
                    log.warning("%s", error)
            else:
                backends.answered(address)
                return sock
        assert failure is not None
        raise failure

    async def _forward(self, sock: socket.socket, read: Callable[[], Awaitable[bytes]]) -> None:
        while piece := await read():  # an OSError here is the client's: it ends the request
            try:
                await streams.send_all(sock, piece)
            except OSError:
                return  # it has read enough; its answer says what it thinks of the request

    async def _forward_rest(
        self, sock: socket.socket, source: BodySource, request: Request
    ) -> None:
        await self._forward(sock, source.read_body)
        if request.raw is Raw.ENDLESS:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)  # how else would it know?

    async def _read_spool(self) -> bytes:
        assert self._spool is not None
        return self._spool.read(streams.RECEIVE_SIZE)

    async def _receive_head(self, sock: socket.socket, request: Request) -> Reply:
        buffer = b""
        while True:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(buffer) > MAX_HEAD:
                    raise BackendError(self._name, "response head too large", sent=True)
                data = await self._receive(sock)
                if not data:
                    what = "closed in the response head" if buffer else "closed without an answer"
                    raise BackendError(self._name, what, sent=True)
                buffer += data
                continue
            try:
                head = parse_response(buffer[:end], request.method)
            except ResponseError as error:
                raise BackendError(self._name, str(error), sent=True) from error
            buffer = buffer[end + 4 :]
            if head.status >= 200:
                break
            if head.status == 101:
                return self._open_tunnel(request, head.head, buffer)
        self._left = head.length
        if head.chunked and not head.flags & lease.NO_BODY:
            self._chunks = ChunkedDecoder()
        self._tail = buffer
        last = self._left == 0
        if last or not buffer:
            return Reply(head.flags, head.head, b"", last)
        body, last = await self.read()
        return Reply(head.flags, head.head, body, last)

    def _open_tunnel(self, request: Request, head: bytes, received: bytes) -> Reply:
        if not request.websocket_key:
            raise BackendError(self._name, "101, but nobody asked for an upgrade", sent=True)
        try:
            check_accept(head, request.websocket_key)
        except HandshakeError as error:
            raise BackendError(self._name, str(error), sent=True) from error
        self._tail = received
        return Reply(lease.HEAD | lease.TUNNEL, head, b"", last=False)

    @property
    def side(self) -> SocketSide:
        assert self._sock is not None
        return SocketSide(self._sock, self._tail)

    async def read(self) -> tuple[bytes, bool]:
        sock = self._sock
        assert sock is not None
        while True:
            data, self._tail = self._tail, b""
            if not data:
                data = await self._receive(sock)
            if self._chunks is not None:
                if not data:
                    raise BackendError(self._name, "closed within a chunked body", sent=True)
                try:
                    body = self._chunks.feed(data)
                except ClientError as error:
                    raise BackendError(self._name, str(error), sent=True) from error
                if body or self._chunks.done:
                    return body, self._chunks.done
            elif self._left is None:
                return data, not data
            else:
                if not data:
                    raise BackendError(self._name, f"{self._left} bytes short", sent=True)
                body = data[: self._left]
                self._left -= len(body)
                return body, not self._left

    async def _receive(self, sock: socket.socket) -> bytes:
        try:
            return await streams.receive(sock, self._backends.options.http_buffer_size)
        except OSError as error:
            raise BackendError(self._name, f"broke off: {error.strerror}", sent=True) from error

    def end(self) -> None:
        if self._spool is not None:
            self._spool.close()
        if self._sock is not None:
            streams.close(self._sock)
            self._sock = None


async def _connect(address: Address, limit: float) -> socket.socket:
    """A connection to ``address``, within ``limit`` seconds.

    Raises:
        BackendError: refused, unreachable, or (BackendTimeout) not in time.
    """
    try:
        with trio.fail_after(limit):
            if address.kind is AddressKind.TCP:
                return await _connect_tcp(address)
            name = address.path if address.kind is AddressKind.UNIX else "\0" + address.path
            return await _connect_unix(name)
    except trio.TooSlowError as error:
        raise BackendTimeout(
            str(address), f"no connection within {limit:g} s", sent=False
        ) from error
    except OSError as error:
        raise BackendError(str(address), f"no connection: {error.strerror}", sent=False) from error


async def _connect_tcp(address: Address) -> socket.socket:
    found = await trio.socket.getaddrinfo(
        address.host or "127.0.0.1", address.port, type=socket.SOCK_STREAM
    )
    failure: OSError | None = None
    for family, kind, protocol, _, where in found:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                sock.connect(where)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, errno.errorcode.get(code, "")) from None
            return sock
        except OSError as error:
            failure = error
            streams.close(sock)
        except BaseException:
            streams.close(sock)
            raise
    raise failure or OSError(errno.EADDRNOTAVAIL, "no address")


async def _connect_unix(name: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        while True:
            try:
                sock.connect(name)
                return sock
            except BlockingIOError:  # its accept queue is full: somebody is there, but busy
                await trio.sleep(BUSY_PAUSE)
    except BaseException:
        sock.close()
        raise
