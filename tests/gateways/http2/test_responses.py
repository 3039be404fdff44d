"""What the gateway itself does to a response: encodings, HSTS, the end of a connection's life."""

from __future__ import annotations

import gzip

import pytest
import trio

from tests.gateways.http2.client import DATA, NO_ERROR, fields_of, talking
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.http2.responses import ResponseHeads
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.hpack import HeaderDecoder

ASKING = b"200 OK\r\nuWSGI-Encoding: gzip\r\n"
TEXT = b"text " * 1000
ACCEPTS = (b"accept-encoding", b"gzip")


async def test_a_whole_response_is_encoded() -> None:
    async with talking(http_auto_gzip=True) as talk:
        await talk.client.request(1, fields_of(b"/", ACCEPTS))
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer(TEXT, ASKING, wire.ENCODING)
        response = await talk.client.response(1)
    assert gzip.decompress(response.body) == TEXT
    assert response.fields[b"content-encoding"] == b"gzip"
    assert response.fields[b"content-length"] == b"%d" % len(response.body)
    assert b"uwsgi-encoding" not in response.fields


async def test_a_stream_is_encoded_piece_by_piece() -> None:
    async with talking(http_auto_gzip=True) as talk:
        client = talk.client
        await client.request(1, fields_of(b"/", ACCEPTS))
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.begin(TEXT, ASKING, wire.ENCODING)
        await client.next(DATA, 1)
        await lease.last(b"end")
        response = await client.response(1)
    assert gzip.decompress(response.body) == TEXT + b"end"
    assert b"content-length" not in response.fields


async def test_the_last_request_of_a_connection_is_answered_and_the_connection_closed(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with talking(http_connection_requests=2) as talk:
        await talk.works(1)
        await talk.client.request(3)
        lease = talk.workers.leases[0]
        await lease.packet()
        await talk.client.goaway()
        assert await talk.client.goaway() == (3, NO_ERROR)
        await lease.answer()
        assert (await talk.client.response(3)).body == b"ok"
        assert not await talk.client.rest()


async def test_a_connection_that_is_old_is_closed(hurried_clock: trio.abc.Clock) -> None:
    async with talking(http_connection_lifetime=10.0) as talk:
        for number in range(1, 11, 2):
            await talk.works(number)
            await trio.sleep(1.5)
        start = trio.current_time()
        await talk.client.goaway()
        assert (await talk.client.goaway())[1] == NO_ERROR
        assert not await talk.client.rest()
        assert trio.current_time() - start < 10.0


@pytest.mark.parametrize(
    ("secure", "head", "expected"),
    [
        (True, b"200 OK\r\n", [b"max-age=60"]),
        (False, b"200 OK\r\n", []),
        (True, b"200 OK\r\nStrict-Transport-Security: mine\r\n", [b"mine"]),
    ],
    ids=["encrypted", "plain", "the application's own"],
)
def test_hsts_is_sent_once_and_only_over_tls(
    secure: bool, head: bytes, expected: list[bytes]
) -> None:
    heads = ResponseHeads(HttpOptions(), "max-age=60")
    fields = HeaderDecoder(1000).decode(heads.block(0, head, 0, secure=secure))
    assert [v for name, v in fields if name == b"strict-transport-security"] == expected


def test_what_is_remembered_of_heads_is_bounded() -> None:
    heads = ResponseHeads(HttpOptions())
    for number in range(3000):
        heads.block(0, b"200 OK\r\nX: %d\r\n" % number, 0)
    assert len(heads._known) <= 1024
