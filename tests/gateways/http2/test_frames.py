"""RFC 9113 sections 3.4 (preface), 4.1 to 4.3 (frames, their size, field blocks), 5.4, 5.5, 7."""

from __future__ import annotations

import itertools

import pytest

from tests.gateways.http2.client import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    SETTINGS,
    Http2Client,
    connect,
    frame,
    settings,
    talking,
)
from tests.gateways.instance import running
from uwgate.conf.groups.http2 import Http2Options


async def test_the_servers_preface_is_a_settings_frame() -> None:
    async with talking() as talk:
        first = await talk.client.frame()
    assert (first.kind, first.flags, first.stream) == (SETTINGS, 0, 0)


async def test_the_clients_settings_are_acknowledged() -> None:
    async with talking() as talk:
        await talk.client.next(SETTINGS)
        assert (await talk.client.next(SETTINGS)).flags == ACK


async def test_the_preface_may_come_in_pieces() -> None:
    async with running(http2=Http2Options(http2_prior_knowledge=True)) as instance:
        client = await connect(instance)
        for byte in PREFACE + settings():
            await client.send(bytes((byte,)))
        assert (await client.frame()).kind == SETTINGS


async def test_a_preface_that_goes_on_wrongly_ends_the_connection() -> None:
    async with running(http2=Http2Options(http2_prior_knowledge=True)) as instance:
        client = await connect(instance)
        await client.send(b"PRI * HTTP/2.0\r\n\r\n")
        await client.send(b"XX\r\n\r\n")
        assert await client.ended_with() == PROTOCOL_ERROR


async def test_without_the_option_the_preface_is_a_bad_request() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.send(PREFACE + settings())
        assert (await client.response()).status in (400, 501, 505)


async def test_http_1_is_still_spoken_beside_it() -> None:
    async with running(http2=Http2Options(http2_prior_knowledge=True)) as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.answer()
        assert (await client.response()).body == b"ok"


async def test_the_first_frame_must_be_settings() -> None:
    async with running(http2=Http2Options(http2_prior_knowledge=True)) as instance:
        client = await connect(instance)
        await client.send(PREFACE + frame(PING, 0, 0, b"12345678"))
        assert await client.ended_with() == PROTOCOL_ERROR


async def test_a_frame_of_unknown_type_is_ignored() -> None:
    async with talking() as talk:
        await talk.client.send(frame(0xBE, 0xFF, 0, b"whatever") + frame(0xBE, 0, 5, b""))
        await talk.client.ping()


async def test_undefined_flags_are_ignored() -> None:
    async with talking() as talk:
        await talk.client.send(frame(PING, 0xFE, 0, b"abcdefgh"))
        assert (await talk.client.next(PING)).payload == b"abcdefgh"


async def test_the_reserved_bit_of_the_stream_is_ignored() -> None:
    async with talking() as talk:
        await talk.client.send(frame(PING, 0, 1 << 31, b"abcdefgh"))
        assert (await talk.client.next(PING)).flags == ACK


@pytest.mark.parametrize("kind", [DATA, HEADERS, 0xBE])
async def test_a_frame_beyond_the_size_that_we_announced_ends_the_connection(kind: int) -> None:
    async with talking() as talk:
        await talk.client.send(frame(kind, END_HEADERS, 1, bytes(16385))[:100])
        assert await talk.client.ended_with() == FRAME_SIZE_ERROR


async def test_the_largest_frame_is_taken() -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, end=False)
        await client.data(1, bytes(16384), end=True)
        lease = await talk.workers.accept()
        packet = await lease.packet()
        assert packet.modifier2 & 1  # the body comes in chunks
        await lease.answer()
        assert (await client.response(1)).status == 200


async def test_frames_may_come_byte_by_byte() -> None:
    async with talking() as talk:
        for byte in talk.client.headers(1):
            await talk.client.send(bytes((byte,)))
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer()
        assert (await talk.client.response(1)).body == b"ok"


def split(client: Http2Client, stream: int, *cuts: int) -> list[bytes]:
    """A request's header block, cut; without its frames."""
    block = client.headers(stream)[9:]
    edges = (0, *cuts, len(block))
    return [block[start:end] for start, end in itertools.pairwise(edges)]


async def test_a_header_block_may_have_continuations() -> None:
    async with talking() as talk:
        a, b, c = split(talk.client, 1, 2, 5)
        await talk.client.send(
            frame(HEADERS, END_STREAM, 1, a)
            + frame(CONTINUATION, 0, 1, b)
            + frame(CONTINUATION, END_HEADERS, 1, c)
        )
        lease = await talk.workers.accept()
        assert (await lease.packet())[b"HTTP_HOST"] == b"a.example"
        await lease.answer()
        assert (await talk.client.response(1)).status == 200


@pytest.mark.parametrize(
    "between",
    [
        frame(DATA, 0, 1, b"x"),
        frame(HEADERS, END_HEADERS, 3, b""),
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(PING, 0, 0, bytes(8)),
        frame(CONTINUATION, END_HEADERS, 3, b""),
        frame(0xBE, 0, 0, b""),
    ],
    ids=["data", "headers", "priority", "ping", "other stream", "unknown"],
)
async def test_nothing_may_stand_within_a_header_block(between: bytes) -> None:
    async with talking() as talk:
        a, _ = split(talk.client, 1, 3)
        await talk.client.send(frame(HEADERS, END_STREAM, 1, a) + between)
        assert await talk.client.ended_with() == PROTOCOL_ERROR


async def test_a_continuation_must_follow_headers() -> None:
    async with talking() as talk:
        await talk.client.send(frame(CONTINUATION, END_HEADERS, 1, b""))
        assert await talk.client.ended_with() == PROTOCOL_ERROR


async def test_a_continuation_behind_a_complete_block_ends_the_connection() -> None:
    async with talking() as talk:
        await talk.client.request(1, end=False)
        await talk.client.send(frame(CONTINUATION, END_HEADERS, 1, b""))
        assert await talk.client.ended_with() == PROTOCOL_ERROR


async def test_a_header_block_that_cannot_be_decoded_ends_the_connection() -> None:
    async with talking() as talk:
        await talk.client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x8f"))
        assert await talk.client.ended_with() == COMPRESSION_ERROR


async def test_a_client_may_not_push() -> None:
    async with talking() as talk:
        await talk.client.send(frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)))
        assert await talk.client.ended_with() == PROTOCOL_ERROR


async def test_a_goaway_says_which_streams_were_begun() -> None:
    async with talking() as talk:
        await talk.client.request(7)
        await talk.workers.accept()
        await talk.client.send(frame(PING, 0, 3, bytes(8)))
        assert await talk.client.goaway() == (7, PROTOCOL_ERROR)
