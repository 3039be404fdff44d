"""How the HTTP gateway shares the slots of our workers, and what it makes of their deaths."""

from __future__ import annotations

import pytest
import trio
import trio.lowlevel

from tests.gateways.instance import Instance, running
from tests.gateways.peers import Client, Lease, request
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.chunked import LAST_CHUNK


async def begin(instance: Instance, data: bytes | None = None) -> tuple[Client, Lease]:
    """A client whose request has been taken on a lease."""
    client = await instance.connect()
    await client.send(request(b"GET") if data is None else data)
    lease = await instance.workers.accept()
    await lease.packet()
    return client, lease


# The queue


async def test_nothing_is_sent_before_the_greeting() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.queued()
        assert await lease.is_silent()
        await lease.frame(wire.HELLO)
        await lease.packet()


async def test_no_more_leases_are_opened_than_there_are_slots() -> None:
    async with running(processes=2, threads=2) as instance:
        for _ in range(6):
            await (await instance.connect()).get()
        leases = [await instance.workers.accept() for _ in range(4)]
        assert await instance.workers.nobody_waits()
        for lease in leases[:2]:
            await lease.packet()
            await lease.answer()
            await lease.packet()


async def test_waiting_requests_are_served_in_order_of_arrival() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        waiting = []
        for n in range(3):
            other = await instance.connect()
            await other.get(b"/%d" % n)
            await other.is_silent()
            waiting.append(other)
        await lease.answer()
        assert (await client.response()).body == b"ok"
        for n, other in enumerate(waiting):
            assert (await lease.packet())[b"PATH_INFO"] == b"/%d" % n
            await lease.answer(b"%d" % n)
            assert (await other.response()).body == b"%d" % n


async def test_a_request_with_a_body_waits_in_the_same_queue() -> None:
    async with running() as instance:
        _, lease = await begin(instance)
        first = await instance.connect()
        await first.send(request(b"POST", b"/first", b"Content-Length: 2", body=b"ab"))
        await first.is_silent()
        second = await instance.connect()
        await second.get(b"/second")
        await second.is_silent()
        await lease.answer()
        assert (await lease.packet())[b"PATH_INFO"] == b"/first"
        assert await lease.exactly(2) == b"ab"
        await lease.answer()
        assert (await lease.packet())[b"PATH_INFO"] == b"/second"


async def test_two_gateways_share_the_slots() -> None:
    async with running() as one, running(workers=one.workers) as two:
        client, lease = await begin(one)
        other = await two.connect()
        await other.get(b"/two")
        queued = await one.workers.queued()  # accepted only when the slot is free
        await lease.answer(b"one", flags=wire.GOODBYE)
        assert (await client.response()).body == b"one"
        await queued.frame(wire.HELLO)
        assert (await queued.packet())[b"PATH_INFO"] == b"/two"
        await queued.answer(b"two")
        assert (await other.response()).body == b"two"
        await client.get(b"/again")
        third = await one.workers.queued()
        await queued.goodbye()
        await third.frame(wire.HELLO)
        assert (await third.packet())[b"PATH_INFO"] == b"/again"
        await third.answer()
        assert (await client.response()).body == b"ok"


# Workers that leave


async def test_a_goodbye_with_the_answer_ends_the_lease_and_not_the_session() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.answer(b"last", flags=wire.GOODBYE)
        response = await client.response()
        assert response.body == b"last"
        assert b"connection" not in response.fields
        assert await lease.rest() == b""
        await client.get()
        fresh = await instance.workers.accept()
        await fresh.packet()
        await fresh.answer(b"fresh")
        assert (await client.response()).body == b"fresh"


async def test_a_goodbye_on_an_idle_lease_is_taken_quietly() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.answer()
        await client.response()
        await lease.frame(wire.GOODBYE)
        assert await lease.rest() == b""
        assert await instance.workers.nobody_waits()
        await client.get()
        fresh = await instance.workers.accept()
        await fresh.packet()
        await fresh.answer()
        assert (await client.response()).status == 200


BODY = b"b" * 200_000
REQUESTS = {
    "get": (request(b"GET"), b""),
    "small body": (request(b"POST", b"/", b"Content-Length: 3", body=b"abc"), b"abc"),
    "chunked": (
        request(b"POST", b"/", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n" + LAST_CHUNK),
        b"\3\0\0\0abc\0\0\0\0",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_goodbye_instead_of_an_answer_sends_the_request_elsewhere_once(name: str) -> None:
    data, body = REQUESTS[name]
    async with running() as instance:
        client, lease = await begin(instance, data)
        assert await lease.exactly(len(body)) == body
        await lease.goodbye()
        fresh = await instance.workers.accept()
        await fresh.packet()
        assert await fresh.exactly(len(body)) == body
        assert await client.is_silent()
        await fresh.answer(b"fresh")
        assert (await client.response()).body == b"fresh"
        assert await client.is_silent()
        assert await instance.workers.nobody_waits()


async def test_a_large_request_that_was_not_taken_goes_elsewhere_whole() -> None:
    async with running() as instance:
        data = request(b"POST", b"/", b"Content-Length: %d" % len(BODY))
        client, lease = await begin(instance, data + BODY[:1000])
        assert await lease.exactly(1000) == BODY[:1000]
        await client.send(BODY[1000:])
        await lease.goodbye()
        fresh = await instance.workers.accept()
        await fresh.packet()
        await fresh.frame(wire.TAKEN)
        assert await fresh.exactly(len(BODY)) == BODY
        await fresh.answer(b"done")
        assert (await client.response()).body == b"done"


# Workers that die


async def test_a_worker_that_dies_is_502_and_the_request_not_repeated() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        lease.close()
        response = await client.response()
        assert response.status == 502
        assert b"broke off" in response.body
        assert response.fields[b"connection"] == b"close"
        assert await client.is_closed()
        assert await instance.workers.nobody_waits()


async def test_a_worker_that_dies_with_unread_bytes_is_502() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        await lease.exactly(10)  # closing with bytes unread resets a UNIX socket
        lease.close()
        assert (await client.response()).status == 502
        assert await instance.workers.nobody_waits()


async def test_a_worker_that_dies_while_it_takes_a_body_is_502() -> None:
    async with running() as instance:
        data = request(b"POST", b"/", b"Content-Length: 1000")
        client, lease = await begin(instance, data)
        await lease.frame(wire.TAKEN)
        await client.send(b"x" * 10)
        await lease.exactly(10)
        lease.close()
        assert (await client.response()).status == 502
        assert await instance.workers.nobody_waits()


async def test_a_worker_that_leaves_a_request_it_has_taken_is_502() -> None:
    async with running() as instance:
        data = request(b"POST", b"/", b"Content-Length: 1000")
        client, lease = await begin(instance, data)
        await lease.frame(wire.TAKEN)
        await client.send(b"x" * 10)
        await lease.exactly(10)
        await lease.goodbye()
        assert (await client.response()).status == 502
        assert await instance.workers.nobody_waits()


async def test_an_application_that_breaks_off_before_its_answer_is_502() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.frame(wire.HEAD | wire.LAST | wire.ABORTED, b"200 OK\r\n")
        assert (await client.response()).status == 502


async def test_a_frame_without_sense_is_502() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.frame(wire.HELLO)
        assert (await client.response()).status == 502


@pytest.mark.parametrize("how", ["dies", "aborts"])
async def test_a_chunked_answer_that_breaks_off_has_no_end(how: str) -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.begin(b"part")
        assert (await client.head()).fields[b"transfer-encoding"] == b"chunked"
        await lease.last(flags=wire.ABORTED) if how == "aborts" else lease.close()
        assert await client.rest() == b"4\r\npart\r\n"


async def test_an_answer_with_a_length_that_breaks_off_is_short() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.begin(b"part", b"200 OK\r\nContent-Length: 9\r\n", wire.LENGTH)
        assert (await client.head()).fields[b"content-length"] == b"9"
        lease.close()
        assert await client.rest() == b"part"


@pytest.mark.parametrize("body", [False, True])
async def test_an_answer_that_only_the_end_ends_breaks_off_with_a_reset(body: bool) -> None:
    async with running() as instance:
        lines = (b"Content-Length: 9",) if body else ()
        client, lease = await begin(instance, request(b"POST", b"/", *lines, version=b"1.0"))
        await lease.begin(b"part")
        assert b"transfer-encoding" not in (await client.head()).fields
        assert await client.exactly(4) == b"part"
        lease.close()
        with pytest.raises(ConnectionResetError):
            await client.rest()


# Streams


async def test_an_answer_is_streamed_as_it_comes() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.begin()
        assert (await client.head()).fields[b"transfer-encoding"] == b"chunked"
        for n in range(3):
            assert await client.is_silent()
            await lease.more(b"part %d" % n)
            assert await client.until(b"part %d\r\n" % n)
        await lease.last()
        assert await client.until(LAST_CHUNK) == LAST_CHUNK
        await client.get()
        await lease.packet()
        await lease.answer()
        assert (await client.response()).status == 200


async def test_a_large_answer_arrives_whole() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        body = bytes(range(256)) * 4000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lease.answer, body)
            response = await client.response()
        assert response.body == body
        await client.get()
        await lease.packet()


async def test_frames_may_come_byte_by_byte() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        frames = wire.encode_frame(wire.HEAD, b"200 OK\r\nX: 1\r\n", b"ab")
        for octet in frames + wire.encode_frame(wire.LAST, b"", b"c"):
            await lease.send(bytes([octet]))
            await trio.lowlevel.checkpoint()
        response = await client.response()
        assert (response.fields[b"x"], response.body) == (b"1", b"abc")


async def test_a_client_that_does_not_read_holds_the_worker_back() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.begin()
        frame = wire.encode_frame(0, b"", b"x" * 65000)
        assert await lease.send_until_blocked(frame) < 16_000_000
        client.reset()
        assert await lease.is_closed_after(frame)


async def test_a_reset_while_the_answer_streams_closes_the_lease() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.begin(b"x")
        await client.head()
        client.reset()
        assert await lease.is_closed_after(wire.encode_frame(0, b"", b"y" * 1000))


async def test_a_frame_that_is_too_large_ends_the_response_and_the_lease(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        await lease.begin(b"x")
        await client.head()
        await lease.send(wire.FRAME.pack(0, 0, wire.MAX_CHUNK + 1))
        assert await lease.is_closed_after(b"")
    assert "crashed" not in caplog.text
    assert "response broke off" in caplog.text
