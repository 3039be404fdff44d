"""Plain uwsgi backends behind the HTTP gateway (http-to)."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from tests.gateways.instance import Instance, running
from tests.gateways.peers import Backend, Client, Packet, Uwsgi, request
from uwgate.gateways.wire.chunked import LAST_CHUNK, encode_chunk

CHUNKED = b"Transfer-Encoding: chunked"


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Uwsgi]:
    found = Uwsgi.on_path(str(tmp_path / "uwsgi.sock"))
    yield found
    found.close()


@pytest.fixture
async def second(tmp_path: Path) -> AsyncIterator[Uwsgi]:
    found = Uwsgi.on_path(str(tmp_path / "second.sock"))
    yield found
    found.close()


async def begin(
    instance: Instance, backend: Uwsgi, data: bytes | None = None
) -> tuple[Client, Backend, Packet]:
    """A client whose request has arrived at the backend."""
    client = await instance.connect()
    await client.send(request(b"GET") if data is None else data)
    connection = await backend.accept()
    return client, connection, await connection.packet()


async def answer(connection: Backend, data: bytes) -> None:
    """Answer as uWSGI does: the end of the connection ends it."""
    await connection.send(data)
    connection.close()


async def test_an_answer_ends_with_its_connection_and_the_client_stays(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, packet = await begin(instance, backend)
        assert packet[b"HTTP_HOST"] == b"a.example"
        await answer(connection, b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello")
        response = await client.response()
        assert (response.status, response.body) == (200, b"hello")
        assert response.fields[b"transfer-encoding"] == b"chunked"
        await client.get(b"/2")
        connection = await backend.accept()
        assert (await connection.packet())[b"PATH_INFO"] == b"/2"
        await answer(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
        response = await client.response()
        assert (response.body, response.fields[b"content-length"]) == (b"two", b"3")


async def test_a_tcp_backend_is_reached() -> None:
    backend = Uwsgi.on_tcp()
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await begin(instance, backend)
        await answer(connection, b"HTTP/1.1 200 OK\r\n\r\n")
        assert (await client.response()).status == 200
    backend.close()


async def test_modifiers_are_those_of_the_options(backend: Uwsgi) -> None:
    to = (backend.address,)
    async with running(http_to=to, http_modifier1=5, http_modifier2=9) as instance:
        client, connection, packet = await begin(instance, backend)
        assert (packet.modifier1, packet.modifier2) == (5, 9)
        await answer(connection, b"HTTP/1.1 200 OK\r\n\r\n")
        await client.response()


async def test_hop_by_hop_fields_of_an_answer_end_at_the_gateway(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await begin(instance, backend)
        await answer(
            connection,
            b"HTTP/1.0 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 9\r\n"
            b"Content-Length: 0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
        )
        response = await client.response()
    names = [name for name, _ in response.lines]
    assert names == [b"Content-Length", b"Set-Cookie", b"Set-Cookie", b"Date"]


async def test_a_chunked_answer_is_chunked_anew(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await begin(instance, backend)
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head + encode_chunk(b"abc") + encode_chunk(b"def") + LAST_CHUNK)
        assert (await client.response()).body == b"abcdef"
        assert await connection.rest() == b""


async def test_an_interim_answer_is_skipped(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await begin(instance, backend)
        await answer(connection, b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 201 Made\r\n\r\n")
        assert (await client.response()).status == 201


async def test_bytes_behind_the_length_are_not_passed_on(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await begin(instance, backend)
        await answer(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK")
        assert (await client.response()).body == b"ok"
        assert await client.is_silent()


async def test_a_head_answer_has_no_body_even_if_the_backend_sends_one(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await begin(instance, backend, request(b"HEAD"))
        await answer(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
        assert (await client.response(b"HEAD")).fields[b"content-length"] == b"4"
        assert await client.is_silent()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n",
        b"HTTP/1.1 200 OK\nX: 1\n\n",
        b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 140_000 + b"\r\n\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n",
    ],
    ids=range(11),
)
async def test_an_answer_that_is_no_http_is_502(backend: Uwsgi, data: bytes) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await begin(instance, backend)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, connection, data)
            assert (await client.response()).status == 502
        assert await client.is_closed()
        assert await backend.is_idle()


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 9\r\n\r\npart",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_seen_to_be_incomplete(
    backend: Uwsgi, data: bytes
) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await begin(instance, backend)
        await answer(connection, b"HTTP/1.1 200 OK\r\n" + data)
        response = await client.response()
        assert (response.body, response.complete) == (b"part", False)


# Bodies


async def test_a_body_is_sent_behind_the_packet(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        data = request(b"POST", b"/", b"Content-Length: 10", body=b"hello")
        client, connection, packet = await begin(instance, backend, data)
        assert packet[b"CONTENT_LENGTH"] == b"10"
        await client.send(b"world")
        assert await connection.exactly(10) == b"helloworld"
        await answer(connection, b"HTTP/1.1 200 OK\r\n\r\nok")
        assert (await client.response()).body == b"ok"
        await client.get()
        connection = await backend.accept()
        await connection.packet()
        await answer(connection, b"HTTP/1.1 200 OK\r\n\r\nnext")
        assert (await client.response()).body == b"next"


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
async def test_a_chunked_body_is_collected_and_gets_a_length(backend: Uwsgi, size: int) -> None:
    body = os.urandom(size)
    async with running(http_to=(backend.address,)) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", CHUNKED))
        assert await backend.is_idle()
        for start in range(0, size, 100_000):
            await client.send(encode_chunk(body[start : start + 100_000]))
        await client.send(LAST_CHUNK)
        connection = await backend.accept()
        packet = await connection.packet()
        assert packet[b"CONTENT_LENGTH"] == b"%d" % size
        assert b"HTTP_TRANSFER_ENCODING" not in packet
        assert await connection.exactly(size) == body
        await answer(connection, b"HTTP/1.1 200 OK\r\n\r\nok")
        assert (await client.response()).body == b"ok"


async def test_a_chunked_body_beyond_limit_post_is_413(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), limit_post=1000) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", CHUNKED, body=encode_chunk(b"x" * 1001)))
        assert (await client.response()).status == 413
        assert await backend.is_idle()


@pytest.mark.parametrize("lines", [b"Content-Length: 5", CHUNKED])
async def test_a_client_that_waits_is_told_to_continue(backend: Uwsgi, lines: bytes) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", lines, b"Expect: 100-continue"))
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hello" if lines != CHUNKED else encode_chunk(b"hello") + LAST_CHUNK)
        connection = await backend.accept()
        assert (await connection.packet())[b"CONTENT_LENGTH"] == b"5"
        assert await connection.exactly(5) == b"hello"
        await answer(connection, b"HTTP/1.1 200 OK\r\n\r\nok")
        assert (await client.response()).body == b"ok"


async def test_bodies_go_both_ways_at_once(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        data = request(b"POST", b"/", b"Content-Length: 3000")
        client, connection, _ = await begin(instance, backend, data)
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        assert (await client.head()).status == 200
        for n in range(3):
            await client.send(b"%d" % n * 1000)
            echo = await connection.exactly(1000)
            await connection.send(echo)
            assert await client.until(b"%d" % n * 1000 + b"\r\n")
        connection.close()
        assert await client.rest() == LAST_CHUNK


async def test_a_backend_that_does_not_read_holds_the_client_back(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        data = request(b"POST", b"/", b"Content-Length: 1000000000")
        client, _, _ = await begin(instance, backend, data)
        assert await client.send_until_blocked(b"x" * 65000) < 2_000_000
        client.reset()


async def test_an_answer_before_the_end_of_the_body_reaches_the_client(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        data = request(b"POST", b"/", b"Content-Length: 1000000", body=b"x")
        client, connection, _ = await begin(instance, backend, data)
        assert await connection.exactly(1) == b"x"
        await answer(connection, b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        response = await client.response()
        assert (response.status, response.body) == (403, b"no")
        assert await client.is_closed()


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_a_reset_closes_the_connection_to_the_backend(backend: Uwsgi, method: bytes) -> None:
    async with running(http_to=(backend.address,)) as instance:
        lines = () if method == b"GET" else (b"Content-Length: 9",)
        client, connection, _ = await begin(instance, backend, request(method, b"/", *lines))
        client.reset()
        assert await connection.rest() == b""


# Backends that are not there


async def test_a_missing_backend_is_503(tmp_path: Path) -> None:
    async with running(http_to=(str(tmp_path / "nobody"),)) as instance:
        client = await instance.connect()
        await client.get()
        assert (await client.response()).status == 503


async def test_a_refusing_backend_is_503() -> None:
    backend = Uwsgi.on_tcp()
    address = backend.address
    backend.close()
    async with running(http_to=(address,)) as instance:
        client = await instance.connect()
        await client.get()
        assert (await client.response()).status == 503


async def test_no_backend_at_all_is_503() -> None:
    async with running(processes=0) as instance:
        client = await instance.connect()
        await client.get()
        response = await client.response()
        assert response.status == 503
        assert response.fields[b"retry-after"] == b"1"


async def test_backends_take_turns(backend: Uwsgi, second: Uwsgi) -> None:
    async with running(http_to=(backend.address, second.address)) as instance:
        client = await instance.connect()
        for one in (backend, second, backend, second):
            await client.get()
            connection = await one.accept()
            await connection.packet()
            await answer(connection, b"HTTP/1.1 200 OK\r\n\r\n")
            assert (await client.response()).status == 200


async def test_a_backend_that_refuses_is_passed_over_for_its_dead_time(
    hurried_clock: Clock, backend: Uwsgi, tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone.sock")
    async with running(http_to=(gone, backend.address), http_keepalive=100) as instance:
        client = await instance.connect()

        async def served_by(one: Uwsgi) -> None:
            await client.get()
            connection = await one.accept()
            await connection.packet()
            await answer(connection, b"HTTP/1.1 200 OK\r\n\r\n")
            assert (await client.response()).status == 200

        for _ in range(3):
            await served_by(backend)
        back = Uwsgi.on_path(gone)
        await served_by(backend)
        await served_by(backend)
        await trio.sleep(30)  # http-gracetime
        for one in (back, backend, back):
            await served_by(one)
        back.close()


async def test_a_backend_whose_queue_is_full_is_waited_for(tmp_path: Path) -> None:
    busy = Uwsgi.on_path(str(tmp_path / "busy.sock"), backlog=0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as filler:
        filler.connect(busy.address)
        async with running(http_to=(busy.address,)) as instance:
            client = await instance.connect()
            await client.get()
            assert await client.is_silent(0.1)
            (await busy.accept()).close()
            connection = await busy.accept()
            await connection.packet()
            await answer(connection, b"HTTP/1.1 200 OK\r\n\r\n")
            assert (await client.response()).status == 200
    busy.close()


async def test_a_backend_whose_queue_stays_full_is_503(
    hurried_clock: Clock, tmp_path: Path
) -> None:
    busy = Uwsgi.on_path(str(tmp_path / "busy.sock"), backlog=0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as filler:
        filler.connect(busy.address)
        async with running(http_to=(busy.address,), http_connect_timeout=2) as instance:
            client = await instance.connect()
            began = trio.current_time()
            await client.get()
            assert (await client.response()).status == 503
            assert 2 <= trio.current_time() - began < 3
    busy.close()


async def test_a_backend_that_does_not_answer_is_504(hurried_clock: Clock, backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,), http_timeout=3) as instance:
        client, connection, _ = await begin(instance, backend)
        assert (await client.response()).status == 504
        assert await connection.rest() == b""
