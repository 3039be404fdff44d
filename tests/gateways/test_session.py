"""Refusals, time-outs, limits and the end of a gateway's connections."""

from __future__ import annotations

import os
import socket
import threading

import pytest
import trio
from trio.abc import Clock
from trio.testing import MockClock

from tests.gateways.instance import Instance, running
from tests.gateways.peers import PATIENCE, Client, Lease, request, settled
from uwgate.gateways.http import TICK
from uwgate.gateways.pages import EXPLANATIONS, error_page
from uwgate.gateways.relay import LINGER
from uwgate.gateways.wire import lease as wire


async def begin(instance: Instance, data: bytes | None = None) -> tuple[Client, Lease]:
    """A client whose request has been taken on a lease."""
    client = await instance.connect()
    await client.send(request(b"GET") if data is None else data)
    lease = await instance.workers.accept()
    await lease.packet()
    return client, lease


async def keep(instance: Instance) -> tuple[Client, Lease]:
    """A client and a lease that are idle after a first request."""
    client, lease = await begin(instance)
    await lease.answer()
    assert (await client.response()).status == 200
    return client, lease


# Refusals


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (request(b"GET", host=b""), 400),
        (request(b"GET", b"/%zz"), 400),
        (request(b"GET", b"/", b"X : 1"), 400),
        (request(b"POST", b"/", b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
        (request(b"POST", b"/", b"Content-Length: 1", b"Content-Length: 1"), 400),
        (request(b"POST", b"/", b"Transfer-Encoding: chunked"), 411),
        (request(b"POST", b"/", b"Content-Length: 1001"), 413),
        (request(b"GET", b"/" + b"x" * 300), 414),
        (b"GET /" + b"x" * 300, 414),
        (request(b"GET", b"/", b"Expect: miracles"), 417),
        (request(b"GET", b"/", b"X: " + b"x" * 300), 431),
        (request(b"GET", b"/", *[b"X: 1"] * 10), 431),
        (b"GET / HTTP/1.1\r\n" + b"X: 1234567890\r\n" * 100, 431),
        (request(b"BREW"), 501),
        (request(b"CONNECT", b"a:443"), 501),
        (request(b"POST", b"/", b"Transfer-Encoding: gzip"), 400),
        (request(b"GET", version=b"2.0"), 505),
    ],
)
async def test_a_bad_request_gets_its_status_and_the_end(data: bytes, status: int) -> None:
    async with running(
        http_line_limit=256,
        http_head_limit=1024,
        http_header_limit=8,
        http_chunked_input=False,
        limit_post=1000,
    ) as instance:
        client = await instance.connect()
        await client.send(data)
        response = await client.response()
        assert response.status == status
        assert response.fields[b"connection"] == b"close"
        assert response.fields[b"content-type"] == b"text/html; charset=utf-8"
        assert EXPLANATIONS[status].encode() in response.body
        assert await client.is_closed()
        assert await instance.workers.nobody_waits()


async def test_a_bad_request_behind_a_good_one_is_refused_after_its_answer() -> None:
    async with running() as instance:
        client, lease = await begin(instance, request(b"GET") + b"BAD\r\n\r\n")
        assert await client.is_silent()
        await lease.answer(b"good")
        assert (await client.response()).body == b"good"
        assert (await client.response()).status == 400
        assert await client.is_closed()


async def test_a_refused_client_that_goes_on_sending_reads_the_answer() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/%zz", b"Content-Length: 100000"))
        await client.send(b"x" * 100_000)
        assert (await client.response()).status == 400
        assert await client.is_closed()


def flood(sock: socket.socket) -> None:
    """Send until the peer has had enough."""
    try:
        while True:
            sock.sendall(b"x" * 65536)
    except OSError:
        pass


async def test_a_client_that_floods_does_not_stop_the_others(frozen_clock: MockClock) -> None:
    async with running() as instance:
        sock = socket.create_connection(instance.door.getsockname())
        with sock:
            sock.sendall(b"BAD\n")
            threading.Thread(target=flood, args=(sock,), daemon=True).start()
            client, lease = await keep(instance)
            frozen_clock.jump(LINGER / 2)
            for _ in range(20):
                await client.get()
                await lease.packet()
                await lease.answer()
                assert (await client.response()).status == 200
            assert len(instance.gateway._sessions) == 2  # it was not just thrown out
            frozen_clock.jump(LINGER / 2 + TICK)
            with trio.fail_after(PATIENCE):
                while len(instance.gateway._sessions) == 2:
                    frozen_clock.jump(TICK)
                    await trio.lowlevel.checkpoint()


def test_a_page_for_head_has_the_length_but_not_the_body() -> None:
    page = error_page(502)
    head = error_page(502, body=False)
    assert page.startswith(head)
    assert head.endswith(b"\r\n\r\n")
    assert len(page) > len(head)


@pytest.mark.parametrize("status", EXPLANATIONS)
def test_each_page_says_how_long_it_is(status: int) -> None:
    head, _, body = error_page(status).partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"Retry-After" in head) is (status == 503)


# Time-outs


async def test_an_unfinished_head_is_408(hurried_clock: Clock) -> None:
    async with running(http_headers_timeout=3) as instance:
        client = await instance.connect()
        began = trio.current_time()
        await client.send(request(b"GET")[:-2])
        assert (await client.response()).status == 408
        assert 3 <= trio.current_time() - began < 5
        assert await client.is_closed()


async def test_one_byte_now_and_then_does_not_prolong_a_head(hurried_clock: Clock) -> None:
    async with running(http_headers_timeout=3) as instance:
        client = await instance.connect()
        began = trio.current_time()
        for octet in b"GET /":
            await client.send(bytes([octet]))
            await trio.sleep(0.5)
        assert (await client.response()).status == 408
        assert trio.current_time() - began < 5


async def test_a_connection_without_a_request_is_closed_without_a_word(
    hurried_clock: Clock,
) -> None:
    async with running(http_headers_timeout=3) as instance:
        client = await instance.connect()
        began = trio.current_time()
        assert await client.is_closed()
        assert 3 <= trio.current_time() - began < 5


async def test_an_idle_connection_is_closed_after_the_keep_alive_time(
    hurried_clock: Clock,
) -> None:
    async with running(http_keepalive=4, http_headers_timeout=1) as instance:
        client, _ = await keep(instance)
        began = trio.current_time()
        assert await client.is_closed()
        assert 3.5 <= trio.current_time() - began < 5


async def test_a_worker_that_does_not_answer_is_504_and_keeps_its_lease_for_later(
    hurried_clock: Clock,
) -> None:
    async with running(http_timeout=3) as instance:
        client, lease = await begin(instance)
        began = trio.current_time()
        response = await client.response()
        assert response.status == 504
        assert 2.5 <= trio.current_time() - began < 5
        assert await client.is_closed()
        other = await instance.connect()
        await other.get(b"/other")
        assert await lease.is_silent()
        await lease.answer(b"too late")
        assert (await lease.packet())[b"PATH_INFO"] == b"/other"
        await lease.answer(b"in time")
        assert (await other.response()).body == b"in time"


async def test_a_worker_that_does_not_read_a_body_is_504_and_loses_its_lease(
    hurried_clock: Clock,
) -> None:
    async with running(http_timeout=3) as instance:
        data = request(b"POST", b"/", b"Content-Length: 9999", body=b"x" * 9999)
        client, lease = await begin(instance, data)
        assert (await client.response()).status == 504
        assert await client.is_closed()
        await lease.rest()
        other = await instance.connect()
        await other.get()
        fresh = await instance.workers.accept()
        await fresh.packet()
        await fresh.answer()
        assert (await other.response()).status == 200


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_a_request_that_gets_no_slot_is_504(hurried_clock: Clock, method: bytes) -> None:
    async with running(http_timeout=3) as instance:
        client = await instance.connect()
        await client.send(request(method, b"/", b"Content-Length: 1", body=b"x"))
        assert (await client.response()).status == 504
        lease = await instance.workers.accept()
        assert await lease.is_silent()


async def test_a_504_for_head_has_no_body(hurried_clock: Clock) -> None:
    async with running(http_timeout=2) as instance:
        client, _ = await begin(instance, request(b"HEAD"))
        assert (await client.head()).status == 504
        assert await client.rest() == b""


async def test_a_body_that_stops_is_408_and_gives_up_the_lease(
    hurried_clock: Clock,
) -> None:
    async with running(http_timeout=3) as instance:
        client, lease = await begin(instance, request(b"POST", b"/", b"Content-Length: 9"))
        await lease.frame(wire.TAKEN)
        await client.send(b"x")
        assert (await client.response()).status == 408
        assert await lease.rest() == b"x"


async def test_a_slow_body_is_taken_as_long_as_it_moves(hurried_clock: Clock) -> None:
    async with running(http_timeout=2) as instance:
        client, lease = await begin(instance, request(b"POST", b"/", b"Content-Length: 9"))
        await lease.frame(wire.TAKEN)
        for _ in range(9):
            await client.send(b"x")
            await trio.sleep(1)
        assert await lease.exactly(9) == b"x" * 9
        await lease.answer()
        assert (await client.response()).status == 200


async def test_a_slow_answer_is_taken_as_long_as_it_moves(hurried_clock: Clock) -> None:
    async with running(http_timeout=2) as instance:
        client, lease = await begin(instance)
        await lease.begin()
        for _ in range(6):
            await trio.sleep(1)
            await lease.more(b"x")
        await lease.last()
        assert (await client.response()).body == b"x" * 6


async def test_an_answer_that_stops_in_the_middle_is_cut_off(hurried_clock: Clock) -> None:
    async with running(http_timeout=2) as instance:
        client, lease = await begin(instance)
        await lease.begin(b"part")
        response = await client.response()
        assert (response.body, response.complete) == (b"part", False)
        assert await lease.rest() == b""


async def test_a_client_that_does_not_read_is_given_up(hurried_clock: Clock) -> None:
    async with running(http_timeout=2) as instance:
        _, lease = await begin(instance)
        await lease.begin()
        assert await lease.is_closed_after(wire.encode_frame(0, b"", b"x" * 65000))


async def test_what_came_while_the_process_stood_still_is_in_time(frozen_clock: MockClock) -> None:
    async with running(http_timeout=3) as instance:
        client, lease = await keep(instance)
        for _ in range(8):
            await client.get()
            await lease.packet()
            await settled()
            frozen_clock.jump(TICK)
            await settled()
            # Without a moment for the gateway in between.
            answer = wire.encode_frame(wire.HEAD | wire.LAST, b"200 OK\r\n", b"ok")
            os.write(lease.sock.fileno(), answer)
            frozen_clock.jump(10)
            assert (await client.response()).status == 200


# Draining


async def test_draining_at_once_closes_idle_connections() -> None:
    async with running() as instance:
        client, lease = await keep(instance)
        fresh = await instance.connect()
        await settled()
        instance.drain(0)
        assert await client.is_closed()
        assert await fresh.is_closed()
        with trio.fail_after(PATIENCE):
            await instance.gateway.drained()
        assert await lease.rest() == b""


async def test_an_idle_connection_may_bring_one_last_request() -> None:
    async with running() as instance:
        client, lease = await keep(instance)
        instance.drain(5)
        await client.get()
        await lease.packet()
        await lease.answer(b"last")
        response = await client.response()
        assert response.body == b"last"
        assert response.fields[b"connection"] == b"close"
        assert await client.is_closed()
        with trio.fail_after(PATIENCE):
            await instance.gateway.drained()


async def test_an_idle_connection_is_closed_when_its_time_is_over(
    hurried_clock: Clock,
) -> None:
    async with running() as instance:
        client, _ = await keep(instance)
        instance.drain(3)
        began = trio.current_time()
        assert await client.is_closed()
        assert 2.5 <= trio.current_time() - began < 5


async def test_a_running_request_is_answered_while_draining() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        instance.drain(0)
        assert await client.is_silent()
        await lease.answer(b"late")
        response = await client.response()
        assert response.body == b"late"
        assert response.fields[b"connection"] == b"close"
        with trio.fail_after(PATIENCE):
            await instance.gateway.drained()


async def test_a_request_that_waits_for_a_slot_is_answered_while_draining() -> None:
    async with running() as instance:
        first, lease = await begin(instance)
        second = await instance.connect()
        await second.get()
        assert await second.is_silent()
        instance.drain(0)
        await lease.answer(b"one")
        await lease.packet()
        await lease.answer(b"two")
        assert (await first.response()).body == b"one"
        assert (await second.response()).body == b"two"


async def test_a_streamed_answer_ends_before_the_drain_does() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.begin(b"a")
        await client.head()
        instance.drain(0)
        await lease.last(b"b")
        assert await client.rest() == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
        with trio.fail_after(PATIENCE):
            await instance.gateway.drained()


async def test_a_connection_in_the_accept_queue_is_left_to_the_next_gateway() -> None:
    async with running() as instance:
        with socket.create_connection(instance.door.getsockname()) as late:
            instance.drain(0)  # without a moment for the gateway in between
            with trio.fail_after(PATIENCE):
                await instance.gateway.drained()
            await settled()
            taken, _ = instance.door.accept()
            with taken:
                assert taken.getpeername() == late.getsockname()


# Limits


async def test_more_connections_than_allowed_have_to_wait() -> None:
    async with running(http_max_connections=2) as instance:
        first, lease = await keep(instance)
        second = await instance.connect()
        await settled()
        third = await instance.connect()
        await third.get(b"/third")
        assert await lease.is_silent(0.3)
        second.close()
        assert (await lease.packet())[b"PATH_INFO"] == b"/third"
        await lease.answer(b"third")
        assert (await third.response()).body == b"third"
        await first.get()
        await lease.packet()
        await lease.answer()
        assert (await first.response()).status == 200
