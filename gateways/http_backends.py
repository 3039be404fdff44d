"""HTTP backends (``http-backend-http``): other web servers, a connection for each request."""

from __future__ import annotations

import contextlib
import socket

from uwgate.gateways import streams
from uwgate.gateways.backends import UwsgiExchange
from uwgate.gateways.exchange import BodySource, Request
from uwgate.gateways.peer import UNKNOWN
from uwgate.gateways.wire.chunked import LAST_CHUNK, encode_chunk
from uwgate.gateways.wire.http1_head import encode_head
from uwgate.gateways.wire.proxy_protocol import ProxyHeader, encode_v1, encode_v2
from uwgate.gateways.wire.uwsgi import decode_block


class HttpExchange(UwsgiExchange):
    """One request in HTTP/1.1. Chunks are decoded and made anew on the way."""

    __slots__ = ()

    async def _packet(self, request: Request, source: BodySource) -> bytes:
        backends = self._backends
        head = encode_head(
            request.method,
            request.target,
            request.block,
            request.length,
            forwarded=backends.adds_forwarded,
        )
        head = proxy_header(backends.options.http_backend_proxy_protocol, request.block) + head
        if request.length is not None:
            return head + request.body
        chunk = encode_chunk(request.body) if request.body else b""
        return head + chunk + (LAST_CHUNK if request.complete else b"")

    async def _forward_rest(
        self, sock: socket.socket, source: BodySource, request: Request
    ) -> None:
        if request.length is not None:
            await super()._forward_rest(sock, source, request)
            return

        async def read() -> bytes:
            piece = await source.read_body()
            return encode_chunk(piece) if piece else b""

        await self._forward(sock, read)
        with contextlib.suppress(OSError):  # its answer says what it thinks of the request
            await streams.send_all(sock, LAST_CHUNK)


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
