"""One client connection of the HTTP gateway: requests in, responses out.

The session owns the client's socket. What may take long is bounded by ``deadline``, which the
gateway's clock task compares with the time twice a second and then cancels ``scope``: a cancel
scope of its own for every wait would cost a tenth of the speed (docs/design.md).
"""

from __future__ import annotations

import contextlib
import enum
import logging
import math
import socket
import struct
from typing import TYPE_CHECKING

import httptools
import trio

from uwgate.conf.errors import BackendError, ClientError, NoNodeError
from uwgate.gateways import streams
from uwgate.gateways.exchange import Exchange, Reply, Request
from uwgate.gateways.pages import error_page
from uwgate.gateways.wire import cgi, http1, lease
from uwgate.gateways.wire.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk
from uwgate.gateways.wire.uwsgi import MAX_BLOCK

if TYPE_CHECKING:
    from uwgate.gateways.http import HttpGateway

log = logging.getLogger("uwgate.http")

LINGER = 2.0  # seconds in which a refused client may stop sending, so that it reads the answer
RECEIVE_SIZE = 16384  # bytes asked for while a head is awaited

_METHOD = cgi.pack_key(b"REQUEST_METHOD")
_URI = cgi.pack_key(b"REQUEST_URI")
_PATH = cgi.pack_key(b"PATH_INFO")
_QUERY = cgi.pack_key(b"QUERY_STRING")
_PROTOCOLS = tuple(
    cgi.pack((("SERVER_PROTOCOL", b"HTTP/1.%d" % minor), ("SCRIPT_NAME", b""))) for minor in (0, 1)
)
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


class State(enum.Enum):
    """What a session waits for; it decides what a time-out means."""

    IDLE = "the next request"
    HEAD = "the rest of a request head"
    BACKEND = "the backend's answer"
    RESPONSE = "the response to be through"
    LINGER = "the client to go"


class _Parsed:
    """Target of the httptools parser: the request line's URL and the header lines."""

    __slots__ = ("headers", "target")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.target = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


class Session:
    """A client connection. ``peer`` holds its packed constant variables."""

    __slots__ = (
        "_body_left",
        "_buffer",
        "_chunks",
        "_gateway",
        "_parsed",
        "_parser",
        "_peer",
        "deadline",
        "gone",
        "name",
        "scope",
        "sock",
        "state",
    )

    def __init__(self, gateway: HttpGateway, sock: socket.socket, name: str, peer: bytes) -> None:
        self._gateway = gateway
        self.sock = sock
        self.name = name
        self.state = State.IDLE
        self.deadline = gateway.now + gateway.options.http_headers_timeout
        self.scope = trio.CancelScope()
        self.gone = False  # the client has reset the connection while it was to wait
        self._peer = peer
        self._buffer = b""  # received, but not consumed yet
        self._body_left = 0  # bytes of the request's body still to be read, plain framing
        self._chunks: ChunkedDecoder | None = None  # the same, chunked framing
        self._parsed = _Parsed()
        self._parser = httptools.HttpRequestParser(self._parsed)

    async def run(self) -> None:
        """Serve the connection until either side has enough of it. Never raises."""
        try:
            with self.scope, contextlib.suppress(OSError):  # OSError: the client is gone
                await self._serve()
            if self.scope.cancelled_caught:
                self._time_out()
        except Exception:
            log.exception("%s crashed", self.name)  # a bug: the traceback is the report
        finally:
            streams.close(self.sock)

    async def _serve(self) -> None:
        gateway = self._gateway
        fresh = True
        while True:
            try:
                head = await self._read_head(fresh)
                fresh = False
                if head is None:
                    return
                keep = await self._answer(head)
            except ClientError as error:
                log.info("%s: %d: %s", self.name, error.status, error)
                await self._refuse(error.status)
                return
            if not keep:
                return
            self.state = State.IDLE
            self.deadline = gateway.now + gateway.idle_timeout

    # The request

    async def _read_head(self, fresh: bool) -> bytes | None:
        """The next request head, or None if the client closes between requests.

        On a fresh connection the head is likely to be there; later it is likely not to be.
        """
        gateway = self._gateway
        buffer = self._buffer
        sock = self.sock
        if not buffer and not fresh:
            await trio.lowlevel.wait_readable(sock)
        while True:
            if buffer:
                while buffer[:2] == b"\r\n":  # RFC 9112 section 2.2
                    buffer = buffer[2:]
                end = http1.find_end(buffer, gateway.limits)
                if end >= 0:
                    self._buffer = buffer[end:]
                    return buffer[:end]
                if self.state is State.IDLE:
                    self.state = State.HEAD
                    self.deadline = gateway.now + gateway.options.http_headers_timeout
            try:
                data = sock.recv(RECEIVE_SIZE)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(sock)
                continue
            if not data:
                if buffer:
                    log.info("%s: closed in the middle of a request head", self.name)
                return None
            buffer = buffer + data if buffer else data

    def _parse(self, head: bytes) -> tuple[bytes, bytes, int, list[tuple[bytes, bytes]]]:
        """Method, target, minor version and header lines, read by llhttp behind our checks."""
        line = http1.check_head(head, self._gateway.limits)
        parsed = self._parsed
        parsed.headers = []
        parsed.target = b""
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._parser = httptools.HttpRequestParser(parsed)
        except httptools.HttpParserInvalidMethodError as error:
            raise ClientError(501, f"method {line[1][:40]!r}") from error
        except httptools.HttpParserError as error:
            raise ClientError(400, str(error)) from error
        if line[1] == b"CONNECT":
            raise ClientError(501, "CONNECT is not for a gateway")
        return line[1], parsed.target, int(line[4]), parsed.headers

    async def _answer(self, head: bytes) -> bool:
        """Serve one request; says whether another one may follow."""
        gateway = self._gateway
        method, target, minor, headers = self._parse(head)
        fields, framing = http1.fields_and_framing(minor, headers)
        path, query, host = cgi.split_target(method, target)
        if host is not None:
            fields[b"HTTP_HOST"] = host  # RFC 9112 section 3.2.2
        if framing.length != 0:
            # llhttp waits for a body now, which never gets to it.
            self._parser = httptools.HttpRequestParser(self._parsed)
            if gateway.limit_post and (framing.length or 0) > gateway.limit_post:
                raise ClientError(413, f"body of {framing.length} bytes")
            if framing.length is None and not gateway.options.http_chunked_input:
                raise ClientError(411, "chunked request body")
        cgi.remove_hop_by_hop(fields)
        request = Request(
            method,
            self._block(method, target, path, query, minor, fields),
            b"",
            framing.length,
            framing.length == 0,
            framing.expects_continue,
        )
        keep = framing.keep_alive and gateway.keeps_alive
        exchange = gateway.backend.exchange()
        self.state = State.BACKEND
        self.deadline = gateway.now + gateway.options.http_timeout
        try:
            if framing.length == 0:
                return await self._relay(exchange, request, minor, keep, None)
            return await self._answer_with_body(exchange, request, minor, keep)
        except BackendError as error:
            log.error("%s: %s %s: %s", self.name, method.decode(), _printable(target), error)
            return await self._fail(error.status, method)
        except NoNodeError as error:
            log.error("%s: %s %s: %s", self.name, method.decode(), _printable(target), error)
            return await self._fail(error.status, method)
        finally:
            exchange.end()

    async def _answer_with_body(
        self, exchange: Exchange, request: Request, minor: int, keep: bool
    ) -> bool:
        if request.length is None:
            self._chunks = ChunkedDecoder()
            arrived, self._buffer = self._buffer, b""
            request.body = self._decode(arrived)
            request.complete = self._chunks is None
        else:
            request.body = self._buffer[: request.length]
            self._buffer = self._buffer[request.length :]
            self._body_left = request.length - len(request.body)
            request.complete = not self._body_left
        if request.body:  # the client did not wait
            request.expects_continue = False
        if request.complete:
            return await self._relay(exchange, request, minor, keep, None)
        failure: Exception | None = None
        try:
            async with trio.open_nursery() as nursery:
                keep = await self._relay(exchange, request, minor, keep, nursery)
                nursery.cancel_scope.cancel()  # the answer is complete; nobody reads the rest
        except* (ClientError, BackendError, NoNodeError, OSError) as group:
            failure = _first(group)
        if failure is not None:
            raise failure
        if not self._body_read:
            await self._linger()
            return False
        return keep

    def _block(
        self,
        method: bytes,
        target: bytes,
        path: bytes,
        query: bytes,
        minor: int,
        fields: dict[bytes, bytes],
    ) -> bytes:
        """The uwsgi block, in the order of spec/uwsgi-protocol.md section 9.2."""
        length = cgi.pack_length
        block = b"".join(
            (
                _METHOD,
                length(len(method)),
                method,
                _URI,
                length(len(target)),
                target,
                _PATH,
                length(len(path)),
                path,
                _QUERY,
                length(len(query)),
                query,
                _PROTOCOLS[minor],
                self._gateway.block_for(fields),
                self._peer,
                cgi.pack_fields(fields),
                self._gateway.extra_block,
            )
        )
        if len(block) > MAX_BLOCK - 64:  # what an exchange may add
            raise ClientError(431, f"request of {len(block)} bytes, limit {MAX_BLOCK - 64}")
        return block

    # The request's body, for the exchange

    @property
    def _body_read(self) -> bool:
        return self._chunks is None and not self._body_left

    async def read_body(self) -> bytes:
        gateway = self._gateway
        while True:
            if self._body_read:
                return b""
            self.deadline = gateway.now + gateway.options.http_timeout
            data = self._buffer or await streams.receive(self.sock)
            self._buffer = b""
            if not data:
                raise ClientError(400, "request body broke off")
            if self._chunks is not None:
                data = self._decode(data)
                if data:
                    return data
            else:
                piece = data[: self._body_left]
                self._buffer = data[len(piece) :]
                self._body_left -= len(piece)
                return piece

    def _decode(self, data: bytes) -> bytes:
        chunks = self._chunks
        assert chunks is not None
        body = chunks.feed(data)
        if chunks.done:
            self._buffer = chunks.rest
            self._chunks = None
        return body

    async def send_continue(self) -> None:
        await streams.send_all(self.sock, b"HTTP/1.1 100 Continue\r\n\r\n")

    # The response

    async def _relay(
        self,
        exchange: Exchange,
        request: Request,
        minor: int,
        keep: bool,
        nursery: trio.Nursery | None,
    ) -> bool:
        """Forward the request, then its response; says whether the connection can be kept."""
        gateway = self._gateway
        reply = await exchange.begin(request, self, nursery)
        self.state = State.RESPONSE
        flags = reply.flags
        keep = keep and not gateway.draining and self._body_read
        chunked = False
        framing = b""
        if not flags & (lease.LENGTH | lease.NO_BODY):
            if reply.last:
                framing = b"Content-Length: %d\r\n" % len(reply.body)
            elif minor and gateway.options.http_auto_chunked:
                chunked = True
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                keep = False
        if not keep:
            framing += b"Connection: close\r\n"
        elif not minor:
            framing += b"Connection: keep-alive\r\n"
        start = b"HTTP/1.1 %b%b%b\r\n" % (
            reply.head,
            framing if flags & lease.DATE else gateway.date_line + framing,
            b"" if flags & lease.SERVER else gateway.server_line,
        )
        if flags & lease.NO_BODY:
            await self._send(start)
            while not reply.last:  # nothing comes but the end
                reply = Reply(flags, b"", *await exchange.read())
        elif reply.last and not chunked:
            await self._send(start + reply.body)
        else:
            try:
                await self._stream(exchange, start, reply, chunked)
            except BackendError as error:
                log.error("%s: response broke off: %s", self.name, error)
                if not chunked and not flags & lease.LENGTH:
                    # Only a reset can tell this client that the response is not complete.
                    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                return False
        return keep

    async def _stream(self, exchange: Exchange, start: bytes, reply: Reply, chunked: bool) -> None:
        gateway = self._gateway
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
            self.deadline = gateway.now + gateway.options.http_timeout
            if body:
                await streams.send_all(self.sock, body)
            if last:
                return
            body, last = await exchange.read()

    async def _send(self, data: bytes) -> None:
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.deadline = self._gateway.now + self._gateway.options.http_timeout
            await streams.send_all(self.sock, data[sent:])

    # The ends

    async def _fail(self, status: int, method: bytes) -> bool:
        """The backend's failure, told to the client; only before a response has begun."""
        if self.state is not State.BACKEND:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            return False
        await self._send(error_page(status, body=method != b"HEAD"))
        if not self._body_read:
            await self._linger()
        return False

    async def _refuse(self, status: int) -> None:
        if self.state is State.RESPONSE:
            return
        await self._send(error_page(status))
        await self._linger()

    async def _linger(self) -> None:
        """Let the client read the answer before a reset throws it away (RFC 9112 section 9.6)."""
        self.state = State.LINGER
        self.deadline = self._gateway.now + LINGER
        self.sock.shutdown(socket.SHUT_WR)
        while await streams.receive(self.sock):
            pass

    def expire(self) -> None:
        """End the session: its deadline is over."""
        self.deadline = math.inf
        self.scope.cancel()

    def _time_out(self) -> None:
        """Tell the client, if it waits for something, in one try without waiting."""
        status = {State.HEAD: 408, State.BACKEND: 504}.get(self.state)
        if status is not None and not self.gone:
            log.warning("%s: %d: timed out waiting for %s", self.name, status, self.state.value)
            with contextlib.suppress(OSError):
                self.sock.send(error_page(status))


def _printable(target: bytes) -> str:
    return target[:200].decode("latin-1")


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
