"""Responses encoded on their way to an HTTP/2 client (gateways/compression.py)."""

from __future__ import annotations

import gzip
import zlib

import pytest

from tests.gateways.http2.client import DATA, HEADERS, Conversation, fields_of, talking
from tests.gateways.peers import Lease
from uwgate.gateways.wire import lease as wire

ASKING = b'200 OK\r\nETag: "a"\r\nuWSGI-Encoding: gzip\r\n'
TEXT = b"All work and no play makes Jack a dull boy. " * 200
ACCEPT = (b"accept-encoding", b"gzip, br")


async def ask(talk: Conversation, method: bytes = b"GET") -> Lease:
    """A request on stream 1, taken on a lease."""
    await talk.client.request(1, fields_of(b"/", ACCEPT, method=method))
    lease = await talk.workers.accept()
    await lease.packet()
    return lease


@pytest.mark.parametrize("length", [b"", b"Content-Length: 8800\r\n"])
async def test_a_whole_response_is_encoded(length: bytes) -> None:
    async with talking(http_auto_gzip=True) as talk:
        lease = await ask(talk)
        flags = wire.ENCODING | (wire.LENGTH if length else 0)
        await lease.answer(TEXT, ASKING + length, flags)
        response = await talk.client.response(1)
        assert gzip.decompress(response.body) == TEXT
        assert response.fields[b"content-encoding"] == b"gzip"
        assert response.fields[b"content-length"] == b"%d" % len(response.body)
        assert response.fields[b"vary"] == b"Accept-Encoding"
        assert response.fields[b"etag"] == b'W/"a"'
        assert b"uwsgi-encoding" not in response.fields
        await talk.works(3)


async def test_each_piece_can_be_read_before_the_next_is_sent() -> None:
    async with talking(http_auto_gzip=True) as talk:
        lease = await ask(talk)
        await lease.begin(b"", ASKING, wire.ENCODING)
        await talk.client.next(HEADERS, 1)
        decoder = zlib.decompressobj(31)
        for piece in (b"one", b"two"):
            await lease.more(piece)
            assert decoder.decompress((await talk.client.next(DATA, 1)).payload) == piece
        await lease.last()
        response = await talk.client.response(1)
        assert gzip.decompress(response.body) == b"onetwo"
        assert b"content-length" not in response.fields
        await talk.works(3)


async def test_head_tells_what_get_would() -> None:
    async with talking(http_auto_gzip=True) as talk:
        lease = await ask(talk, b"HEAD")
        await lease.answer(b"", ASKING, wire.ENCODING | wire.NO_BODY)
        response = await talk.client.response(1)
        assert response.fields[b"content-encoding"] == b"gzip"
        assert response.body == b""
        await talk.works(3)


async def test_a_body_that_breaks_off_resets_the_stream() -> None:
    async with talking(http_auto_gzip=True) as talk:
        lease = await ask(talk)
        await lease.begin(b"half", ASKING, wire.ENCODING)
        await lease.frame(wire.LAST | wire.ABORTED)
        await talk.client.reset_of(1)
        assert not talk.client.responses[1].ended
