"""Request bodies on their way through the HTTP gateway to our own workers."""

from __future__ import annotations

import os

import pytest
import trio
from trio.abc import Clock

from tests.gateways.instance import Instance, running
from tests.gateways.peers import Client, Lease, Packet, request
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.chunked import LAST_CHUNK, encode_chunk

CHUNKED = b"Transfer-Encoding: chunked"
EXPECT = b"Expect: 100-continue"


async def begin(instance: Instance, data: bytes) -> tuple[Client, Lease, Packet]:
    """Send the beginning of a request, and take it on a lease."""
    client = await instance.connect()
    await client.send(data)
    lease = await instance.workers.accept()
    return client, lease, await lease.packet()


async def finish(client: Client, lease: Lease) -> None:
    """Answer, and see that both connections are kept."""
    await lease.answer(b"done")
    assert (await client.response()).body == b"done"
    await client.get(b"/next")
    assert (await lease.packet())[b"PATH_INFO"] == b"/next"
    await lease.answer(b"next")
    assert (await client.response()).body == b"next"


def post(length: int, body: bytes = b"", *lines: bytes) -> bytes:
    return request(b"POST", b"/", b"Content-Length: %d" % length, *lines, body=body)


async def test_a_small_body_goes_with_its_request() -> None:
    async with running() as instance:
        client, lease, packet = await begin(instance, post(5, b"hello"))
        assert packet.modifier2 == wire.MAY_TAKE
        assert packet[b"CONTENT_LENGTH"] == b"5"
        assert await lease.exactly(5) == b"hello"
        await finish(client, lease)


async def test_a_request_may_follow_a_body_in_the_same_segment() -> None:
    async with running() as instance:
        both = post(5, b"hello") + request(b"GET", b"/2")
        client, lease, _ = await begin(instance, both)
        assert await lease.exactly(5) == b"hello"
        assert await lease.is_silent()
        await lease.answer(b"one")
        assert (await lease.packet())[b"PATH_INFO"] == b"/2"
        await lease.answer(b"two")
        assert (await client.response()).body == b"one"
        assert (await client.response()).body == b"two"


async def test_the_rest_of_a_body_is_held_back_until_the_worker_takes_the_request() -> None:
    async with running() as instance:
        client, lease, packet = await begin(instance, post(10, b"hello"))
        assert packet.modifier2 == wire.ACKNOWLEDGE
        assert await lease.exactly(5) == b"hello"
        await client.send(b"world")
        assert await lease.is_silent()
        await lease.frame(wire.TAKEN)
        assert await lease.exactly(5) == b"world"
        await finish(client, lease)


async def test_a_body_that_begins_after_the_head_is_sent_on() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, post(6))
        await lease.frame(wire.TAKEN)
        await client.send(b"abc")
        assert await lease.exactly(3) == b"abc"
        await client.send(b"def")
        assert await lease.exactly(3) == b"def"
        await finish(client, lease)


async def test_a_small_chunked_body_goes_with_its_request() -> None:
    async with running() as instance:
        body = encode_chunk(b"hel") + encode_chunk(b"lo") + LAST_CHUNK
        client, lease, packet = await begin(instance, request(b"POST", b"/", CHUNKED, body=body))
        assert packet.modifier2 == wire.BODY_FRAMED
        assert packet[b"HTTP_TRANSFER_ENCODING"] == b"chunked"
        assert b"CONTENT_LENGTH" not in packet
        assert await lease.chunks() == b"hello"
        await finish(client, lease)


async def test_an_empty_chunked_body_is_only_an_end() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, request(b"POST", b"/", CHUNKED, body=LAST_CHUNK))
        assert await lease.chunks() == b""
        await finish(client, lease)


async def test_a_chunked_body_is_sent_on_as_it_comes() -> None:
    async with running() as instance:
        client, lease, packet = await begin(instance, request(b"POST", b"/", CHUNKED))
        assert packet.modifier2 == wire.BODY_FRAMED | wire.ACKNOWLEDGE
        await lease.frame(wire.TAKEN)
        await client.send(b"5\r\nhe")
        assert await lease.exactly(6) == wire.CHUNK.pack(2) + b"he"
        await client.send(b"llo\r\n0\r\nX-Trailer: 1\r\n\r\n")
        assert await lease.chunks() == b"llo"
        await finish(client, lease)


async def test_a_request_may_follow_a_chunked_body_that_came_in_pieces() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, request(b"POST", b"/", CHUNKED, body=b"1\r\na"))
        await lease.exactly(5)
        await lease.frame(wire.TAKEN)
        await client.send(b"\r\n0\r\n\r\n" + request(b"GET", b"/2"))
        assert await lease.chunks() == b""
        await lease.answer(b"one")
        assert (await lease.packet())[b"PATH_INFO"] == b"/2"


@pytest.mark.parametrize("framed", [False, True])
async def test_a_large_body_arrives_whole(framed: bool) -> None:
    body = os.urandom(3_000_000)
    async with running() as instance:
        lines = CHUNKED if framed else b"Content-Length: %d" % len(body)
        client, lease, _ = await begin(instance, request(b"PUT", b"/", lines))
        await lease.frame(wire.TAKEN)
        got = b""
        for start in range(0, len(body), 100_000):
            piece = body[start : start + 100_000]
            await client.send(encode_chunk(piece) if framed else piece)
            if framed:
                got += await lease.chunks_of(len(piece))
            else:
                got += await lease.exactly(len(piece))
        assert got == body
        await client.send(LAST_CHUNK if framed else b"")
        assert await lease.exactly(4 if framed else 0) in (b"", wire.CHUNK.pack(0))
        await finish(client, lease)


@pytest.mark.parametrize("framed", [False, True])
async def test_a_worker_that_does_not_read_holds_the_client_back(framed: bool) -> None:
    async with running() as instance:
        lines = CHUNKED if framed else b"Content-Length: 1000000000"
        client, lease, _ = await begin(instance, request(b"PUT", b"/", lines))
        await lease.frame(wire.TAKEN)
        piece = encode_chunk(b"x" * 65000) if framed else b"x" * 65000
        sent = await client.send_until_blocked(piece)
        assert sent < 2_000_000
        session = next(iter(instance.gateway._sessions))
        assert len(session.buffer) <= 65536
        client.reset()


async def test_nothing_but_one_read_is_taken_before_the_worker_takes_the_request() -> None:
    async with running() as instance:
        client, _, _ = await begin(instance, request(b"PUT", b"/", b"Content-Length: 100000000"))
        assert await client.send_until_blocked(b"x" * 65000) < 2_000_000
        client.reset()


# Expect: 100-continue


async def test_continue_is_sent_when_the_application_reads() -> None:
    async with running() as instance:
        client, lease, packet = await begin(instance, post(5, b"", EXPECT))
        assert packet.modifier2 == wire.EXPECT
        assert b"HTTP_EXPECT" not in packet
        assert await client.is_silent()
        await lease.frame(wire.CONTINUE)
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hello")
        assert await lease.exactly(5) == b"hello"
        await finish(client, lease)


async def test_an_application_that_does_not_read_lets_nothing_be_sent() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, post(5, b"", EXPECT))
        await lease.answer(b"no", b"403 Forbidden\r\n")
        response = await client.response()
        assert response.status == 403
        # It may send the body or not: nobody can know where the next request would begin.
        assert response.fields[b"connection"] == b"close"
        assert await client.is_closed()


async def test_a_client_that_does_not_wait_is_not_told_to_continue() -> None:
    async with running() as instance:
        client, lease, packet = await begin(instance, post(5, b"he", EXPECT))
        assert packet.modifier2 == wire.ACKNOWLEDGE
        assert await lease.exactly(2) == b"he"
        await lease.frame(wire.TAKEN)
        await client.send(b"llo")
        assert await lease.exactly(3) == b"llo"
        await finish(client, lease)


async def test_a_body_is_sent_on_to_an_application_that_answers_before_it_reads() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, post(5))
        await lease.begin(b"early ")
        head = await client.head()
        assert head.fields[b"transfer-encoding"] == b"chunked"
        assert await client.until(b"early \r\n")
        await client.send(b"hello")
        assert await lease.exactly(5) == b"hello"
        await lease.last(b"late")
        assert await client.rest() == b"4\r\nlate\r\n0\r\n\r\n"


async def test_an_expected_body_is_sent_on_after_an_early_answer_without_100() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, post(5, b"", EXPECT))
        await lease.begin(b"early ")
        assert (await client.head()).status == 200
        assert await client.until(b"early \r\n")
        await client.send(b"hello")
        assert await lease.exactly(5) == b"hello"
        await lease.last(b"late")
        assert await client.rest() == b"4\r\nlate\r\n0\r\n\r\n"


async def test_bodies_go_both_ways_at_once() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, request(b"POST", b"/", CHUNKED))
        await lease.frame(wire.TAKEN)
        await lease.begin()
        assert (await client.head()).status == 200
        for n in range(20):
            piece = b"%d" % n * 1000
            await client.send(encode_chunk(piece))
            got = await lease.chunks_of(len(piece))
            await lease.more(got)
            assert await client.until(got + b"\r\n")
        await client.send(LAST_CHUNK)
        assert await lease.chunks() == b""
        await lease.last()
        assert await client.until(LAST_CHUNK)


# Bodies that are not read


async def test_an_answer_before_the_body_ends_the_connection() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, post(1_000_000, b"x"))
        await lease.answer(b"no", b"403 Forbidden\r\n", wire.GOODBYE)
        response = await client.response()
        assert (response.status, response.body) == (403, b"no")
        assert response.fields[b"connection"] == b"close"
        await client.send(b"x" * 100_000)  # no reset that would throw the answer away
        assert await client.is_closed()
        assert await lease.rest() == b"x"


async def test_a_lease_with_an_unread_body_is_not_used_again() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, post(1_000_000))
        await lease.frame(wire.TAKEN)
        await lease.answer(b"no")
        await client.response()
        await lease.rest()
        other = await instance.connect()
        await other.get(b"/other")
        fresh = await instance.workers.accept()
        assert (await fresh.packet())[b"PATH_INFO"] == b"/other"


async def test_a_client_that_is_slow_to_go_does_not_hold_its_slot(
    hurried_clock: Clock,
) -> None:
    async with running() as instance:
        _, lease, _ = await begin(instance, post(1_000_000, b"x"))
        await lease.answer(b"no", b"403 Forbidden\r\n", wire.GOODBYE)
        other = await instance.connect()
        await other.get(b"/other")
        with trio.fail_after(1):  # less than relay.LINGER
            fresh = await instance.workers.accept()
            assert (await fresh.packet())[b"PATH_INFO"] == b"/other"


# Bodies that are broken


@pytest.mark.parametrize(
    "body", [b"x\r\n", b"1\r\nab\r\n", b"1\nx", b"5;\0\r\n", b"0\r\nBad :\r\n\r\n"]
)
async def test_a_broken_chunk_behind_the_head_is_400(body: bytes) -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/", CHUNKED, body=body))
        response = await client.response()
        assert response.status == 400
        assert response.fields[b"connection"] == b"close"
        assert await client.is_closed()


async def test_a_broken_chunk_in_the_middle_is_400_and_gives_up_the_lease() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, request(b"POST", b"/", CHUNKED))
        await lease.frame(wire.TAKEN)
        await client.send(encode_chunk(b"good"))
        await lease.exactly(8)
        await client.send(b"bad!\r\n")
        assert (await client.response()).status == 400
        assert await client.is_closed()
        assert await lease.rest() == b""


async def test_a_trailer_too_large_is_431() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, request(b"POST", b"/", CHUNKED))
        await lease.frame(wire.TAKEN)
        await client.send(b"0\r\n" + (b"X: " + b"x" * 1000 + b"\r\n") * 9)
        assert (await client.response()).status == 431


async def test_a_body_cut_short_by_a_half_close_is_400_and_gives_up_the_lease() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, post(10, b"hello"))
        await lease.frame(wire.TAKEN)
        client.half_close()
        assert (await client.response()).status == 400
        assert await lease.rest() == b"hello"


async def test_a_client_that_resets_in_the_middle_of_its_body_gives_up_the_lease() -> None:
    async with running() as instance:
        client, lease, _ = await begin(instance, post(10, b"hello"))
        await lease.frame(wire.TAKEN)
        assert await lease.exactly(5) == b"hello"
        client.reset()
        assert await lease.rest() == b""


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_chunked_body_beyond_limit_post_is_413(pieces: int) -> None:
    body = encode_chunk(b"x" * 600) + encode_chunk(b"x" * 401) + LAST_CHUNK
    head = request(b"POST", b"/", CHUNKED)
    async with running(limit_post=1000) as instance:
        client = await instance.connect()
        await client.send(head + body[: len(body) // pieces])
        if pieces == 2:
            lease = await instance.workers.accept()
            await lease.packet()
            await lease.frame(wire.TAKEN)
            await client.send(body[len(body) // pieces :])
        response = await client.response()
        assert response.status == 413
        assert await client.is_closed()


async def test_a_chunked_body_of_limit_post_is_taken() -> None:
    async with running(limit_post=1000) as instance:
        body = encode_chunk(b"x" * 600) + encode_chunk(b"x" * 400) + LAST_CHUNK
        client, lease, _ = await begin(instance, request(b"POST", b"/", CHUNKED, body=body))
        assert len(await lease.chunks()) == 1000
        await finish(client, lease)
