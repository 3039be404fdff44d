"""What becomes of requests when subscribed nodes fail, and of the nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing
from trio.abc import Clock

from tests.gateways.instance import running
from tests.gateways.nodes import OK, SERVER, node_of, served_by, subscribe
from tests.gateways.peers import Uwsgi, request
from uwgate.gateways.wire.chunked import LAST_CHUNK, encode_chunk


async def test_a_node_that_cannot_be_connected_costs_no_request(one: Uwsgi, tmp_path: Path) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one, str(tmp_path / "gone.sock"))
        client = await instance.connect()
        for _ in range(4):
            assert (await served_by(one, client)).status == 200


async def test_when_all_nodes_are_out_the_client_hears_when_the_first_comes_back(
    hurried_clock: Clock, tmp_path: Path
) -> None:
    async with running(http_subscription_server=SERVER, http_eject_time=7) as instance:
        subscribe(instance, str(tmp_path / "gone.sock"))
        client = await instance.connect()
        await client.get()
        response = await client.response()
        assert response.status == 503
        assert 5 <= int(response.fields[b"retry-after"]) <= 7


async def test_the_fallback_takes_what_no_node_takes(one: Uwsgi, tmp_path: Path) -> None:
    async with running(http_subscription_server=SERVER, http_fallback=(one.address,)) as instance:
        subscribe(instance, str(tmp_path / "gone.sock"))
        client = await instance.connect()
        await served_by(one, client)
        await client.get(host=b"other.example")
        connection = await one.accept()
        await connection.packet()
        await connection.send(OK)
        assert (await client.response()).body == b"ok"


@pytest.mark.parametrize("lines", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("proto", ["", "http"])
async def test_a_body_is_whole_after_a_retry(
    one: Uwsgi, tmp_path: Path, lines: bytes, proto: str
) -> None:
    chunked = lines.startswith(b"T")
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one)
        subscribe(instance, str(tmp_path / "gone.sock"), proto=proto)
        client = await instance.connect()
        await client.send(request(b"POST", b"/", lines))
        await client.send(encode_chunk(b"hello") + LAST_CHUNK if chunked else b"hello")
        connection = await one.accept()
        assert (await connection.packet())[b"CONTENT_LENGTH"] == b"5"
        assert await connection.exactly(5) == b"hello"
        await connection.send(OK)
        assert (await client.response()).body == b"ok"


async def test_a_collected_body_has_its_length_when_it_goes_to_a_node_that_speaks_http(
    one: Uwsgi, tmp_path: Path
) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one, proto="http")
        subscribe(instance, str(tmp_path / "gone.sock"))
        client = await instance.connect()
        data = encode_chunk(b"hello") + LAST_CHUNK
        await client.send(request(b"POST", b"/", b"Transfer-Encoding: chunked", body=data))
        connection = await one.accept()
        head = await connection.until(b"\r\n\r\n")
        assert b"Content-Length: 5\r\n" in head
        assert b"Transfer-Encoding" not in head
        assert await connection.exactly(5) == b"hello"
        await connection.send(OK)
        assert (await client.response()).body == b"ok"


async def test_what_was_handed_over_is_never_repeated(one: Uwsgi, two: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one, two)
        client = await instance.connect()
        await client.get()
        connection = await two.accept()
        await connection.packet()
        connection.close()
        assert (await client.response()).status == 502
        assert await one.is_idle()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
    ],
    ids=["nothing", "garbage", "502", "503", "504", "cut"],
)
async def test_a_node_that_answers_badly_goes_out(one: Uwsgi, two: Uwsgi, answer: bytes) -> None:
    async with running(http_subscription_server=SERVER, http_eject_failures=2) as instance:
        subscribe(instance, one, two)
        for _ in range(2):
            bad = await instance.connect()
            await served_by(two, bad, answer=answer)
            client = await instance.connect()
            await served_by(one, client)
        assert node_of(instance, two).health.is_out
        client = await instance.connect()
        for _ in range(3):
            await served_by(one, client)


@pytest.mark.parametrize("status", [b"200", b"404", b"500", b"501"])
async def test_an_application_that_answers_is_no_bad_node(one: Uwsgi, status: bytes) -> None:
    answer = b"HTTP/1.1 %b X\r\nContent-Length: 0\r\n\r\n" % status
    async with running(http_subscription_server=SERVER, http_eject_failures=1) as instance:
        subscribe(instance, one)
        client = await instance.connect()
        for _ in range(3):
            await served_by(one, client, answer=answer)
        assert node_of(instance, one).health.row == 0


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"])
async def test_a_node_that_takes_too_long_has_answered_badly(
    hurried_clock: Clock, one: Uwsgi, begun: bytes
) -> None:
    async with running(http_subscription_server=SERVER, http_timeout=10) as instance:
        subscribe(instance, one)
        client = await instance.connect()
        await client.get()
        connection = await one.accept()
        await connection.packet()
        await connection.send(begun)
        await connection.rest()  # the gateway gives up
        assert node_of(instance, one).health.row == 1


async def test_a_client_that_leaves_is_no_fault_of_the_node(one: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one)
        client = await instance.connect()
        await client.get()
        connection = await one.accept()
        await connection.packet()
        client.reset()
        assert await connection.rest() == b""
        assert node_of(instance, one).health.row == 0
        assert node_of(instance, one).reference == 0


async def test_a_client_that_sends_its_body_slowly_is_no_fault_of_the_node(
    hurried_clock: Clock, one: Uwsgi
) -> None:
    async with running(http_subscription_server=SERVER, http_timeout=10) as instance:
        subscribe(instance, one)
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 5", body=b"he"))
        connection = await one.accept()
        await connection.packet()
        assert (await client.response()).status == 408
        assert await connection.rest() == b"he"
        assert node_of(instance, one).health.row == 0


async def test_a_node_that_does_not_take_a_body_is_at_fault(
    hurried_clock: Clock, one: Uwsgi
) -> None:
    async with running(http_subscription_server=SERVER, http_timeout=10) as instance:
        subscribe(instance, one)
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 100000000"))
        await one.accept()
        await client.send_until_blocked(b"x" * 65000)
        assert (await client.response()).status == 504
        await trio.testing.wait_all_tasks_blocked()
        assert node_of(instance, one).health.row == 1


async def test_what_a_client_writes_as_its_host_cannot_write_into_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        client = await instance.connect()
        await client.get(host="\x9b31m\u00e9".encode() + b"\xff")
        assert (await client.response()).status in (400, 503)
    assert caplog.text.isascii()


async def test_a_flood_of_unknown_hosts_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        for number in range(30):
            client = await instance.connect()
            await client.get(host=b"%d.example" % number)
            assert (await client.response()).status == 503
    assert caplog.text.count("nobody serves it") == 10
