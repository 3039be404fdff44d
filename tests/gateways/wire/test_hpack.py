"""Header compression: what we write, hpack reads; what we remember, still holds."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes
from hpack.hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire.hpack import (
    MAX_BLOCKS,
    NO_TABLE,
    HeaderDecoder,
    encode_fields,
    encode_status,
)
from uwgate.gateways.wire.http2 import ConnectionFault

FIELDS = [(b":method", b"GET"), (b"user-agent", b"test"), (b"x-own", b"value")]

names = st.sampled_from([b"content-type", b"set-cookie", b"x-own", b"date", b":status", b"x" * 200])
fields = st.lists(st.tuples(names, st.binary(max_size=300)), max_size=10)


@given(fields)
def test_what_is_encoded_can_be_decoded(lines: list[tuple[bytes, bytes]]) -> None:
    block = NO_TABLE + encode_fields(lines)
    decoder = Decoder()
    assert [tuple(one) for one in decoder.decode(block, raw=True)] == lines
    assert not decoder.header_table.dynamic_entries


@pytest.mark.parametrize("status", [100, 200, 204, 302, 404, 500, 599])
def test_every_status_is_encoded(status: int) -> None:
    assert Decoder().decode(encode_status(status), raw=True) == [(b":status", b"%d" % status)]


def test_a_cookie_may_not_be_indexed_by_anybody() -> None:
    (cookie,) = Decoder().decode(encode_fields([(b"set-cookie", b"a=b")]), raw=True)
    assert not cookie.indexable


def test_a_repeated_block_is_decoded_once() -> None:
    encoder = Encoder()
    decoder = HeaderDecoder(1000)
    encoder.encode(FIELDS)
    first, second, third = (encoder.encode(FIELDS) for _ in range(3))
    assert first == second == third
    decoder.decode(Encoder().encode(FIELDS))
    assert decoder.decode(first) == tuple(FIELDS)
    assert decoder.decode(second) is decoder.decode(third)


@given(st.lists(st.tuples(names, st.sampled_from([b"1", b"2", b"y" * 900])), min_size=1))
def test_blocks_mean_what_they_mean_to_hpack_while_the_table_changes(
    lines: list[tuple[bytes, bytes]],
) -> None:
    encoder = Encoder()
    ours, theirs = HeaderDecoder(65536), Decoder()
    for line in (*lines, *lines):
        for _ in range(2):
            block = encoder.encode([line])
            assert list(ours.decode(block)) == [
                tuple(one) for one in theirs.decode(block, raw=True)
            ]


def test_a_table_that_shrinks_is_not_forgotten() -> None:
    encoder = Encoder()
    decoder = HeaderDecoder(1000)
    for size in (4096, 0, 4096, 64):
        encoder.header_table_size = size
        for _ in range(3):
            assert decoder.decode(encoder.encode(FIELDS)) == tuple(FIELDS)


def test_what_is_remembered_is_bounded() -> None:
    decoder = HeaderDecoder(1000)
    for number in range(3 * MAX_BLOCKS):
        decoder.decode(b"\x00\x01x\x03%03d" % number)
    assert len(decoder._known) <= MAX_BLOCKS


@pytest.mark.parametrize(
    ("block", "code"),
    [
        (b"\xc6", ErrorCodes.COMPRESSION_ERROR),
        (b"\x40\x01x\x7e" + bytes(126), ErrorCodes.ENHANCE_YOUR_CALM),
    ],
)
def test_a_block_that_is_broken_or_too_large_is_a_fault(block: bytes, code: ErrorCodes) -> None:
    with pytest.raises(ConnectionFault) as caught:
        HeaderDecoder(100).decode(block)
    assert caught.value.code is code
