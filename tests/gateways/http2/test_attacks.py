"""Frames that cost us more than they cost the client, and clients that are slow on purpose."""

from __future__ import annotations

import contextlib
import logging

import pytest
import trio
import trio.testing

from tests.gateways.http2.client import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    NO_ERROR,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    WINDOW_UPDATE,
    Conversation,
    Http2Client,
    connect,
    fields_of,
    frame,
    pack,
    settings,
    talking,
)
from tests.gateways.instance import running
from uwgate.conf.groups.http2 import Http2Options
from uwgate.gateways.wire.lease import encode_frame

LIMITS = {
    "http2_max_resets": 10,
    "http2_max_pings": 10,
    "http2_max_settings": 10,
    "http2_max_empty_frames": 10,
    "http2_max_priorities": 10,
    "http2_max_window_updates": 10,
}


def flood(client: Http2Client, number: int, attack: str) -> bytes:
    """The ``number``th piece of an attack."""
    stream = 2 * number + 3
    reset = frame(RST_STREAM, 0, stream, pack(CANCEL))
    match attack:
        case "malformed":
            return client.headers(stream, [(b":method", b"GET")])
        case "lying length":
            return client.headers(stream, fields_of(b"/", (b"content-length", b"5")))
    plain = {
        "ping": frame(PING, 0, 0, bytes(8)),
        "answers to no ping": frame(PING, ACK, 0, bytes(8)),
        "settings": settings(),
        "empty data": frame(DATA, 0, 1),
        "padded data": frame(DATA, PADDED, 1, b"\x03" + bytes(3)),
        "unknown type": frame(0xBE, 0, 0),
        "goaway": frame(GOAWAY, 0, 0, bytes(8)),
        "priority": frame(PRIORITY, 0, 99, pack(0) + b"\0"),
        "window update": frame(WINDOW_UPDATE, 0, 0, pack(1)),
    }
    if attack in plain:
        return plain[attack]
    behind = {
        "rapid reset": reset,
        "reset of an ended stream": reset + reset,
        "window update by 0": frame(WINDOW_UPDATE, 0, stream, pack(0)),
        "window overflow": frame(WINDOW_UPDATE, 0, stream, pack(0x7FFFFFFF)),
        "short priority": frame(PRIORITY, 0, stream, b"\0"),
        "own dependency": frame(PRIORITY, 0, stream, pack(stream) + b"\0"),
        "data behind the end": frame(DATA, END_STREAM, stream) + frame(DATA, 0, stream, b"x"),
    }
    return client.headers(stream, end=False) + behind[attack]


@pytest.mark.parametrize(
    "attack",
    [
        "ping",
        "answers to no ping",
        "settings",
        "empty data",
        "padded data",
        "unknown type",
        "goaway",
        "priority",
        "window update",
        "rapid reset",
        "reset of an ended stream",
        "window update by 0",
        "window overflow",
        "short priority",
        "own dependency",
        "data behind the end",
        "malformed",
        "lying length",
    ],
)
async def test_too_much_of_it_ends_the_connection(
    attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with talking(http2=LIMITS) as talk:
        client = talk.client
        await client.request(1, end=False)
        for number in range(8):
            await client.send(flood(client, number, attack))
        await client.ping()  # not yet
        with caplog.at_level(logging.WARNING, "uwgate.http"):
            with contextlib.suppress(OSError):  # the gateway may have closed by now
                for number in range(8, 16):
                    await client.send(flood(client, number, attack))
            assert await client.ended_with() == ENHANCE_YOUR_CALM
        assert len(caplog.records) == 1
        assert "http2-max-" in caplog.text
        other = await talk.another()
        await other.ping()


async def test_limits_count_anew_after_their_period(hurried_clock: trio.abc.Clock) -> None:
    async with talking(http2=LIMITS, http_headers_timeout=60.0) as talk:
        for _ in range(3):
            for _ in range(8):
                await talk.client.send(frame(PING, 0, 0, bytes(8)))
            await trio.sleep(11)
        await talk.client.ping()


async def test_window_updates_for_what_was_sent_are_no_attack() -> None:
    async with talking(http2=LIMITS) as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()

        async def answer() -> None:
            await lease.begin(bytes(1000000))
            await lease.last()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            assert len((await client.response(1)).body) == 1000000
        updates = [one for one in client.seen if one.kind == DATA]
        assert len(updates) > 60


async def test_continuations_are_counted() -> None:
    async with talking(http2={"http2_max_continuations": 3}) as talk:
        block = talk.client.headers(1)[9:]
        pieces = [block[:1], block[1:2], block[2:3], block[3:4]]
        await talk.client.send(frame(HEADERS, END_STREAM, 1, pieces[0]))
        for piece in pieces[1:]:
            await talk.client.send(frame(CONTINUATION, 0, 1, piece))
        await talk.client.send(frame(CONTINUATION, 0, 1, block[4:]))
        assert await talk.client.ended_with() == ENHANCE_YOUR_CALM


async def test_a_header_block_is_bounded_before_it_is_complete() -> None:
    async with talking(http_head_limit=2048) as talk:
        await talk.client.send(frame(HEADERS, END_STREAM, 1, bytes(3000)))
        await talk.client.send(frame(CONTINUATION, 0, 1, bytes(3000)))
        assert await talk.client.ended_with() == ENHANCE_YOUR_CALM


async def test_a_small_block_that_expands_to_a_large_one_ends_the_connection() -> None:
    async with talking(http_head_limit=4096) as talk:
        client = talk.client
        large = talk.client.encoder.encode([*fields_of(), (b"x", b"y" * 3000)])
        await client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, large))
        again = talk.client.encoder.encode([*fields_of(), *[(b"x", b"y" * 3000)] * 500])
        assert len(again) < 1000
        await client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, again))
        assert await client.ended_with() == ENHANCE_YOUR_CALM


async def test_a_preface_that_does_not_come_ends_the_connection(
    hurried_clock: trio.abc.Clock,
) -> None:
    chosen = Http2Options(http2_prior_knowledge=True)
    async with running(http2=chosen, http_headers_timeout=3.0) as instance:
        client = await connect(instance)
        await client.send(b"PRI * HTTP/2.0\r\n\r\n")
        start = trio.current_time()
        await client.ended_with()
        assert 3.0 <= trio.current_time() - start < 5.0


async def test_a_client_that_asks_for_nothing_is_closed(hurried_clock: trio.abc.Clock) -> None:
    async with talking(http_headers_timeout=3.0) as talk:
        await talk.client.ping()
        start = trio.current_time()
        assert await talk.client.ended_with() == NO_ERROR
        assert 3.0 <= trio.current_time() - start < 5.0


async def test_pings_do_not_keep_an_idle_connection_open(hurried_clock: trio.abc.Clock) -> None:
    async with talking(http_keepalive=5.0, http_headers_timeout=5.0) as talk:
        for _ in range(4):
            await talk.client.ping()
            await trio.sleep(1.0)
        start = trio.current_time()
        assert await talk.client.ended_with() == NO_ERROR
        assert trio.current_time() - start < 3.0


@pytest.mark.parametrize("what", ["frame", "block"])
async def test_a_header_block_must_be_complete_in_time(
    what: str, hurried_clock: trio.abc.Clock
) -> None:
    async with talking(http_headers_timeout=3.0, http2={"http2_max_continuations": 100}) as talk:
        client = talk.client
        await talk.works(1)
        whole = client.headers(3)
        start = trio.current_time()
        await client.send(whole[:-3] if what == "frame" else frame(HEADERS, 0, 3, whole[9:12]))
        assert await client.ended_with() == ENHANCE_YOUR_CALM
        assert 3.0 <= trio.current_time() - start < 5.0


async def test_a_request_that_takes_too_long_is_a_504_of_its_own(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with talking(http_timeout=4.0) as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        response = await client.response(1)
        assert response.status == 504
        await lease.answer(b"too late")
        await talk.works(3)


async def test_a_request_that_gets_no_worker_is_a_504(hurried_clock: trio.abc.Clock) -> None:
    async with talking(http_timeout=4.0) as talk:
        await talk.client.request(1)
        assert (await talk.client.response(1)).status == 504
        assert talk.gateway.lane.expected == 0
        await talk.works(3)


async def test_a_body_that_does_not_come_is_a_408_of_its_own(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with talking(http_timeout=4.0, processes=2) as talk:
        client = talk.client
        await client.request(1, end=False)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.frame(2)
        assert (await client.response(1)).status == 408
        assert await client.reset_of(1) == NO_ERROR
        await client.request(3)
        other = await talk.workers.accept()
        await other.packet()
        await other.answer()
        assert (await client.response(3)).status == 200


async def test_a_window_that_stays_shut_ends_its_stream(hurried_clock: trio.abc.Clock) -> None:
    async with talking((INITIAL_WINDOW_SIZE, 0), http_timeout=4.0) as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer(b"hello")
        assert await client.reset_of(1) == CANCEL
        await client.ping()


async def test_a_response_that_the_client_does_not_take_is_given_up(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with talking((INITIAL_WINDOW_SIZE, 0x7FFFFFFF), http_timeout=4.0) as talk:
        client = talk.client
        await client.send(frame(WINDOW_UPDATE, 0, 0, pack(0x7FFFFFFF - 65535)))
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.begin()
        await lease.send_until_blocked(encode_frame(0, b"", bytes(65536)))
        await trio.sleep(6.0)
        assert await lease.is_closed_after(b"")
        assert talk.gateway.counters["slow-reader"] == 1


async def test_a_client_that_takes_no_bytes_is_closed(hurried_clock: trio.abc.Clock) -> None:
    async with talking(http_timeout=4.0, http2={"http2_max_pings": 1 << 30}) as talk:
        await talk.client.send_until_blocked(frame(PING, 0, 0, bytes(8)) * 500)
        await trio.sleep(10.0)
        assert not talk.gateway._connections
        assert talk.gateway.counters["slow-reader"] == 1


async def test_a_window_that_opens_byte_by_byte_ends_its_stream(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with talking((INITIAL_WINDOW_SIZE, 0), http_min_rate_grace=5.0) as talk:
        client = talk.client
        client.opens_windows = False
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer(bytes(1000))
        for _ in range(8):
            await client.send(frame(WINDOW_UPDATE, 0, 1, pack(1)))
            await trio.sleep(1.0)
        assert await client.reset_of(1) == CANCEL


async def test_a_body_that_comes_byte_by_byte_is_a_408(hurried_clock: trio.abc.Clock) -> None:
    async with talking(http_min_rate_grace=5.0, http_body_buffer=65536) as talk:
        client = talk.client
        await client.request(1, end=False)
        for _ in range(8):
            await client.data(1, b"x")
            await trio.sleep(1.0)
        assert (await client.response(1)).status == 408
        assert await talk.workers.nobody_waits()  # no worker was kept busy by it


async def test_a_flood_of_requests_is_bounded_by_the_streams() -> None:
    async with talking(http2={"http2_max_streams": 4, "http2_max_resets": 1000}) as talk:
        client = talk.client
        for number in range(1, 200, 2):
            await client.request(number)
        await client.ping()
        (connection,) = talk.gateway._connections
        assert len(connection.streams) == 4
        assert await trio_quiet(talk)


async def trio_quiet(talk: Conversation) -> bool:
    """Nothing runs for the connection but its lane."""
    await trio.testing.wait_all_tasks_blocked(0.01)
    return talk.gateway.lane.tasks == 0
