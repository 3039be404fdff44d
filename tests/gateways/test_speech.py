"""Backends that speak HTTP (http-backend-http)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateways.instance import running
from tests.gateways.peers import Uwsgi, request
from uwgate.gateways.speech import proxy_header
from uwgate.gateways.wire.cgi import pack
from uwgate.gateways.wire.proxy_protocol import decode

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def backend() -> AsyncIterator[Uwsgi]:
    backend = Uwsgi.on_tcp()
    yield backend
    for connection in backend.connections:
        connection.close()
    backend.sock.close()


async def test_a_backend_gets_a_head_of_our_own(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_backend_http=True) as instance:
        client = await instance.connect()
        await client.get(b"http://a.example/x?y", b"x-odd:  1 ", b"Connection: keep-alive")
        connection = await backend.accept()
        head = await connection.until(b"\r\n\r\n")
        assert head.split(b"\r\n")[:-2] == [
            b"GET /x?y HTTP/1.1",
            b"Host: a.example",
            b"X-Odd: 1",
            b"X-Forwarded-For: 127.0.0.1",
            b"X-Forwarded-Proto: http",
            b"Connection: close",
        ]
        await connection.send(OK)
        assert (await client.response()).body == b"ok"
        await client.get(b"/again")  # the client's connection is kept
        connection = await backend.accept()
        await connection.until(b"\r\n\r\n")
        await connection.send(OK)
        assert (await client.response()).body == b"ok"


async def test_a_chunked_body_is_streamed_in_chunks_of_our_own(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_backend_http=True) as instance:
        client = await instance.connect()
        chunked = b"Transfer-Encoding: chunked"
        await client.send(request(b"POST", b"/", chunked, body=b"3;x=y\r\nabc\r\n"))
        connection = await backend.accept()
        head = await connection.until(b"\r\n\r\n")
        assert b"\r\nTransfer-Encoding: chunked\r\n" in head
        assert b"Content-Length" not in head
        assert await connection.until(b"abc\r\n") == b"3\r\nabc\r\n"
        await client.send(b"2\r\nde\r\n0\r\nTrailer: x\r\n\r\n")
        assert await connection.until(b"0\r\n\r\n") == b"2\r\nde\r\n0\r\n\r\n"
        await connection.send(OK)
        assert (await client.response()).body == b"ok"


@pytest.mark.parametrize("version", [1, 2])
async def test_a_proxy_header_names_the_client(backend: Uwsgi, version: int) -> None:
    options: dict[str, Any] = {"http_backend_http": True, "http_backend_proxy_protocol": version}
    async with running(http_to=(backend.address,), **options) as instance:
        client = await instance.connect()
        await client.get()
        connection = await backend.accept()
        data = await connection.until(b"close\r\n\r\n")
        found = decode(data)
        assert found is not None
        header, size = found
        assert header.source == client.sock.getsockname()
        assert data[size:].startswith(b"GET / HTTP/1.1\r\n")
        await connection.send(OK)
        assert (await client.response()).body == b"ok"


@pytest.mark.parametrize("version", [1, 2])
def test_a_client_without_an_address_is_unknown(version: int) -> None:
    found = decode(proxy_header(version, pack((("REMOTE_ADDR", b"0.0.0.0"),))))
    assert found is not None
    assert found[0].source is None


def test_without_the_option_there_is_no_proxy_header() -> None:
    assert proxy_header(0, b"") == b""
