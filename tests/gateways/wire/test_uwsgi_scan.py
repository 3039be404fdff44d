"""Finding variables in a block gives what decoding it gives."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from uwgate.gateways.wire.uwsgi import PacketError, decode_block, encode_var
from uwgate.gateways.wire.uwsgi_scan import Scanner

NAMES = (b"HTTP_HOST", b"SERVER_NAME", b"K")
SCANNER = Scanner(NAMES)

keys = st.one_of(st.sampled_from(NAMES), st.binary(min_size=1, max_size=300))
blocks = st.lists(st.tuples(keys, st.binary(max_size=700))).map(
    lambda variables: b"".join(encode_var(key, value) for key, value in variables)
)
# Lengths that are nearly right are where readers differ.
broken = st.one_of(
    st.binary(max_size=40),
    st.tuples(blocks, st.integers(0, 60)).map(lambda pair: pair[0][: -pair[1] or None]),
    st.tuples(blocks, st.binary(max_size=8)).map(b"".join),
    st.lists(st.sampled_from([b"\0", b"\1", b"\2", b"K", b"\1\0K"]), max_size=30).map(b"".join),
)


def expected(block: bytes) -> dict[bytes, bytes] | None:
    """The wanted variables as the decoder has them; None: it refuses."""
    try:
        return {key: value for key, value in decode_block(block) if key in NAMES}
    except PacketError:
        return None


def found(data: bytes, start: int, end: int) -> dict[bytes, bytes]:
    """What was found, by name."""
    values = SCANNER.scan(data, start, end)
    return {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}


def scanned(data: bytes, start: int, end: int) -> dict[bytes, bytes] | None:
    """The same; None: it is refused."""
    try:
        return found(data, start, end)
    except PacketError:
        return None


@given(blocks)
def test_what_is_found_is_what_the_decoder_finds(block: bytes) -> None:
    assert found(block, 0, len(block)) == expected(block)


@given(broken)
@example(b"\0\0\0\0")
@example(b"\1\0K\0")
@example(b"\1\0K\1\0")
@example(b"\1")
def test_what_is_refused_is_what_the_decoder_refuses(block: bytes) -> None:
    assert scanned(block, 0, len(block)) == expected(block)


@given(broken, st.binary(max_size=300), st.binary(max_size=300))
def test_bytes_around_the_block_do_not_count(block: bytes, before: bytes, after: bytes) -> None:
    data = before + block + after
    assert scanned(data, len(before), len(before) + len(block)) == expected(block)


def test_of_duplicates_the_last_counts() -> None:
    block = encode_var(b"K", b"first") + encode_var(b"K", b"second")
    assert found(block, 0, len(block)) == {b"K": b"second"}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 65_000])
def test_a_length_of_any_size_is_read(size: int) -> None:
    value = b"s" * size
    block = encode_var(b"X" * size + b"X", b"") + encode_var(b"SERVER_NAME", value)
    assert found(block, 0, len(block)) == {b"SERVER_NAME": value}


def test_a_name_within_a_value_is_no_variable() -> None:
    block = encode_var(b"X", encode_var(b"K", b"forged"))
    assert found(block, 0, len(block)) == {}


@pytest.mark.parametrize("block", [b"\0\0\0\0", b"\1\0K\5\0abc", b"\5\0K", b"\1"])
def test_the_error_says_what_is_wrong(block: bytes) -> None:
    with pytest.raises(PacketError, match=r"empty key at byte 0|runs past the block"):
        SCANNER.scan(block, 0, len(block))


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=3, unique=True))
def test_names_that_look_alike_are_told_apart(names: list[bytes]) -> None:
    shapes = {(len(name), name[-1]) for name in names}
    assume(len(shapes) == len(names))
    block = b"".join(encode_var(name, name[::-1]) for name in names)
    assert Scanner(names).scan(block, 0, len(block)) == [name[::-1] for name in names]


def test_names_that_look_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="2 names cannot be told apart"):
        Scanner((b"ONE", b"TWE"))
