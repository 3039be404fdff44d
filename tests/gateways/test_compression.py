"""Responses encoded on their way through the gateway."""

from __future__ import annotations

import gzip
import importlib
import os
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.gateways.instance import Instance, running
from tests.gateways.peers import Client, Lease, Response, Uwsgi, request
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.compression import (
    Compression,
    Encoder,
    brotli_encoder,
    gzip_encoder,
    zstd_encoder,
)
from uwgate.gateways.wire import lease as wire

brotli: Any = importlib.import_module("brotli")

ASKING = b"200 OK\r\nContent-Type: text/plain\r\nuWSGI-Encoding: gzip\r\n"
GZIP: dict[str, Any] = {"http_auto_gzip": True}
ALL: dict[str, Any] = {"http_auto_gzip": True, "http_auto_brotli": True, "http_auto_zstd": True}
TEXT = b"All work and no play makes Jack a dull boy. " * 200


Decoder = Callable[[bytes], bytes]  # decodes a stream, piece by piece


def gunzip() -> Decoder:
    return zlib.decompressobj(31).decompress


def unbrotli() -> Decoder:
    process: Decoder = brotli.Decompressor().process
    return process


def unzstd() -> Decoder:
    # RFC 9659: a receiver need not take more than this.
    return zstandard.ZstdDecompressor(max_window_size=1 << 23).decompressobj().decompress


CODINGS: dict[bytes, tuple[Callable[[int], Encoder], Callable[[], Decoder], range]] = {
    b"gzip": (gzip_encoder, gunzip, range(1, 10)),
    b"br": (brotli_encoder, unbrotli, range(7)),
    b"zstd": (zstd_encoder, unzstd, range(1, 13)),
}


# Encoders


@pytest.mark.parametrize("coding", CODINGS)
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_what_was_fed_and_flushed_can_be_decoded(coding: bytes, pieces: list[bytes]) -> None:
    make, unmake, levels = CODINGS[coding]
    encoder = make(levels[0])
    decode = unmake()
    for piece in pieces:
        assert decode(encoder.feed(piece) + encoder.flush()) == piece
    assert decode(encoder.end()) == b""


@pytest.mark.parametrize(
    ("coding", "level"), [(coding, level) for coding in CODINGS for level in CODINGS[coding][2]]
)
def test_every_level_works(coding: bytes, level: int) -> None:
    make, unmake, _ = CODINGS[coding]
    encoder = make(level)
    encoded = encoder.feed(TEXT) + encoder.end()
    assert len(encoded) < len(TEXT) / 10
    assert unmake()(encoded) == TEXT


def test_gzip_has_the_header_of_uwsgi_and_checksum_and_size() -> None:
    encoder = gzip_encoder(6)
    encoded = encoder.feed(TEXT) + encoder.end()
    assert encoded[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
    assert encoded[-8:-4] == zlib.crc32(TEXT).to_bytes(4, "little")
    assert encoded[-4:] == len(TEXT).to_bytes(4, "little")


# Whole responses, in the lane


async def ask(
    instance: Instance, accept: bytes | None = b"gzip", method: bytes = b"GET", **how: bytes
) -> tuple[Client, Lease]:
    """A client whose request has been taken on a lease."""
    client = await instance.connect()
    lines = [] if accept is None else [b"Accept-Encoding: " + accept]
    await client.send(request(method, b"/", *lines, **how))
    lease = await instance.workers.accept()
    await lease.packet()
    return client, lease


async def whole(accept: bytes | None, head: bytes, body: bytes, **options: Any) -> Response:
    """The response to one request, answered in one frame."""
    async with running(**options) as instance:
        client, lease = await ask(instance, accept)
        await lease.answer(body, head, flags_of(head))
        return await client.response()


def flags_of(head: bytes) -> int:
    """The flags that a worker would set."""
    lower = head.lower()
    flags = wire.ENCODING if b"\nuwsgi-encoding" in lower else 0
    return flags | (wire.LENGTH if b"\ncontent-length" in lower else 0)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("length", [b"", b"Content-Length: 8800\r\n"])
async def test_a_whole_response_is_encoded(coding: bytes, length: bytes) -> None:
    head = b"200 OK\r\n" + length + b"uWSGI-Encoding: " + coding + b"\r\n"
    response = await whole(coding, head, TEXT, **ALL)
    assert response.fields[b"content-encoding"] == coding
    assert response.fields[b"content-length"] == b"%d" % len(response.body)
    assert response.fields[b"vary"] == b"Accept-Encoding"
    assert b"uwsgi-encoding" not in response.fields
    assert b"transfer-encoding" not in response.fields
    assert len(response.lines) == len(response.fields)
    assert len(response.body) < len(TEXT) / 10
    assert CODINGS[coding][1]()(response.body) == TEXT


@pytest.mark.parametrize(
    ("accept", "asked", "coding"),
    [
        (b"gzip, deflate, br, zstd", b"br, gzip", b"br"),
        (b"gzip, deflate, br, zstd", b"zstd,br,gzip", b"zstd"),
        (b"gzip, deflate", b"br, gzip", b"gzip"),
        (b"br;q=0.2, gzip", b"br, gzip", b"gzip"),
    ],
)
async def test_client_and_backend_agree_on_a_coding(
    accept: bytes, asked: bytes, coding: bytes
) -> None:
    head = b"200 OK\r\nuWSGI-Encoding: " + asked + b"\r\n"
    response = await whole(accept, head, TEXT, **ALL)
    assert response.fields[b"content-encoding"] == coding
    assert CODINGS[coding][1]()(response.body) == TEXT


@pytest.mark.parametrize("accept", [None, b"", b"br", b"gzip;q=0", b"gzip;q=0.5, identity"])
async def test_a_client_that_does_not_want_it_gets_the_body_as_it_is(accept: bytes | None) -> None:
    response = await whole(accept, ASKING, TEXT, **GZIP)
    assert response.body == TEXT
    assert response.fields[b"vary"] == b"Accept-Encoding"
    assert b"content-encoding" not in response.fields
    assert b"uwsgi-encoding" not in response.fields


async def test_a_coding_that_is_switched_off_is_not_used() -> None:
    head = b"200 OK\r\nuWSGI-Encoding: br, gzip\r\n"
    response = await whole(b"br, gzip", head, TEXT, **GZIP)
    assert response.fields[b"content-encoding"] == b"gzip"


async def test_without_an_option_the_head_goes_through_as_it_is() -> None:
    response = await whole(b"gzip", ASKING, TEXT)
    assert response.body == TEXT
    assert response.fields[b"uwsgi-encoding"] == b"gzip"
    assert b"vary" not in response.fields


async def test_nobody_who_does_not_ask_is_encoded() -> None:
    response = await whole(b"gzip", b"200 OK\r\n", TEXT, **GZIP)
    assert response.body == TEXT
    assert b"vary" not in response.fields


async def test_an_empty_body_stays_empty() -> None:
    response = await whole(b"gzip", ASKING, b"", **GZIP)
    assert response.fields[b"content-length"] == b"0"
    assert b"content-encoding" not in response.fields


@pytest.mark.parametrize(
    "line", [b"Content-Encoding: br", b"Cache-Control: no-transform", b"Content-Digest: x"]
)
async def test_a_body_that_must_not_be_encoded_is_not(line: bytes) -> None:
    response = await whole(b"gzip", ASKING + line + b"\r\n", TEXT, **GZIP)
    assert response.body == TEXT
    assert b"uwsgi-encoding" not in response.fields


async def test_a_client_of_http_1_0_gets_no_coding() -> None:
    async with running(**GZIP) as instance:
        client, lease = await ask(instance, version=b"1.0")
        await lease.answer(TEXT, ASKING, wire.ENCODING)
        response = await client.response()
    assert response.body == TEXT
    assert response.fields[b"vary"] == b"Accept-Encoding"


async def test_head_tells_what_get_would() -> None:
    async with running(**GZIP) as instance:
        client, lease = await ask(instance, method=b"HEAD")
        head = ASKING + b'ETag: "a"\r\nContent-Length: 8800\r\n'
        await lease.answer(b"", head, wire.ENCODING | wire.LENGTH | wire.NO_BODY)
        response = await client.response(b"HEAD")
        assert response.fields[b"content-encoding"] == b"gzip"
        assert response.fields[b"etag"] == b'W/"a"'
        assert b"content-length" not in response.fields
        assert b"transfer-encoding" not in response.fields
        assert b"connection" not in response.fields
        await client.get()
        await lease.packet()
        await lease.answer(b"next")
        assert (await client.response()).body == b"next"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_a_status_without_a_body_stays_without(status: bytes) -> None:
    async with running(**GZIP) as instance:
        client, lease = await ask(instance)
        head = status + b"\r\nuWSGI-Encoding: gzip\r\n"
        await lease.answer(b"", head, wire.ENCODING | wire.NO_BODY)
        response = await client.response()
        assert b"content-encoding" not in response.fields
        assert b"content-length" not in response.fields
        assert await client.is_silent()


# Streams, in a task


async def next_chunk(client: Client) -> bytes:
    size = int((await client.until(b"\r\n"))[:-2], 16)
    data = await client.exactly(size)
    assert await client.exactly(2) == b"\r\n"
    return data


@pytest.mark.parametrize("coding", CODINGS)
async def test_each_piece_can_be_read_before_the_next_is_sent(coding: bytes) -> None:
    async with running(**ALL) as instance:
        client, lease = await ask(instance, b"gzip, br, zstd")
        head = b"200 OK\r\nContent-Length: 12\r\nuWSGI-Encoding: " + coding + b"\r\n"
        await lease.begin(b"", head, wire.ENCODING | wire.LENGTH)
        response = await client.head()
        assert response.fields[b"transfer-encoding"] == b"chunked"
        assert response.fields[b"content-encoding"] == coding
        assert b"content-length" not in response.fields
        decode = CODINGS[coding][1]()
        for piece in (b"one ", b"two ", b"three"):
            await lease.more(piece)
            assert decode(await next_chunk(client)) == piece
        await lease.last()
        assert decode(await next_chunk(client)) == b""
        assert await next_chunk(client) == b""
        await client.get()
        await lease.packet()
        await lease.answer(b"next")
        assert (await client.response()).body == b"next"


async def test_the_first_piece_comes_with_the_head() -> None:
    async with running(**GZIP) as instance:
        client, lease = await ask(instance)
        await lease.begin(b"first", ASKING, wire.ENCODING)
        await client.head()
        decode = gunzip()
        assert decode(await next_chunk(client)) == b"first"
        await lease.last(b"last")
        assert decode(await next_chunk(client)) == b"last"
        assert await next_chunk(client) == b""


async def test_a_large_body_arrives_whole() -> None:
    body = os.urandom(100_000) + b"x" * 500_000
    async with running(**GZIP) as instance:
        client, lease = await ask(instance)
        await lease.begin(body[:50_000], ASKING, wire.ENCODING)
        await lease.more(body[50_000:])
        await lease.last()
        response = await client.response()
    assert gzip.decompress(response.body) == body


async def test_the_end_is_seen_even_without_auto_chunked() -> None:
    async with running(http_auto_chunked=False, **GZIP) as instance:
        client, lease = await ask(instance)
        await lease.begin(b"a", ASKING, wire.ENCODING)
        await lease.last(b"b")
        response = await client.response()
    assert response.fields[b"transfer-encoding"] == b"chunked"
    assert gzip.decompress(response.body) == b"ab"


async def test_a_body_that_breaks_off_does_not_look_complete() -> None:
    async with running(**GZIP) as instance:
        client, lease = await ask(instance)
        await lease.begin(b"half", ASKING, wire.ENCODING)
        await lease.frame(wire.LAST | wire.ABORTED)
        response = await client.response()
    assert not response.complete
    decoder = zlib.decompressobj(31)
    assert decoder.decompress(response.body) == b"half"
    assert not decoder.eof


async def test_a_client_of_http_1_0_gets_a_stream_as_it_is() -> None:
    async with running(**GZIP) as instance:
        client, lease = await ask(instance, version=b"1.0")
        await lease.begin(b"a", ASKING, wire.ENCODING)
        await lease.last(b"b")
        response = await client.response()
    assert response.body == b"ab"
    assert b"content-encoding" not in response.fields


async def test_streams_beyond_the_limit_go_as_they_are() -> None:
    async with running(http_encoded_streams=1, processes=3, **GZIP) as instance:
        first, first_lease = await ask(instance)
        await first_lease.begin(b"", ASKING, wire.ENCODING)
        assert (await first.head()).fields[b"content-encoding"] == b"gzip"
        second, second_lease = await ask(instance)
        await second_lease.begin(b"plain", ASKING, wire.ENCODING)
        await second_lease.last()
        response = await second.response()
        assert response.body == b"plain"
        assert response.fields[b"vary"] == b"Accept-Encoding"
        await first_lease.last(b"x")
        assert gzip.decompress(await next_chunk(first)) == b"x"
        assert await next_chunk(first) == b""
        await second.get(b"/", b"Accept-Encoding: gzip")
        # The pool hands out the lease that was given back last.
        await first_lease.packet()
        await first_lease.begin(b"again", ASKING, wire.ENCODING)
        await first_lease.last()
        assert gzip.decompress((await second.response()).body) == b"again"


async def test_encoders_of_clients_that_leave_are_freed() -> None:
    async with running(http_encoded_streams=1, **GZIP) as instance:
        client, lease = await ask(instance)
        await lease.begin(b"", ASKING, wire.ENCODING)
        await client.head()
        client.reset()
        assert await lease.is_closed_after(wire.encode_frame(0, b"", b"x"))
        client, lease = await ask(instance)
        await lease.begin(b"", ASKING, wire.ENCODING)
        assert (await client.head()).fields[b"content-encoding"] == b"gzip"
        await lease.last()


# Plain backends


async def test_a_plain_backends_response_is_encoded() -> None:
    backend = Uwsgi.on_tcp()
    async with running(http_to=(backend.address,), **GZIP) as instance:
        client = await instance.connect()
        await client.get(b"/", b"Accept-Encoding: gzip")
        connection = await backend.accept()
        await connection.packet()
        await connection.send(b"HTTP/1.1 200 OK\r\nuWSGI-Encoding: gzip\r\n\r\n")
        assert (await client.head()).fields[b"content-encoding"] == b"gzip"
        decode = gunzip()
        for piece in (b"one", b"two"):
            await connection.send(piece)
            assert decode(await next_chunk(client)) == piece
        connection.close()
        assert decode(await next_chunk(client)) == b""
        assert await next_chunk(client) == b""
        backend.close()


async def test_a_plain_backend_that_breaks_its_promise_breaks_the_stream() -> None:
    backend = Uwsgi.on_tcp()
    async with running(http_to=(backend.address,), **GZIP) as instance:
        client = await instance.connect()
        await client.get(b"/", b"Accept-Encoding: gzip")
        connection = await backend.accept()
        await connection.packet()
        await connection.send(
            b"HTTP/1.1 200 OK\r\nuWSGI-Encoding: gzip\r\nContent-Length: 9\r\n\r\nhalf"
        )
        connection.close()
        assert not (await client.response()).complete
        backend.close()


# What the options say


def test_a_coding_without_its_package_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "brotli", None)
    with pytest.raises(ImportError):
        Compression(HttpOptions(http_auto_brotli=True))
