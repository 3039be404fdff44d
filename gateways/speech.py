"""What backends are spoken to in: uwsgi packets, HTTP/1.1, FastCGI or SCGI. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from uwgate.conf.errors import ClientError
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.exchange import Raw, Request
from uwgate.gateways.peer import UNKNOWN
from uwgate.gateways.wire import fastcgi, scgi
from uwgate.gateways.wire.cgi import pack
from uwgate.gateways.wire.cgi_response import cgi_variables, read_cgi
from uwgate.gateways.wire.chunked import LAST_CHUNK, encode_chunk
from uwgate.gateways.wire.fastcgi import FastCgiDecoder
from uwgate.gateways.wire.http1_head import encode_head
from uwgate.gateways.wire.proxy_protocol import ProxyHeader, encode_v1, encode_v2
from uwgate.gateways.wire.response import ResponseHead, read_response
from uwgate.gateways.wire.uwsgi import HEADER, decode_block


class Speech(Protocol):
    """How a request becomes bytes for a backend, and its answer bytes for us.

    ``wants_length``: a body of unknown length has to be collected first. ``has_end``: of a body
    without a length the backend is told where it ends.
    """

    wants_length: bool
    has_end: bool

    def head(self, request: Request, target: Target, size: int | None) -> bytes:
        """What goes before the body, whose ``size`` in bytes is None where it is not known."""
        ...

    def piece(self, request: Request, size: int | None, data: bytes) -> bytes:
        """A piece of the body, not empty."""
        ...

    def end(self, request: Request, size: int | None) -> bytes:
        """What goes behind the body."""
        ...

    def decoder(self) -> FastCgiDecoder | None:
        """What takes an answer out of what the backend sends; None: it sends the answer."""
        ...

    def read_head(self, buffer: bytes, method: bytes) -> tuple[ResponseHead, bytes] | None:
        """The head of an answer to ``method`` and what is behind it; None: bytes are missing.

        Raises:
            ResponseError: it is malformed or too long.
        """
        ...


class _Plain:
    """Answers come as HTTP."""

    def decoder(self) -> FastCgiDecoder | None:
        """None."""
        return None

    def read_head(self, buffer: bytes, method: bytes) -> tuple[ResponseHead, bytes] | None:
        """See Speech."""
        return read_response(buffer, method)


class Uwsgi(_Plain):
    """A uwsgi packet, then the body as it is (spec/uwsgi-protocol.md section 3)."""

    wants_length = True
    has_end = False

    def __init__(self, options: HttpOptions) -> None:
        self._modifier1 = options.http_modifier1
        self._modifier2 = options.http_modifier2

    def head(self, request: Request, target: Target, size: int | None) -> bytes:
        """The packet. Modifiers of rules go before those of the options, and both before the
        node's."""
        block = request.block
        if size is not None and request.length is None:
            block += pack((("CONTENT_LENGTH", str(size).encode()),))
        modifier1, modifier2 = request.modifiers
        if modifier1 is None:
            modifier1 = self._modifier1 or target.modifier1 or 0
        if modifier2 is None:
            modifier2 = self._modifier2 or target.modifier2 or 0
        return HEADER.pack(modifier1, len(block), modifier2) + block

    def piece(self, request: Request, size: int | None, data: bytes) -> bytes:
        """The same bytes."""
        return data

    def end(self, request: Request, size: int | None) -> bytes:
        """Nothing."""
        return b""


class Http(_Plain):
    """HTTP/1.1. Chunks are decoded and made anew on the way."""

    wants_length = False
    has_end = True

    def __init__(self, options: HttpOptions, edge: EdgeOptions) -> None:
        self._version = options.http_backend_proxy_protocol
        self._forwarded = edge.http_add_forwarded  # requests name the client already

    def head(self, request: Request, target: Target, size: int | None) -> bytes:
        """The request's head, and a PROXY header before it where the options want one."""
        head = encode_head(
            request.method, request.target, request.block, size, forwarded=self._forwarded
        )
        return proxy_header(self._version, request.block) + head

    def piece(self, request: Request, size: int | None, data: bytes) -> bytes:
        """The bytes, in a chunk unless their number is known or they are chunks."""
        return encode_chunk(data) if self._is_chunked(request, size) else data

    def end(self, request: Request, size: int | None) -> bytes:
        """The last chunk."""
        return LAST_CHUNK if self._is_chunked(request, size) else b""

    @staticmethod
    def _is_chunked(request: Request, size: int | None) -> bool:
        return size is None and request.raw is not Raw.CHUNKS


class FastCgi:
    """FastCGI: the uwsgi block's variables as parameters, and the body in records."""

    wants_length = True
    has_end = True

    def head(self, request: Request, target: Target, size: int | None) -> bytes:
        """The request with its parameters."""
        return fastcgi.encode_head(_cgi_variables(request, size))

    def piece(self, request: Request, size: int | None, data: bytes) -> bytes:
        """The bytes in records."""
        return fastcgi.encode_body(data)

    def end(self, request: Request, size: int | None) -> bytes:
        """The record that ends the body."""
        return fastcgi.encode_body(b"")

    def decoder(self) -> FastCgiDecoder | None:
        """See Speech."""
        return FastCgiDecoder()

    def read_head(self, buffer: bytes, method: bytes) -> tuple[ResponseHead, bytes] | None:
        """See Speech."""
        return read_cgi(buffer, method)


class Scgi(_Plain):
    """SCGI: the uwsgi block's variables, then the body as it is."""

    wants_length = True
    has_end = False

    def head(self, request: Request, target: Target, size: int | None) -> bytes:
        """The variables.

        Raises:
            ClientError: a NUL is in one of them.
        """
        try:
            return scgi.encode_head(_cgi_variables(request, size), size or 0)
        except scgi.ScgiError as error:
            raise ClientError(400, str(error)) from error

    def piece(self, request: Request, size: int | None, data: bytes) -> bytes:
        """The same bytes."""
        return data

    def end(self, request: Request, size: int | None) -> bytes:
        """Nothing."""
        return b""

    def read_head(self, buffer: bytes, method: bytes) -> tuple[ResponseHead, bytes] | None:
        """See Speech."""
        return read_cgi(buffer, method)


def _cgi_variables(request: Request, size: int | None) -> Iterable[tuple[bytes, bytes]]:
    variables = dict(decode_block(request.block))
    if size is not None:
        variables[b"CONTENT_LENGTH"] = b"%d" % size if size else b""
    return cgi_variables(variables.items())


def proxy_header(version: int, block: bytes) -> bytes:
    """A PROXY header that names a request's client; empty for version 0.

    The address that the client connected to is not known here, only its port.
    """
    if not version:
        return b""
    variables = dict(decode_block(block))
    host = variables[b"REMOTE_ADDR"].decode()
    if host == UNKNOWN.decode():  # of a UNIX socket
        return encode_v1(None, None) if version == 1 else encode_v2(ProxyHeader())
    source = host, int(variables[b"REMOTE_PORT"])
    any_address = "::" if ":" in host else "0.0.0.0"
    destination = any_address, int(variables.get(b"SERVER_PORT") or 0)
    if version == 1:
        return encode_v1(source, destination)
    return encode_v2(ProxyHeader(source=source, destination=destination))
