"""Requests that a rule hands to another backend, spoken to at once and in this thread.

Nothing is sent twice: a backend that fails is not replaced by another one.
"""

from __future__ import annotations

import contextlib
import re
import select
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uwgate.conf.errors import BackendError, BackendTimeout, ClientError
from uwgate.gateways.wire import fastcgi, scgi, upgrade
from uwgate.gateways.wire.cgi_response import cgi_variables, read_cgi
from uwgate.gateways.wire.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk
from uwgate.gateways.wire.http1_head import encode_head
from uwgate.gateways.wire.lease import NO_BODY
from uwgate.gateways.wire.response import (
    ResponseError,
    ResponseHead,
    parse_response,
    read_response,
)
from uwgate.gateways.wire.uwsgi import PacketError, encode_block, encode_var
from uwgate.routing.results import Forward, Protocol
from uwgate.workers.backend import dial
from uwgate.workers.body import buffer_body
from uwgate.workers.connection import RECEIVE_SIZE, Connection
from uwgate.workers.rules.records import RecordConnection

if TYPE_CHECKING:
    from uwgate.workers.body import Body
    from uwgate.workers.rules.visit import Visit

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_SENT = re.compile(rb"HTTP_|CONTENT_TYPE\Z|REMOTE_ADDR\Z|SERVER_NAME\Z")
_UNSENDABLE = re.compile(rb"[\x00-\x20\x7f]")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
BUFFERED = 1 << 20  # bytes of a body without a length that stay in memory until it is whole
_HTTP = (Protocol.HTTP, Protocol.HTTP_UNCHANGED)

ReadHead = Callable[[bytes, bytes], tuple[ResponseHead, bytes] | None]  # as read_response


@dataclass(frozen=True, slots=True)
class Received:
    """The checked head of a backend's response, and what is there of its body.

    ``head`` is as in ``ResponseHead``. ``connection`` brings the rest; None: there is none.
    """

    parsed: ResponseHead
    rest: bytes
    connection: Connection | RecordConnection | None = None
    address: str = ""

    @property
    def status(self) -> int:
        """The status."""
        return self.parsed.status

    @property
    def head(self) -> bytes:
        """Status and fields."""
        return self.parsed.head

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes.

        Raises:
            BackendError: it is cut short, broken, or does not come in time.
        """
        parsed = self.parsed
        if parsed.flags & NO_BODY or parsed.length == 0:
            return
        if parsed.chunked:
            yield from self._decoded()
            return
        left = parsed.length
        for data in self._raw():
            if left is None:
                yield data
                continue
            yield data[:left]
            left -= min(left, len(data))
            if not left:
                return
        if left:
            raise self._error(f"its response ends {left} bytes too early")

    def _decoded(self) -> Iterator[bytes]:
        decoder = ChunkedDecoder()
        for data in self._raw():
            try:
                piece = decoder.feed(data)
            except ClientError as error:
                raise self._error(str(error)) from error
            if piece:
                yield piece
            if decoder.done:
                return
        raise self._error("its chunked response is cut short")

    def _raw(self) -> Iterator[bytes]:
        if self.rest:
            yield self.rest
        while self.connection is not None:
            data = _receive(self.connection, self.address)
            if not data:
                return
            yield data

    def _error(self, reason: str) -> BackendError:
        return BackendError(self.address, reason, sent=True)


def read_whole(data: bytes, method: bytes) -> Received:
    """A response that is there from head to end.

    Raises:
        ResponseError: it is none.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        raise ResponseError("a head without end")
    return Received(parse_response(head, method), rest, None, "a function")


@contextlib.contextmanager
def ask(wanted: Forward, visit: Visit) -> Iterator[Received]:
    """A backend's response to the request, for the length of a block.

    Raises:
        BackendError, BackendTimeout: there is none.
        ClientError: the request cannot be asked of it.
        BodyError: the client does not send its request whole.
    """
    address = wanted.address.decode("latin-1")
    with contextlib.ExitStack() as stack:
        head, pieces = _request(wanted, visit, address, stack)
        connection = dial(address, visit.policy.timeout)
        stack.callback(connection.close)
        records = wanted.protocol is Protocol.FASTCGI
        source = RecordConnection(connection, address) if records else connection
        try:
            _send(connection, _joined(head, pieces), source)
        except TimeoutError as error:
            raise BackendTimeout(address, "does not take the request", sent=True) from error
        method = visit.transaction.get(b"REQUEST_METHOD")
        is_cgi = wanted.protocol in (Protocol.FASTCGI, Protocol.SCGI)
        yield _response(source, address, method, read_cgi if is_cgi else read_response)


def _request(
    wanted: Forward, visit: Visit, address: str, stack: contextlib.ExitStack
) -> tuple[bytes, Iterable[bytes]]:
    """What goes before the body, and the body as it is sent."""
    variables = dict(visit.transaction.variables)
    body = visit.body
    length: int | None = body.length or (0 if body.done else None)
    if wanted.protocol in _HTTP:
        if wanted.host is not None:
            variables[b"HTTP_HOST"] = wanted.host
        variables.pop(b"HTTP_EXPECT", None)
        if visit.may_tunnel() and upgrade.is_wanted(1, variables):
            variables[b"HTTP_UPGRADE"] = b"websocket"
        else:
            variables.pop(b"HTTP_UPGRADE", None)
        target = wanted.uri or variables.get(b"REQUEST_URI") or b"/"
        method = variables.get(b"REQUEST_METHOD", b"")
        _check(method, target, variables)
        unchanged = wanted.protocol is Protocol.HTTP_UNCHANGED
        head = encode_head(method, target, _block(variables, address), length, forwarded=unchanged)
        return head, _chunks(body) if length is None else _pieces(body)
    pieces = _pieces(body)
    if length is None:
        options = visit.policy.worker.settings.workers
        file, size = buffer_body(body, BUFFERED, options.post_buffering_bufsize)
        stack.callback(file.close)
        variables.pop(b"HTTP_TRANSFER_ENCODING", None)
        pieces = iter(lambda: file.read(RECEIVE_SIZE), b"")
        length = size
    # What rules say of it counts for nothing.
    variables[b"CONTENT_LENGTH"] = b"%d" % length if length else b""
    if wanted.application is not None:
        variables[b"UWSGI_APPID"] = wanted.application
    match wanted.protocol:
        case Protocol.FASTCGI:
            head = fastcgi.encode_head(cgi_variables(variables.items()))
            return head, _records(pieces, length)
        case Protocol.SCGI:
            try:
                return scgi.encode_head(cgi_variables(variables.items()), length), pieces
            except scgi.ScgiError as error:
                raise ClientError(400, str(error)) from error
        case _:
            block = _block(variables, address)
            return encode_block(block, wanted.modifier1, wanted.modifier2), pieces


def _check(method: bytes, target: bytes, variables: dict[bytes, bytes]) -> None:
    """Nothing that rules or a front-end have made of the request ends a line of it.

    Raises:
        ClientError: something would.
    """
    if not _TOKEN.fullmatch(method):
        raise ClientError(400, f"the method {method[:40]!r} cannot be sent")
    if not target or _UNSENDABLE.search(target):
        raise ClientError(400, f"the target {target[:80]!r} cannot be sent")
    for name, value in variables.items():
        if _SENT.match(name) and (_CONTROL.search(value) or not _TOKEN.fullmatch(name)):
            raise ClientError(400, f"{name[:40]!r} cannot be sent as a field")


def _block(variables: dict[bytes, bytes], address: str) -> bytes:
    try:
        block = b"".join(encode_var(name, value) for name, value in variables.items())
        encode_block(block)
    except PacketError as error:
        raise BackendError(address, str(error), sent=False) from error
    return block


def _pieces(body: Body) -> Iterator[bytes]:
    return iter(lambda: body.read_some(RECEIVE_SIZE), b"")


def _chunks(body: Body) -> Iterator[bytes]:
    for piece in _pieces(body):
        yield encode_chunk(piece)
    yield LAST_CHUNK


def _records(pieces: Iterable[bytes], length: int) -> Iterator[bytes]:
    """The last piece brings the end along: who has the whole body may answer, and wait for that."""
    end = fastcgi.encode_body(b"")
    left = length
    for piece in pieces:
        left -= len(piece)
        yield fastcgi.encode_body(piece) + (b"" if left > 0 else end)
    if left > 0 or not length:
        yield end


def _joined(head: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield head
    yield from pieces


def _send(
    connection: Connection, pieces: Iterator[bytes], source: Connection | RecordConnection
) -> None:
    """Send a request, unless the backend answers before it has read all of it.

    Raises:
        TimeoutError: it takes nothing.
    """
    poll = select.poll()
    poll.register(connection.fd, select.POLLIN | select.POLLOUT)
    for piece in pieces:
        view = memoryview(piece)
        while view:
            events = poll.poll((connection.timeout or 0) * 1000)
            if not events:
                raise TimeoutError
            if events[0][1] & ~select.POLLOUT and (
                not isinstance(source, RecordConnection) or source.has_answered()
            ):
                if isinstance(source, RecordConnection):
                    with contextlib.suppress(OSError):
                        connection.sock.send(view)  # what may be the rest, and its end
                return  # an answer, or what it said before it closed
            if not events[0][1] & select.POLLOUT:
                continue
            try:
                view = view[connection.sock.send(view) :]
            except BlockingIOError:
                continue
            except OSError:
                return


def _response(
    connection: Connection | RecordConnection, address: str, method: bytes, read: ReadHead
) -> Received:
    data = b""
    while True:
        try:
            found = read(data, method)
        except ResponseError as error:
            raise BackendError(address, str(error), sent=True) from error
        if found is not None:
            parsed, data = found
            if parsed.status >= 200 or parsed.status == 101:
                return Received(parsed, data, connection, address)
            continue
        more = _receive(connection, address)
        if not more:
            raise BackendError(address, "closed without an answer", sent=True)
        data += more


def _receive(connection: Connection | RecordConnection, address: str) -> bytes:
    try:
        return connection.receive()
    except TimeoutError as error:
        raise BackendTimeout(address, f"no answer: {error}", sent=True) from error
    except OSError as error:
        raise BackendError(address, error.strerror or str(error), sent=True) from error
