"""Request bodies whose framing is left to the backend, and those that are not wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from trio.abc import Clock

from tests.gateways.instance import running
from tests.gateways.peers import Uwsgi, request
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.chunked import LAST_CHUNK

CHUNKED = b"Transfer-Encoding: chunked"
EXPECT = b"Expect: 100-continue"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Uwsgi]:
    found = Uwsgi.on_path(str(tmp_path / "uwsgi.sock"))
    yield found
    found.close()


# http-chunked-input


async def test_a_plain_backend_gets_a_chunked_body_with_its_length(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", CHUNKED, body=b"3\r\nabc\r\n"))
        assert await backend.is_idle()
        await client.send(b"2\r\nde\r\n" + LAST_CHUNK)
        connection = await backend.accept()
        packet = await connection.packet()
        assert packet[b"CONTENT_LENGTH"] == b"5"
        assert b"HTTP_TRANSFER_ENCODING" not in packet
        assert await connection.exactly(5) == b"abcde"
        await connection.send(OK)
        assert (await client.response()).body == b"done"


# http-raw-body


async def test_a_raw_body_keeps_its_chunks(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_raw_body=True) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", CHUNKED, body=b"3;a=b\r\nabc\r\n"))
        connection = await backend.accept()
        packet = await connection.packet()
        assert packet[b"HTTP_TRANSFER_ENCODING"] == b"chunked"
        assert b"CONTENT_LENGTH" not in packet
        assert await connection.exactly(12) == b"3;a=b\r\nabc\r\n"
        await client.send(b"2\r\nd")
        assert await connection.exactly(4) == b"2\r\nd"
        await client.send(b"e\r\n" + LAST_CHUNK)
        assert await connection.exactly(8) == b"e\r\n" + LAST_CHUNK
        await connection.send(OK)
        assert (await client.response()).body == b"done"


async def test_what_follows_a_raw_body_is_the_next_request(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_raw_body=True) as instance:
        client = await instance.connect()
        body = b"3\r\nabc\r\n" + LAST_CHUNK
        await client.send(request(b"POST", b"/", CHUNKED, body=body) + request(b"GET", b"/next"))
        connection = await backend.accept()
        await connection.packet()
        assert await connection.exactly(len(body)) == body
        assert await connection.is_silent()
        await connection.send(OK)
        assert (await client.response()).body == b"done"
        connection = await backend.accept()
        assert (await connection.packet())[b"PATH_INFO"] == b"/next"
        await connection.send(OK)
        assert (await client.response()).body == b"done"


async def test_a_raw_body_is_checked_on_its_way(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_raw_body=True) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", CHUNKED, body=b"3\r\nabc\r\n"))
        connection = await backend.accept()
        await connection.packet()
        await client.send(b"0x2\r\nde\r\n")
        assert (await client.response()).status == 400
        assert await connection.rest() == b"3\r\nabc\r\n"


async def test_a_raw_body_has_the_limits_of_any_other(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_raw_body=True, limit_post=4) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", CHUNKED, body=b"5\r\nabcde\r\n"))
        assert (await client.response()).status == 413


async def test_a_raw_body_with_a_length_is_a_body_with_a_length(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_raw_body=True) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 3", body=b"abcGET"))
        connection = await backend.accept()
        assert (await connection.packet())[b"CONTENT_LENGTH"] == b"3"
        assert await connection.exactly(3) == b"abc"
        assert await connection.is_silent()
        await connection.send(OK)
        assert (await client.response()).body == b"done"


async def test_our_own_workers_get_raw_bodies_decoded() -> None:
    async with running(http_raw_body=True) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", CHUNKED, body=b"3\r\nabc\r\n" + LAST_CHUNK))
        lease = await instance.workers.accept()
        assert (await lease.packet()).modifier2 == wire.BODY_FRAMED
        assert await lease.chunks() == b"abc"
        await lease.answer()
        assert (await client.response()).status == 200


# http-manage-source


def source(*lines: bytes, body: bytes = b"", version: bytes = b"1.0") -> bytes:
    return request(b"SOURCE", b"/live.ogg", *lines, body=body, version=version)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_source_streams_until_it_ends(backend: Uwsgi, version: bytes) -> None:
    async with running(http_to=(backend.address,), http_manage_source=True) as instance:
        client = await instance.connect()
        await client.send(source(body=b"first", version=version))
        connection = await backend.accept()
        packet = await connection.packet()
        assert packet[b"REQUEST_METHOD"] == b"SOURCE"
        assert b"CONTENT_LENGTH" not in packet
        assert await connection.exactly(5) == b"first"
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        assert (await client.head()).fields[b"connection"] == b"close"
        await client.send(b"second")
        assert await connection.exactly(6) == b"second"
        client.half_close()
        assert await connection.rest() == b""
        connection.close()


async def test_our_own_workers_get_a_source_as_a_body() -> None:
    async with running(http_manage_source=True) as instance:
        client = await instance.connect()
        await client.send(source(body=b"first"))
        lease = await instance.workers.accept()
        assert (await lease.packet()).modifier2 & wire.BODY_FRAMED
        await lease.frame(wire.TAKEN)
        assert await lease.chunks_of(5) == b"first"
        await client.send(b"second")
        assert await lease.chunks_of(6) == b"second"
        client.half_close()
        assert await lease.chunks() == b""
        await lease.answer(b"thanks")
        assert (await client.response()).body == b"thanks"
        assert await client.is_closed()


async def test_a_source_whose_backend_has_enough_is_closed(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_manage_source=True) as instance:
        client = await instance.connect()
        await client.send(source())
        connection = await backend.accept()
        await connection.packet()
        await connection.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        connection.close()
        assert (await client.response()).status == 403
        assert await client.is_closed()


async def test_a_source_that_falls_silent_is_given_up(backend: Uwsgi, hurried_clock: Clock) -> None:
    options: dict[str, Any] = {"http_manage_source": True, "http_timeout": 2.0}
    async with running(http_to=(backend.address,), **options) as instance:
        client = await instance.connect()
        await client.send(source(body=b"first"))
        connection = await backend.accept()
        await connection.packet()
        await connection.exactly(5)
        assert (await client.response()).status in (408, 504)


async def test_a_source_with_a_length_is_no_stream(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_manage_source=True) as instance:
        client = await instance.connect()
        await client.send(source(b"Content-Length: 3", body=b"abc"))
        connection = await backend.accept()
        assert (await connection.packet())[b"CONTENT_LENGTH"] == b"3"
        await connection.send(OK)
        assert (await client.response()).body == b"done"


async def test_without_the_option_a_source_has_no_body(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client = await instance.connect()
        await client.send(source(body=b"first"))
        connection = await backend.accept()
        await connection.packet()
        assert await connection.is_silent()
        await connection.send(OK)
        assert (await client.response()).body == b"done"


# http-manage-expect


@pytest.mark.parametrize(("length", "status"), [(100, 100), (101, 413)])
async def test_a_body_over_the_limit_is_refused_before_it_is_sent(length: int, status: int) -> None:
    async with running(http_manage_expect=100) as instance:
        client = await instance.connect()
        await client.send(request(b"PUT", b"/", b"Content-Length: %d" % length, EXPECT))
        if status == 100:
            lease = await instance.workers.accept()
            await lease.packet()
            await lease.frame(wire.CONTINUE)
        assert (await client.head()).status == status


@pytest.mark.parametrize("limit", [0, 1])
async def test_0_and_1_are_no_limit(limit: int) -> None:
    async with running(http_manage_expect=limit) as instance:
        client = await instance.connect()
        await client.send(request(b"PUT", b"/", b"Content-Length: 100000", EXPECT))
        lease = await instance.workers.accept()
        assert (await lease.packet()).modifier2 == wire.EXPECT


async def test_the_limit_is_for_those_who_ask(backend: Uwsgi) -> None:
    async with running(http_manage_expect=100) as instance:
        client = await instance.connect()
        await client.send(request(b"PUT", b"/", b"Content-Length: 101", body=bytes(101)))
        lease = await instance.workers.accept()
        assert (await lease.packet())[b"CONTENT_LENGTH"] == b"101"
