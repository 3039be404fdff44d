"""RFC 9113 sections 5.1 (states), 5.1.1 (identifiers), 5.1.2 (concurrency), 5.3 (priority)."""

from __future__ import annotations

import pytest
import trio.testing

from tests.gateways.http2.client import (
    ACK,
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    HAS_PRIORITY,
    HEADERS,
    NO_ERROR,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    fields_of,
    frame,
    pack,
    talking,
)


@pytest.mark.parametrize(
    "sent",
    [
        frame(DATA, 0, 1, b"x"),
        frame(RST_STREAM, 0, 1, pack(8)),
        frame(WINDOW_UPDATE, 0, 1, pack(9)),
    ],
    ids=["data", "rst_stream", "window_update"],
)
async def test_an_idle_stream_takes_only_headers(sent: bytes) -> None:
    async with talking() as talk:
        await talk.client.send(sent)
        assert await talk.client.ended_with() == PROTOCOL_ERROR


async def test_priority_of_an_idle_stream_is_ignored() -> None:
    async with talking() as talk:
        await talk.client.send(frame(PRIORITY, 0, 5, pack(3) + b"\x10"))
        await talk.works(1)


async def test_data_behind_the_end_of_a_request_resets_its_stream() -> None:
    async with talking() as talk:
        await talk.client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await talk.client.data(1, b"x")
        assert await talk.client.reset_of(1) == STREAM_CLOSED
        await lease.answer()
        await talk.works(3)


async def test_headers_behind_the_end_of_a_request_are_an_error() -> None:
    async with talking() as talk:
        await talk.client.request(1)
        await talk.client.request(1)
        assert await talk.client.reset_of(1) == STREAM_CLOSED


async def test_a_client_may_open_the_window_of_a_stream_that_has_ended() -> None:
    async with talking() as talk:
        await talk.works(1)
        await talk.client.send(frame(WINDOW_UPDATE, 0, 1, pack(100)))
        await talk.client.send(frame(RST_STREAM, 0, 1, pack(NO_ERROR)))
        await talk.client.send(frame(PRIORITY, 0, 1, pack(0) + b"\x10"))
        await talk.works(3)


async def test_data_on_a_stream_that_has_ended_is_an_error() -> None:
    async with talking() as talk:
        await talk.works(1)
        await talk.client.data(1, b"x")
        assert await talk.client.reset_of(1) == STREAM_CLOSED


async def test_headers_on_a_stream_that_has_ended_end_the_connection() -> None:
    async with talking() as talk:
        await talk.works(1)
        await talk.client.request(1)
        assert await talk.client.ended_with() == STREAM_CLOSED


@pytest.mark.parametrize("kind", [DATA, HEADERS])
async def test_a_stream_that_the_client_has_reset_takes_nothing(kind: int) -> None:
    async with talking() as talk:
        await talk.client.request(1, end=False)
        await talk.client.send(frame(RST_STREAM, 0, 1, pack(CANCEL)))
        if kind == DATA:
            await talk.client.data(1, b"x")
        else:
            await talk.client.request(1)
        assert await talk.client.reset_of(1) == STREAM_CLOSED


@pytest.mark.parametrize("number", [2, 100])
async def test_a_client_may_not_open_even_streams(number: int) -> None:
    async with talking() as talk:
        await talk.client.request(number)
        assert await talk.client.ended_with() == PROTOCOL_ERROR


async def test_a_stream_below_an_earlier_one_cannot_be_opened() -> None:
    async with talking() as talk:
        await talk.client.request(5)
        await talk.client.request(3)
        assert await talk.client.ended_with() == PROTOCOL_ERROR


async def test_the_number_of_streams_is_announced() -> None:
    async with talking(http2={"http2_max_streams": 7}) as talk:
        payload = (await talk.client.next(SETTINGS)).payload
    assert (3).to_bytes(2, "big") + pack(7) in payload


async def test_a_stream_too_many_is_refused_and_may_be_tried_again() -> None:
    async with talking(http2={"http2_max_streams": 2}) as talk:
        client = talk.client
        for number in (1, 3, 5):
            await client.request(number)
        assert await client.reset_of(5) == REFUSED_STREAM
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer()
        await lease.packet()
        await lease.answer()
        assert (await client.response(1)).body == b"ok"
        assert (await client.response(3)).body == b"ok"
        await talk.works(7)


async def test_a_cancelled_request_counts_until_the_worker_is_done_with_it() -> None:
    async with talking(http2={"http2_max_streams": 1}) as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await client.send(frame(RST_STREAM, 0, 1, pack(CANCEL)))
        await client.request(3)
        assert await client.reset_of(3) == REFUSED_STREAM
        await lease.answer()
        await talk.works(5)


async def test_the_answer_to_a_cancelled_request_is_thrown_away() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await client.send(frame(RST_STREAM, 0, 1, pack(CANCEL)))
        await client.ping()
        await lease.answer(b"for nobody")
        await talk.works(3)
    assert all(one.stream != 1 for one in client.seen)


async def test_a_request_that_waits_for_a_worker_is_taken_back_when_cancelled() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1)
        await client.request(3, fields_of(b"/cancelled"))
        await client.request(5, fields_of(b"/kept"))
        lease = await talk.workers.accept()
        await lease.packet()
        await client.send(frame(RST_STREAM, 0, 3, pack(CANCEL)))
        await client.ping()
        await lease.answer()
        assert (await lease.packet())[b"PATH_INFO"] == b"/kept"
        await lease.answer()
        assert (await client.response(5)).status == 200


async def test_a_cancelled_stream_of_bytes_ends_the_lease() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.begin(b"first")
        await client.next(DATA, 1)
        await client.send(frame(RST_STREAM, 0, 1, pack(CANCEL)))
        assert await lease.is_closed_after(b"")


async def test_requests_run_side_by_side_on_different_workers() -> None:
    async with talking(processes=3) as talk:
        client = talk.client
        for number in (1, 3, 5):
            await client.request(number, fields_of(b"/%d" % number))
        leases = [await talk.workers.accept() for _ in range(3)]
        paths = [(await lease.packet())[b"PATH_INFO"] for lease in leases]
        assert sorted(paths) == [b"/1", b"/3", b"/5"]
        for lease, path in reversed(list(zip(leases, paths, strict=True))):
            await lease.answer(path)
            number = int(path[1:])
            assert (await client.response(number)).body == path


async def test_a_request_may_come_with_a_priority() -> None:
    async with talking() as talk:
        block = pack(0) + b"\x10" + talk.client.headers(1)[9:]
        flags = END_HEADERS | END_STREAM | HAS_PRIORITY
        await talk.client.send(frame(HEADERS, flags, 1, block))
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer()
        assert (await talk.client.response(1)).status == 200


async def test_a_stream_that_depends_on_itself_is_reset() -> None:
    async with talking() as talk:
        await talk.client.request(1, end=False)
        await talk.client.send(frame(PRIORITY, 0, 1, pack(1) + b"\x10"))
        assert await talk.client.reset_of(1) == PROTOCOL_ERROR


async def test_headers_that_depend_on_their_own_stream_are_an_error() -> None:
    async with talking() as talk:
        block = pack(1) + b"\x10" + talk.client.headers(1)[9:]
        flags = END_HEADERS | END_STREAM | HAS_PRIORITY
        await talk.client.send(frame(HEADERS, flags, 1, block))
        assert await talk.client.ended_with() == PROTOCOL_ERROR


async def test_our_settings_may_be_acknowledged() -> None:
    async with talking() as talk:
        await talk.client.send(frame(SETTINGS, ACK, 0))
        await talk.client.ping()


async def test_a_client_that_goes_away_still_gets_its_answers() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1)
        lease = await talk.workers.accept()
        await lease.packet()
        await client.send(frame(7, 0, 0, pack(0) + pack(NO_ERROR)))
        await client.ping()
        await lease.answer()
        assert (await client.response(1)).body == b"ok"


async def test_a_client_that_is_gone_gives_up_all_its_requests() -> None:
    async with talking() as talk:
        client = talk.client
        for number in (1, 3, 5):
            await client.request(number)
        lease = await talk.workers.accept()
        await lease.packet()
        client.close()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not talk.gateway._connections
        await lease.answer()
        other = await talk.another()
        await other.request(1, fields_of(b"/next"))
        assert (await lease.packet())[b"PATH_INFO"] == b"/next"
        await lease.answer()
        assert (await other.response(1)).body == b"ok"
