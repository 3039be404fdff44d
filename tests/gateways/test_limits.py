"""How much a client's connection may take: requests, age, connections, slowness."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.abc import Clock

from tests.gateways.instance import Instance, running
from tests.gateways.peers import Client, Lease, request, settled
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.exchange import Request
from uwgate.gateways.responses import ResponseWriter
from uwgate.gateways.wire import lease as wire

LENGTH_9 = request(b"POST", b"/", b"Content-Length: 9")


async def serve(lease: Lease, client: Client) -> bytes | None:
    """Answer one request; the Connection field of the answer."""
    await lease.packet()
    await lease.answer()
    response = await client.response()
    assert response.status == 200
    return response.fields.get(b"connection")


# Requests and age


async def test_the_last_request_of_a_connection_closes_it() -> None:
    async with running(http_connection_requests=3) as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        assert await serve(lease, client) is None
        await client.get()
        assert await serve(lease, client) is None
        await client.get()
        assert await serve(lease, client) == b"close"
        assert await client.is_closed()


async def test_a_request_behind_the_last_one_does_not_run() -> None:
    async with running(http_connection_requests=1) as instance:
        client = await instance.connect()
        await client.send(request(b"GET") * 2)
        lease = await instance.workers.accept()
        assert await serve(lease, client) == b"close"
        assert await client.is_closed()
        assert await lease.is_silent()


async def test_requests_with_bodies_count_as_well() -> None:
    async with running(http_connection_requests=1) as instance:
        client = await instance.connect()
        await client.send(LENGTH_9)
        lease = await instance.workers.accept()
        await client.send(b"x" * 9)
        assert await serve(lease, client) == b"close"


async def test_0_is_no_limit_for_requests() -> None:
    async with running(http_connection_requests=0) as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        for _ in range(3):
            assert await serve(lease, client) is None
            await client.get()
        assert await serve(lease, client) is None


async def test_an_old_connection_is_closed_with_its_next_answer(hurried_clock: Clock) -> None:
    async with running(http_connection_lifetime=20, http_keepalive=100) as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        assert await serve(lease, client) is None
        await trio.sleep(17)
        await client.get()
        assert await serve(lease, client) is None
        await trio.sleep(6)
        await client.get()
        assert await serve(lease, client) == b"close"
        assert await client.is_closed()


async def test_connections_of_one_moment_do_not_end_in_one_moment() -> None:
    async with running(http_connection_lifetime=100) as instance:
        ends = {instance.gateway.lifetime_end() - instance.gateway.now for _ in range(50)}
        assert len(ends) > 40
        assert min(ends) >= 90
        assert max(ends) <= 110


# Connections of one client


async def test_one_client_gets_no_more_connections_than_allowed() -> None:
    async with running(http_client_connections=2, http_trust_forwarded=("none",)) as instance:
        first, second = await instance.connect(), await instance.connect()
        third = await instance.connect()
        assert await third.is_closed()
        assert instance.gateway.counters["connections-of-client"] == 1
        first.close()
        await settled()
        await second.get()
        lease = await instance.workers.accept()
        assert await serve(lease, second) is None
        fourth = await instance.connect()
        await fourth.get()
        assert await serve(lease, fourth) is None


async def test_trusted_proxies_have_as_many_connections_as_they_like() -> None:
    async with running(http_client_connections=1) as instance:
        first, second = await instance.connect(), await instance.connect()
        await second.get()
        lease = await instance.workers.accept()
        assert await serve(lease, second) is None
        await first.get()
        assert await serve(lease, first) is None


async def test_one_client_never_takes_more_than_a_quarter_of_all() -> None:
    async with running(http_max_connections=8, http_trust_forwarded=("none",)) as instance:
        clients = [await instance.connect() for _ in range(3)]
        assert await clients[2].is_closed()
        assert len(instance.gateway._sessions) == 2


# Slow bodies


async def test_a_worker_is_asked_when_the_body_is_complete() -> None:
    async with running(http_body_buffer=65536) as instance:
        client = await instance.connect()
        for piece in (LENGTH_9, b"abc", b"def"):
            await client.send(piece)
            assert await instance.workers.nobody_waits()
        await client.send(b"ghi")
        lease = await instance.workers.accept()
        assert (await lease.packet())[b"CONTENT_LENGTH"] == b"9"
        assert await lease.exactly(9) == b"abcdefghi"
        await lease.answer()
        assert (await client.response()).status == 200


@pytest.mark.parametrize("part", [b"", b"abc"])
async def test_a_body_that_breaks_off_is_400_and_asks_nobody(part: bytes) -> None:
    async with running(http_body_buffer=65536) as instance:
        client = await instance.connect()
        await client.send(LENGTH_9)
        await settled()
        await client.send(part)
        client.half_close()
        assert (await client.response()).status == 400
        assert await instance.workers.nobody_waits()


async def test_a_client_that_resets_within_its_body_is_forgotten() -> None:
    async with running(http_body_buffer=65536) as instance:
        client = await instance.connect()
        await client.send(LENGTH_9 + b"abc")
        await settled()
        assert len(instance.gateway._sessions) == 1
        client.reset()
        await settled()
        assert not instance.gateway._sessions


async def test_what_follows_an_awaited_body_is_the_next_request() -> None:
    async with running(http_body_buffer=65536) as instance:
        client = await instance.connect()
        await client.send(LENGTH_9 + b"abc")
        await settled()
        await client.send(b"defghi" + request(b"GET", b"/next"))
        lease = await instance.workers.accept()
        await lease.packet()
        assert await lease.exactly(9) == b"abcdefghi"
        await lease.answer()
        assert (await client.response()).status == 200
        assert (await lease.packet())[b"PATH_INFO"] == b"/next"
        await lease.answer()
        assert (await client.response()).status == 200


async def test_an_awaited_body_takes_no_task() -> None:
    async with running(http_body_buffer=65536) as instance:
        client = await instance.connect()
        await client.send(LENGTH_9 + b"abc")
        await settled()
        assert instance.gateway.lane.tasks == 0
        await client.send(b"defghi")
        lease = await instance.workers.accept()
        assert await serve(lease, client) is None


async def test_an_awaited_body_is_still_answered_while_draining() -> None:
    async with running(http_body_buffer=65536) as instance:
        client = await instance.connect()
        await client.send(LENGTH_9 + b"abc")
        await settled()
        instance.drain(0)
        await client.send(b"defghi")
        lease = await instance.workers.accept()
        assert await serve(lease, client) == b"close"


async def test_a_worker_is_asked_when_enough_of_the_body_has_come() -> None:
    async with running(http_body_buffer=1000) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 5000") + b"x" * 999)
        assert await instance.workers.nobody_waits()
        await client.send(b"x")
        lease = await instance.workers.accept()
        await lease.packet()
        assert await lease.exactly(1000) == b"x" * 1000
        await lease.frame(wire.TAKEN)
        await client.send(b"x" * 4000)
        assert await lease.exactly(4000) == b"x" * 4000
        await lease.answer()
        assert (await client.response()).status == 200


async def test_a_chunked_body_is_awaited_as_well() -> None:
    async with running(http_body_buffer=65536) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        assert await instance.workers.nobody_waits()
        await client.send(b"0\r\n\r\n")
        lease = await instance.workers.accept()
        await lease.packet()
        assert await lease.chunks() == b"abc"
        await lease.answer()
        assert (await client.response()).status == 200


async def test_a_client_that_waits_for_100_is_not_waited_for() -> None:
    async with running(http_body_buffer=65536) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 9", b"Expect: 100-continue"))
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.frame(wire.CONTINUE)
        assert (await client.head()).status == 100
        await client.send(b"x" * 9)
        assert await lease.exactly(9) == b"x" * 9
        await lease.answer()
        assert (await client.response()).status == 200


async def test_a_body_of_the_wrong_framing_asks_for_no_worker() -> None:
    async with running(http_body_buffer=65536) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        await client.send(b"0x5\r\n")
        assert (await client.response()).status == 400
        assert await instance.workers.nobody_waits()


@pytest.mark.parametrize("buffer", [0, 65536])
async def test_a_body_slower_than_the_rate_is_408(hurried_clock: Clock, buffer: int) -> None:
    async with running(
        http_min_rate=100, http_min_rate_grace=3, http_body_buffer=buffer, http_timeout=60
    ) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 5000"))
        began = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def dribble() -> None:
                while True:
                    await client.send(b"x" * 10)
                    await trio.sleep(1)

            async def work() -> None:
                lease = await instance.workers.accept()
                await lease.packet()
                await lease.frame(wire.TAKEN)

            nursery.start_soon(dribble)
            if not buffer:
                nursery.start_soon(work)
            assert (await client.response()).status == 408
            nursery.cancel_scope.cancel()
        assert 3 <= trio.current_time() - began < 5


async def test_a_body_as_fast_as_the_rate_is_taken(hurried_clock: Clock) -> None:
    async with running(
        http_min_rate=100, http_min_rate_grace=5, http_body_buffer=65536
    ) as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 3000"))
        for _ in range(20):
            await trio.sleep(1)
            await client.send(b"x" * 150)
        lease = await instance.workers.accept()
        await lease.packet()
        assert await lease.exactly(3000) == b"x" * 3000
        await lease.answer()
        assert (await client.response()).status == 200


# Slow readers


async def begin_large(instance: Instance, window: int) -> tuple[Client, Lease]:
    """A client with a small receive buffer, and an answer that is larger than all buffers."""
    client = await instance.connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    await client.get()
    lease = await instance.workers.accept()
    await lease.packet()
    await lease.begin()
    await lease.send_until_blocked(wire.encode_frame(0, b"", b"x" * 65000))
    return client, lease


async def test_a_reader_slower_than_the_rate_is_given_up(hurried_clock: Clock) -> None:
    async with running(http_min_rate=1_000_000, http_min_rate_grace=4, http_timeout=60) as instance:
        client, lease = await begin_large(instance, 4096)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def sip() -> None:
                while await client.sock.recv(1000):  # noqa: ASYNC110 (slow, not waiting)
                    await trio.sleep(0.5)

            nursery.start_soon(sip)
            with trio.fail_after(30):
                while instance.gateway._sessions:  # noqa: ASYNC110
                    await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began < 8
        assert instance.gateway.counters["slow-reader"] == 1
        lease.close()


async def test_a_slow_reader_above_the_rate_is_served(hurried_clock: Clock) -> None:
    # Much longer than the kernel takes to open a window, while this clock runs fast.
    async with running(http_min_rate=1000, http_min_rate_grace=40, http_timeout=60) as instance:
        client, _ = await begin_large(instance, 4096)
        for _ in range(15):
            assert await client.sock.recv(16384)  # less opens no window on loopback
            await trio.sleep(5)
        assert len(instance.gateway._sessions) == 1


# Strict-Transport-Security

HSTS = b"Strict-Transport-Security: max-age=600; preload\r\n"


def head_of(head: bytes, *, secure: bool, hsts: str | None = "max-age=600; preload") -> bytes:
    writer = ResponseWriter(HttpOptions(), hsts)
    asked = Request(b"GET", b"/", b"", 0, 1, True, False, secure=secure)
    return writer.start(asked, 0, head, 0, True)[0]


def test_encrypted_answers_ask_for_encryption() -> None:
    assert HSTS in head_of(b"200 OK\r\n", secure=True)
    assert b"Strict-Transport" not in head_of(b"200 OK\r\n", secure=False)
    assert b"Strict-Transport" not in head_of(b"200 OK\r\n", secure=True, hsts=None)


def test_what_the_application_asks_for_counts() -> None:
    own = b"200 OK\r\nstrict-transport-security: max-age=1\r\n"
    head = head_of(own, secure=True)
    assert head.lower().count(b"strict-transport-security:") == 1


async def test_the_option_reaches_the_answers() -> None:
    async with running(https_hsts="600", http_stud_prefix=("loopback",)) as instance:
        client = await instance.connect()
        await client.send(b"\x02\xcb\x00\x71\x07" + request(b"GET"))
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.answer()
        response = await client.response()
        assert response.fields[b"strict-transport-security"] == b"max-age=600"
