"""RFC 9113 sections 6.1 to 6.10: each type of frame, well-formed and not."""

from __future__ import annotations

import pytest

from tests.gateways.http2.client import (
    ACK,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    NO_ERROR,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    pack,
    settings,
    talking,
)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 0, b"\x82"), PROTOCOL_ERROR),
        (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 0, pack(8)), PROTOCOL_ERROR),
        (frame(RST_STREAM, 0, 1, b"abc"), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 0, b"abcde"), FRAME_SIZE_ERROR),
        (frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
        (frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
        (frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        (frame(PING, 0, 0, bytes(9)), FRAME_SIZE_ERROR),
        (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, pack(0)), PROTOCOL_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, pack(0x7FFFFFFF)), FLOW_CONTROL_ERROR),
        (settings((ENABLE_PUSH, 2)), PROTOCOL_ERROR),
        (settings((INITIAL_WINDOW_SIZE, 1 << 31)), FLOW_CONTROL_ERROR),
        (settings((MAX_FRAME_SIZE, 16383)), PROTOCOL_ERROR),
        (settings((MAX_FRAME_SIZE, 1 << 24)), PROTOCOL_ERROR),
    ],
    ids=[
        "data on stream 0",
        "headers on stream 0",
        "priority of stream 0",
        "rst_stream of stream 0",
        "rst_stream of 3 bytes",
        "settings of a stream",
        "settings of 5 bytes",
        "acknowledgement with settings",
        "ping of a stream",
        "ping of 7 bytes",
        "ping of 9 bytes",
        "goaway of a stream",
        "goaway of 7 bytes",
        "window update by 0",
        "window update of 3 bytes",
        "connection window beyond 2^31-1",
        "enable_push 2",
        "initial window beyond 2^31-1",
        "max frame size too small",
        "max frame size too large",
    ],
)
async def test_a_broken_frame_ends_the_connection(sent: bytes, code: int) -> None:
    async with talking() as talk:
        await talk.client.send(sent)
        assert await talk.client.ended_with() == code


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 1, pack(0)), PROTOCOL_ERROR),
        (frame(WINDOW_UPDATE, 0, 1, pack(0x7FFFFFFF)), FLOW_CONTROL_ERROR),
    ],
    ids=["priority of 4 bytes", "window update by 0", "window beyond 2^31-1"],
)
async def test_an_error_of_one_stream_leaves_the_others(sent: bytes, code: int) -> None:
    async with talking() as talk:
        await talk.client.request(1, end=False)
        await talk.client.send(sent)
        assert await talk.client.reset_of(1) == code
        lease = await talk.workers.queued()  # asked for by the first
        await lease.frame(1)
        await talk.works(3)


@pytest.mark.parametrize("kind", [DATA, HEADERS])
async def test_padding_is_dropped(kind: int) -> None:
    async with talking() as talk:
        client = talk.client
        padding = bytes(200)
        if kind == HEADERS:
            block = b"\xc8" + client.headers(1)[9:] + padding
            await client.send(frame(HEADERS, END_HEADERS | PADDED, 1, block))
            await client.data(1, b"body", end=True)
        else:
            await client.request(1, end=False)
            await client.send(frame(DATA, END_STREAM | PADDED, 1, b"\xc8body" + padding))
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.frame(2)
        assert await lease.chunks() == b"body"
        await lease.answer()
        assert (await client.response(1)).status == 200


@pytest.mark.parametrize("kind", [DATA, HEADERS])
async def test_padding_longer_than_its_frame_ends_the_connection(kind: int) -> None:
    async with talking() as talk:
        await talk.client.request(1, end=False)
        number = 1 if kind == DATA else 3
        await talk.client.send(frame(kind, PADDED | END_HEADERS, number, b"\x09abc"))
        assert await talk.client.ended_with() == PROTOCOL_ERROR


async def test_headers_with_a_priority_cut_short_end_the_connection() -> None:
    async with talking() as talk:
        await talk.client.send(frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, b"\0\0"))
        assert await talk.client.ended_with() in (FRAME_SIZE_ERROR, PROTOCOL_ERROR)


async def test_a_ping_is_answered_with_its_own_bytes() -> None:
    async with talking() as talk:
        await talk.client.send(frame(PING, 0, 0, b"deadbeef"))
        answer = await talk.client.next(PING)
    assert (answer.flags, answer.payload) == (ACK, b"deadbeef")


async def test_the_answer_to_a_ping_is_not_answered() -> None:
    async with talking() as talk:
        await talk.client.send(frame(PING, ACK, 0, b"deadbeef"))
        await talk.client.ping()
    assert b"deadbeef" not in [one.payload for one in talk.client.seen]


async def test_unknown_settings_are_acknowledged_and_forgotten() -> None:
    async with talking() as talk:
        await talk.client.send(settings(*((number, 7) for number in range(1000, 2000))))
        for _ in range(2):
            while (await talk.client.next(SETTINGS)).flags != ACK:
                pass
        connection = await talk.connection()
        assert len(connection.protocol._engine.remote_settings) < 10


async def test_an_unknown_error_code_is_taken_for_a_cancellation() -> None:
    async with talking() as talk:
        await talk.client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await talk.client.send(frame(RST_STREAM, 0, 1, pack(0xDEADBEEF)))
        await talk.client.ping()
        await lease.answer()
        await talk.works(3)


async def test_a_goaway_with_an_unknown_error_code_ends_nothing() -> None:
    async with talking() as talk:
        await talk.client.send(frame(GOAWAY, 0, 0, pack(0) + pack(0xDEADBEEF) + b"why"))
        await talk.works(1)


async def test_a_smaller_initial_window_counts_for_streams_that_run() -> None:
    async with talking() as talk:
        client = talk.client
        client.opens_windows = False
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await client.send(settings((INITIAL_WINDOW_SIZE, 3)))
        await client.ping()
        await lease.answer(b"abcdef")
        assert (await client.next(DATA, 1)).payload == b"abc"
        await client.send(settings((INITIAL_WINDOW_SIZE, 4)))
        assert (await client.next(DATA, 1)).payload == b"d"
        await client.send(frame(WINDOW_UPDATE, 0, 1, pack(100)))
        assert (await client.response(1)).body == b"abcdef"


async def test_the_clients_largest_frame_is_kept_to() -> None:
    async with talking((MAX_FRAME_SIZE, 20000), (INITIAL_WINDOW_SIZE, 100000)) as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.begin(bytes(50000))
        await lease.last()
        response = await client.response(1)
        sizes = [len(one.payload) for one in client.seen if one.kind == DATA]
    assert len(response.body) == 50000
    assert max(sizes) == 20000


async def test_a_goaway_without_error_and_end_of_file_close_the_connection() -> None:
    async with talking() as talk:
        await talk.client.send(frame(GOAWAY, 0, 0, pack(0) + pack(NO_ERROR)))
        talk.client.half_close()
        assert not (await talk.client.rest()).endswith(b"error")
