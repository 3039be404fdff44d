"""Chunked bodies (gateways/wire/chunked.py)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire.chunked import (
    LAST_CHUNK,
    MAX_LINE,
    MAX_TRAILER,
    ChunkedDecoder,
    encode_chunk,
)


def decode(*pieces: bytes) -> tuple[bytes, bool, bytes]:
    """Body bytes, whether that was all, and what follows."""
    decoder = ChunkedDecoder()
    body = b"".join([decoder.feed(piece) for piece in pieces])
    return body, decoder.done, decoder.rest


def status_of(*pieces: bytes) -> int:
    with pytest.raises(ClientError) as caught:
        decode(*pieces)
    return caught.value.status


@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=10), st.binary(max_size=50))
def test_encoded_chunks_are_read_back_and_what_follows_is_kept(
    chunks: list[bytes], rest: bytes
) -> None:
    encoded = b"".join([encode_chunk(chunk) for chunk in chunks]) + LAST_CHUNK
    assert decode(encoded + rest) == (b"".join(chunks), True, rest)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=4), st.data())
def test_chunks_are_read_wherever_they_are_split(chunks: list[bytes], data: st.DataObject) -> None:
    encoded = b"".join([encode_chunk(chunk) for chunk in chunks]) + LAST_CHUNK
    cuts = data.draw(st.lists(st.integers(0, len(encoded)), max_size=8).map(sorted))
    edges = [0, *cuts, len(encoded)]
    pieces = [encoded[a:b] for a, b in itertools.pairwise(edges)]
    assert decode(*pieces) == (b"".join(chunks), True, b"")


def test_a_body_is_read_byte_by_byte() -> None:
    encoded = b'3\r\nabc\r\nA;x="y"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n'
    pieces = [encoded[n : n + 1] for n in range(len(encoded))]
    assert decode(*pieces) == (b"abc0123456789", True, b"")


@pytest.mark.parametrize("cut", range(len(b"3\r\nabc\r\n0\r\n\r\n")))
def test_a_body_cut_short_is_not_done(cut: int) -> None:
    assert not decode(b"3\r\nabc\r\n0\r\n\r\n"[:cut])[1]


def test_data_is_handed_on_before_its_chunk_is_complete() -> None:
    assert decode(b"5\r\nab") == (b"ab", False, b"")


@pytest.mark.parametrize("size", [b"a", b"A", b"00a", b"00000000000000A"])
def test_a_size_may_have_either_case_and_leading_zeros(size: bytes) -> None:
    assert decode(size + b"\r\n0123456789\r\n0\r\n\r\n") == (b"0123456789", True, b"")


@pytest.mark.parametrize("extension", [b";", b";a", b";a=b", b'; a="\t\xff"', b" ;a", b"\t; a = b"])
def test_extensions_are_dropped(extension: bytes) -> None:
    body = b"1" + extension + b"\r\nx\r\n0" + extension + b"\r\n\r\n"
    assert decode(body) == (b"x", True, b"")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" 1",
        b"1 ",
        b"+1",
        b"-1",
        b"0x1",
        b"1_0",
        b"g",
        b"1,",
        b"1 a",
        b";a",
        b"1;a\0b",
        b"1;a\x7fb",
        b"1;a\rb",
        b"1\r",
        b"\xef\xbc\x91",
    ],
)
def test_a_malformed_size_is_refused(line: bytes) -> None:
    assert status_of(line + b"\r\nx\r\n0\r\n\r\n") == 400


def test_a_size_of_15_digits_is_read_and_one_of_16_refused() -> None:
    assert decode(b"F" * 15 + b"\r\nab") == (b"ab", False, b"")
    assert status_of(b"F" * 16 + b"\r\nab") == 400
    assert status_of(b"0" * 15 + b"1\r\na") == 400


def test_a_size_line_has_a_limit() -> None:
    longest = b"1;" + b"x" * (MAX_LINE - 2)
    assert decode(longest + b"\r\na") == (b"a", False, b"")
    assert status_of(longest + b"x\r\na") == 400


def test_a_size_line_without_an_end_is_refused_at_the_limit() -> None:
    assert not decode(b"1" * MAX_LINE)[1]
    assert not decode(b"1;" + b"x" * (MAX_LINE - 2), b"\r")[1]
    assert status_of(b"1;" + b"x" * (MAX_LINE - 1), b"xx") == 400


@pytest.mark.parametrize(
    "body",
    [
        b"1\nx\r\n0\r\n\r\n",
        b"1\r\nx\n0\r\n\r\n",
        b"1\r\nx\r\n0\n\r\n",
        b"1\r\nx\r\n0\r\n\n",
        b"1\r\nx\r\n0\r\nA: b\n\r\n",
        b"1;a\nb\r\nx\r\n",
    ],
)
def test_a_line_that_ends_in_a_bare_lf_is_refused(body: bytes) -> None:
    assert status_of(body) == 400


@pytest.mark.parametrize("end", [b"xy", b"x", b"\rx", b"\n", b"0\r\n\r\n"])
def test_data_longer_than_its_size_is_refused(end: bytes) -> None:
    assert status_of(b"1\r\nx" + end) == 400


def test_trailers_are_dropped() -> None:
    assert decode(b"0\r\nA: b\r\nC:\r\n\r\nnext") == (b"", True, b"next")


@pytest.mark.parametrize(
    "line", [b"A", b": b", b"A : b", b" A: b", b"\tb", b"A: \0", b"A: \x7f", b"A: b\rc"]
)
def test_a_malformed_trailer_is_refused(line: bytes) -> None:
    assert status_of(b"0\r\n" + line + b"\r\n\r\n") == 400


def test_trailers_together_have_a_limit() -> None:
    line = b"A: " + b"x" * 1021 + b"\r\n"  # 1024 bytes and its end
    assert decode(b"0\r\n" + line * (MAX_TRAILER // 1024) + b"\r\n") == (b"", True, b"")
    assert status_of(b"0\r\n" + line * (MAX_TRAILER // 1024) + b"A:\r\n\r\n") == 431


def test_empty_trailer_lines_cannot_go_on_for_ever() -> None:
    assert decode(b"0\r\n\r\n\r\n\r\n") == (b"", True, b"\r\n\r\n")


def test_nothing_is_read_behind_the_end() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(LAST_CHUNK)
    assert decoder.feed(b"GET") == b""
    assert decoder.rest == b"GET"


def test_many_small_chunks_in_one_piece_are_read() -> None:
    assert decode(b"1\r\nx\r\n" * 10000 + LAST_CHUNK) == (b"x" * 10000, True, b"")
