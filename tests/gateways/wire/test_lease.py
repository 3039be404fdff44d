"""Frames between gateways and workers (gateways/wire/lease.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire import lease
from uwgate.gateways.wire.lease import (
    FRAME,
    MAX_CHUNK,
    MAX_HEAD,
    LeaseError,
    decode_header,
    encode_frame,
)


@given(st.integers(0, 0xFFFF), st.binary(max_size=500), st.binary(max_size=5000), st.binary())
def test_a_frame_is_read_back_with_bytes_behind_it(
    flags: int, head: bytes, body: bytes, rest: bytes
) -> None:
    frame = encode_frame(flags, head, body)
    assert decode_header(frame + rest) == (flags, len(head), len(body))
    assert frame[FRAME.size :] == head + body


@pytest.mark.parametrize("cut", range(FRAME.size))
def test_a_header_cut_short_asks_for_more(cut: int) -> None:
    assert decode_header(encode_frame(lease.HEAD, b"200 OK\r\n")[:cut]) is None


def test_a_bytearray_is_read_as_well() -> None:
    assert decode_header(bytearray(lease.GOODBYE_FRAME)) == (lease.GOODBYE, 0, 0)


def test_the_largest_head_and_body_fit() -> None:
    frame = encode_frame(lease.HEAD, b"h" * MAX_HEAD, b"b" * MAX_CHUNK)
    assert decode_header(frame) == (lease.HEAD, MAX_HEAD, MAX_CHUNK)


@pytest.mark.parametrize(("head", "body"), [(MAX_HEAD + 1, 0), (0, MAX_CHUNK + 1)])
def test_a_larger_head_or_body_is_refused(head: int, body: int) -> None:
    with pytest.raises(LeaseError, match="limit 65535 \\+ 1048576"):
        encode_frame(lease.HEAD, b"h" * head, b"b" * body)


def test_a_received_body_size_beyond_the_limit_is_refused() -> None:
    with pytest.raises(LeaseError, match="frame body of 1048577 bytes"):
        decode_header(FRAME.pack(lease.HEAD, 0, MAX_CHUNK + 1))


def test_flags_are_single_bits_that_fit_the_field() -> None:
    flags = [
        lease.HELLO,
        lease.TAKEN,
        lease.CONTINUE,
        lease.HEAD,
        lease.LAST,
        lease.GOODBYE,
        lease.ABORTED,
        lease.LENGTH,
        lease.NO_BODY,
        lease.DATE,
        lease.SERVER,
    ]
    assert [flag.bit_count() for flag in flags] == [1] * len(flags)
    assert sum(flags) == 2 ** len(flags) - 1
    assert sum(flags) < 0x10000
