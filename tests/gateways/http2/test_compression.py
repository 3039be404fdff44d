"""RFC 7541 sections 2.3.3 (indexes), 4.2 (table size), 5.2 (strings), 6.1, 6.3, as h2spec asks."""

from __future__ import annotations

import pytest

from tests.gateways.http2.client import (
    COMPRESSION_ERROR,
    END_HEADERS,
    END_STREAM,
    HEADER_TABLE_SIZE,
    HEADERS,
    frame,
    settings,
    talking,
)

START = b"\x82\x86\x84\x41\x09a.example"  # GET http / and an authority


@pytest.mark.parametrize(
    "block",
    [
        START + b"\xc6",
        START + b"\x7f\x00\x01x",
        START + b"\x80",
        START + b"\x20",
        START + b"\x3f\xe2\x1f",
        b"\x3f\xe2\x1f" + START,
        START + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff",
        START + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90",
        START + b"\x00\x81\xff\x01x",
        START + b"\x00\x01x\x7f",
        START + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
    ids=[
        "index beyond the table (2.3.3)",
        "name's index beyond the table (2.3.3)",
        "index 0 (6.1)",
        "table size at the end of the block (4.2)",
        "table larger than announced, at the end (6.3)",
        "table larger than announced (6.3)",
        "padding longer than 7 bits (5.2)",
        "padding of zeros (5.2)",
        "end-of-string symbol (5.2)",
        "string longer than its block (5.2)",
        "endless integer (5.1)",
    ],
)
async def test_a_block_that_cannot_be_decoded_ends_the_connection(block: bytes) -> None:
    async with talking() as talk:
        await talk.client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        assert await talk.client.ended_with() == COMPRESSION_ERROR


async def test_the_clients_table_may_shrink() -> None:
    async with talking() as talk:
        client = talk.client
        await talk.works(1)
        client.encoder.header_table_size = 0
        await talk.works(3)
        client.encoder.header_table_size = 4096
        await talk.works(5)


async def test_repeated_fields_mean_the_same_until_the_table_changes() -> None:
    async with talking() as talk:
        client = talk.client
        paths = [b"/a", b"/a", b"/b", b"/a", b"/b", b"/b"]
        for number, path in enumerate(paths):
            await client.request(2 * number + 1, fields(path))
        lease = await talk.workers.accept()
        seen = []
        for _ in paths:
            seen.append((await lease.packet())[b"PATH_INFO"])
            await lease.answer()
    assert seen == paths


def fields(path: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"a.example"),
        (b"user-agent", b"test"),
    ]


async def test_a_client_without_a_table_reads_our_fields() -> None:
    async with talking((HEADER_TABLE_SIZE, 0)) as talk:
        talk.client.decoder.header_table_size = 0
        talk.client.decoder.max_allowed_table_size = 0
        await talk.works(1)
        await talk.client.send(settings((HEADER_TABLE_SIZE, 100000)))
        await talk.works(3)
        await talk.client.send(settings((HEADER_TABLE_SIZE, 0)))
        await talk.works(5)
