"""What backends are spoken to in: uwsgi packets, or HTTP/1.1. No I/O."""

from __future__ import annotations

from typing import Protocol

from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.exchange import Raw, Request
from uwgate.gateways.peer import UNKNOWN
from uwgate.gateways.wire.cgi import pack
from uwgate.gateways.wire.chunked import LAST_CHUNK, encode_chunk
from uwgate.gateways.wire.http1_head import encode_head
from uwgate.gateways.wire.proxy_protocol import ProxyHeader, encode_v1, encode_v2
from uwgate.gateways.wire.uwsgi import HEADER, decode_block


class Speech(Protocol):
    """How a request becomes bytes for a backend.

    ``wants_length``: a body of unknown length has to be collected first.
    """

    wants_length: bool

    def head(self, request: Request, target: Target, size: int | None) -> bytes:
        """What goes before the body, whose ``size`` in bytes is None where it is not known."""
        ...

    def piece(self, request: Request, size: int | None, data: bytes) -> bytes:
        """A piece of the body, not empty."""
        ...

    def end(self, request: Request, size: int | None) -> bytes:
        """What goes behind the body."""
        ...


class Uwsgi:
    """A uwsgi packet, then the body as it is (spec/uwsgi-protocol.md section 3)."""

    wants_length = True

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


class Http:
    """HTTP/1.1. Chunks are decoded and made anew on the way."""

    wants_length = False

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
