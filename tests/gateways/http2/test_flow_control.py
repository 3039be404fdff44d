"""RFC 9113 section 5.2, 6.9: windows both ways, and who waits for whom."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.gateways.http2.client import (
    DATA,
    ENABLE_PUSH,
    FLOW_CONTROL_ERROR,
    INITIAL_WINDOW_SIZE,
    PADDED,
    PING,
    PROTOCOL_ERROR,
    RST_STREAM,
    WINDOW_UPDATE,
    Http2Client,
    fields_of,
    frame,
    pack,
    settings,
    talking,
)
from uwgate.gateways.http2.connection import MAX_UNSENT
from uwgate.gateways.http2.protocol import GROWTH, STREAM_WINDOW
from uwgate.gateways.wire import lease as wire

LARGE = 0x7FFFFFFF - 65535


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked(0.05)


async def test_a_response_waits_for_its_window() -> None:
    async with talking((INITIAL_WINDOW_SIZE, 0)) as talk:
        client = talk.client
        client.opens_windows = False
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer(b"hello")
        await client.ping()
        assert client.responses[1].body == b""
        await client.send(frame(WINDOW_UPDATE, 0, 1, pack(2)))
        assert (await client.next(DATA, 1)).payload == b"he"
        await client.send(frame(WINDOW_UPDATE, 0, 1, pack(2)))
        assert (await client.next(DATA, 1)).payload == b"ll"
        await client.send(frame(WINDOW_UPDATE, 0, 1, pack(2)))
        assert (await client.response(1)).body == b"hello"


async def test_an_empty_response_needs_no_window() -> None:
    async with talking((INITIAL_WINDOW_SIZE, 0)) as talk:
        await talk.client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer(b"")
        assert (await talk.client.response(1)).ended


async def test_a_worker_is_free_while_its_answer_waits_for_a_window() -> None:
    async with talking((INITIAL_WINDOW_SIZE, 0)) as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer(b"hello")
        await client.request(3)
        await lease.packet()
        await lease.answer(b"")
        assert (await client.response(3)).ended


async def test_a_stream_without_window_does_not_hold_up_the_others() -> None:
    async with talking((INITIAL_WINDOW_SIZE, 10), processes=2) as talk:
        client = talk.client
        client.opens_windows = False
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.begin(bytes(100000))
        await client.next(DATA, 1)
        await client.send(settings((INITIAL_WINDOW_SIZE, 0)))
        await client.request(3)
        other = await talk.workers.accept()
        await other.packet()
        await other.answer(b"small")
        await client.send(frame(WINDOW_UPDATE, 0, 3, pack(5)))
        assert (await client.response(3)).body == b"small"


async def test_no_more_is_taken_from_a_worker_than_the_client_takes() -> None:
    async with talking() as talk:
        client = talk.client
        client.opens_windows = False
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.begin()
        taken = await lease.send_until_blocked(wire.encode_frame(0, b"", bytes(65536)))
        # One window at the client, one piece in the stream, the rest in the kernel's buffers.
        assert taken < 4 << 20


async def test_the_connections_window_is_shared_and_kept() -> None:
    async with talking((INITIAL_WINDOW_SIZE, LARGE), processes=2) as talk:
        client = talk.client
        client.opens_windows = False
        leases = []
        for number in (1, 3):
            await client.request(number)
            lease = await talk.workers.accept()
            await lease.packet()
            leases.append(lease)
        for lease in leases:
            await lease.begin(bytes(60000))
        while sum(len(one.payload) for one in client.seen if one.kind == DATA) < 65535:
            await client.frame()
        await client.ping()
        received = {n: len(client.responses[n].body) for n in (1, 3)}
        assert sum(received.values()) == 65535
        await client.send(frame(WINDOW_UPDATE, 0, 0, pack(100000)))
        for lease in leases:
            await lease.last()
        for number in (1, 3):
            assert len((await client.response(number)).body) == 60000


async def test_large_responses_take_turns() -> None:
    async with talking((INITIAL_WINDOW_SIZE, LARGE), processes=2) as talk:
        client = talk.client
        client.opens_windows = False
        for number in (1, 3):
            await client.request(number)
            lease = await talk.workers.accept()
            await lease.packet()
            await lease.begin(bytes(200000))
            await lease.last()
        await settle()
        await client.send(frame(WINDOW_UPDATE, 0, 0, pack(1 << 20)))
        for number in (1, 3):
            await client.response(number)
        order = [one.stream for one in client.seen if one.kind == DATA and one.payload]
    first = len(order) - order[::-1].index(1)
    assert 3 in order[:first]  # before the first response was complete


async def test_a_client_that_takes_no_bytes_is_not_read_for_ever() -> None:
    async with talking(http2={"http2_max_pings": 1 << 30}) as talk:
        connection = await talk.connection()
        await talk.client.send_until_blocked(frame(PING, 0, 0, bytes(8)) * 500)
        assert connection._unsent + connection.protocol.pending < 2 * MAX_UNSENT


async def upload(talk_client: Http2Client, stream: int) -> None:
    await talk_client.request(stream, fields_of(b"/up", method=b"POST"), end=False)


async def windows(client: Http2Client, stream: int) -> int:
    """Bytes by which a stream's window was opened until the answer to a PING."""
    before = len(client.seen)
    await client.ping()
    return sum(
        int.from_bytes(one.payload, "big")
        for one in client.seen[before:]
        if one.kind == WINDOW_UPDATE and one.stream == stream
    )


async def test_the_window_of_an_upload_opens_only_as_the_worker_takes_it() -> None:
    async with talking() as talk:
        client = talk.client
        await upload(client, 1)
        lease = await talk.workers.accept()
        await lease.packet()
        for _ in range(4):
            await client.data(1, bytes(16383))
        assert await windows(client, 1) == 0
        await lease.frame(wire.TAKEN)
        await lease.chunks_of(4 * 16383)
        await settle()
        assert await windows(client, 1) > 0


async def test_an_upload_beyond_its_window_ends_the_connection() -> None:
    async with talking() as talk:
        client = talk.client
        await upload(client, 1)
        lease = await talk.workers.accept()
        await lease.packet()
        for _ in range(4):
            await client.data(1, bytes(16384))
        assert await client.ended_with() == FLOW_CONTROL_ERROR


async def test_an_upload_that_nobody_takes_does_not_hold_up_the_others() -> None:
    async with talking(processes=2) as talk:
        client = talk.client
        await upload(client, 1)
        slow = await talk.workers.accept()
        await slow.packet()
        for _ in range(4):
            await client.data(1, bytes(16383))
        await upload(client, 3)
        fast = await talk.workers.accept()
        await fast.packet()
        await fast.frame(wire.TAKEN)
        for _ in range(20):
            await client.data(3, bytes(16384))
            await fast.chunks_of(16384)
        await client.data(3, b"", end=True)
        await fast.answer()
        assert (await client.response(3)).status == 200


async def test_the_window_of_a_fast_upload_grows_up_to_its_limit() -> None:
    async with talking(http2={"http2_upload_window": 150000}) as talk:
        client = talk.client
        await upload(client, 1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.frame(wire.TAKEN)
        sent = 0
        for _ in range(60):
            await client.data(1, bytes(16384))
            await lease.chunks_of(16384)
            sent += 16384
            await settle_quickly()
        await client.ping()
        opened = sum(
            int.from_bytes(one.payload, "big")
            for one in client.seen
            if one.kind == WINDOW_UPDATE and one.stream == 1
        )
        window = STREAM_WINDOW + opened - sent
        connection = await talk.connection()
        assert 100000 < window <= 150000
        assert connection._growth == GROWTH - (150000 - STREAM_WINDOW)
        await client.send(frame(RST_STREAM, 0, 1, pack(8)))
        await client.ping()
        assert connection._growth == GROWTH


async def settle_quickly() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_padding_is_given_back_at_once() -> None:
    async with talking() as talk:
        client = talk.client
        await upload(client, 1)
        lease = await talk.workers.accept()
        await lease.packet()
        for _ in range(200):
            await client.send(frame(DATA, PADDED, 1, b"\xff" + b"x" + bytes(255)))
        assert await windows(client, 1) > 0


@pytest.mark.parametrize("how", ["reset", "refused"])
async def test_what_nobody_takes_of_an_upload_is_given_back_to_the_connection(how: str) -> None:
    async with talking(
        http2={"http2_max_streams": 1, "http2_max_resets": 1000, "http2_max_pings": 1000}
    ) as talk:
        client = talk.client
        connection = await talk.connection()
        window = connection.protocol._engine.inbound_flow_control_window
        for number in range(1, 400, 2):
            path = b"/%zz" if how == "refused" else b"/"
            await client.send(client.headers(number, fields_of(path), end=False))
            for _ in range(3):
                await client.data(number, bytes(16384))
            if how == "reset":
                await client.send(frame(RST_STREAM, 0, number, pack(8)))
            await client.ping()
            if how == "refused":
                await client.reset_of(number)
        left = connection.protocol._engine.inbound_flow_control_window
        # 9 MB were sent; what is not announced yet is less than half of the window.
        assert left >= window // 2


async def test_a_small_upload_reaches_the_worker_in_one_packet() -> None:
    async with talking() as talk:
        client = talk.client
        fields = fields_of(b"/", (b"content-length", b"5"), method=b"POST")
        sent = client.headers(1, fields, end=False) + frame(DATA, 1, 1, b"hello")
        await client.send(sent)
        lease = await talk.workers.accept()
        packet = await lease.packet()
        assert packet.modifier2 == 0
        assert await lease.exactly(5) == b"hello"
        await lease.answer()
        assert (await client.response(1)).status == 200


async def test_a_client_that_waits_for_continue_gets_it_when_the_worker_reads() -> None:
    async with talking() as talk:
        client = talk.client
        fields = fields_of(b"/", (b"content-length", b"5"), (b"expect", b"100-continue"))
        await client.request(1, fields, end=False)
        lease = await talk.workers.accept()
        packet = await lease.packet()
        assert packet.modifier2 == wire.EXPECT
        assert b"HTTP_EXPECT" not in packet
        await lease.frame(wire.CONTINUE)
        await client.next(1, 1)
        assert client.responses[1].lines == [(b":status", b"100")]
        await client.data(1, b"hello", end=True)
        assert await lease.exactly(5) == b"hello"
        await lease.answer()
        assert (await client.response(1)).status == 200


async def test_an_upload_whose_connection_breaks_a_rule_is_given_up() -> None:
    async with talking() as talk:
        client = talk.client
        await upload(client, 1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.frame(wire.TAKEN)
        for _ in range(4):
            await client.data(1, bytes(16000))
            await lease.chunks_of(16000)
        # The next bytes would make the window grow, if they were taken.
        await client.send(frame(DATA, 0, 1, bytes(16000)) + settings((ENABLE_PUSH, 2)))
        assert await client.ended_with() == PROTOCOL_ERROR
        assert await lease.is_closed_after(b"")
