"""HTTP/2 frames, cut out of bytes."""

from __future__ import annotations

import itertools

import pytest
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire.http2 import (
    END_HEADERS,
    MAX_FRAME,
    PREFACE,
    ConnectionFault,
    Frame,
    FrameSplitter,
    Kind,
    encode_frame,
)

PING = encode_frame(Kind.PING, 0, 0, b"12345678")
DATA = encode_frame(Kind.DATA, 1, 5, b"hello")
BLOCK = (
    encode_frame(Kind.HEADERS, 1, 3, b"ab")
    + encode_frame(Kind.CONTINUATION, 0, 3, b"cd")
    + encode_frame(Kind.CONTINUATION, END_HEADERS, 3, b"ef")
)
ALL = PREFACE + PING + BLOCK + DATA


def splitter() -> FrameSplitter:
    return FrameSplitter(max_block=1000, max_continuations=3)


@pytest.mark.parametrize("cut", range(len(ALL) + 1))
def test_frames_come_out_whole_wherever_they_were_cut(cut: int) -> None:
    frames = splitter()
    found = [*frames.feed(ALL[:cut]), *frames.feed(ALL[cut:])]
    assert found == [
        Frame(Kind.PING, 0, 0, PING),
        Frame(Kind.HEADERS, 1, 3, BLOCK),
        Frame(Kind.DATA, 1, 5, DATA),
    ]
    assert found[0].payload == b"12345678"
    assert not frames.is_waiting


@given(st.lists(st.integers(1, len(ALL)), max_size=10))
def test_any_number_of_cuts_makes_no_difference(cuts: list[int]) -> None:
    frames = splitter()
    edges = [0, *sorted(cuts), len(ALL)]
    pieces = [ALL[a:b] for a, b in itertools.pairwise(edges)]
    assert sum(len(list(frames.feed(piece))) for piece in pieces) == 3


@pytest.mark.parametrize("end", range(len(ALL) - len(DATA) + 1, len(ALL)))
def test_it_waits_while_a_frame_is_not_complete(end: int) -> None:
    frames = splitter()
    list(frames.feed(ALL[:end]))
    assert frames.is_waiting


@given(st.binary(max_size=400))
def test_whatever_comes_is_frames_or_a_fault(data: bytes) -> None:
    frames = splitter()
    try:
        found = list(frames.feed(PREFACE + data))
    except ConnectionFault:
        return
    assert sum(len(one.data) for one in found) <= len(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n", ErrorCodes.PROTOCOL_ERROR),
        (PREFACE[:-1] + b"x", ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + (MAX_FRAME + 1).to_bytes(3, "big") + bytes(6), ErrorCodes.FRAME_SIZE_ERROR),
        (PREFACE + encode_frame(Kind.CONTINUATION, 4, 1), ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + encode_frame(Kind.HEADERS, 0, 1) + PING, ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + encode_frame(Kind.HEADERS, 0, 1) + PING[:9], ErrorCodes.PROTOCOL_ERROR),
        (PREFACE + BLOCK[:11] + encode_frame(Kind.CONTINUATION, 4, 5), ErrorCodes.PROTOCOL_ERROR),
        (
            PREFACE + encode_frame(Kind.HEADERS, 0, 1, bytes(999)),
            ErrorCodes.ENHANCE_YOUR_CALM,
        ),
        (
            PREFACE + encode_frame(Kind.HEADERS, 0, 1) + 4 * encode_frame(Kind.CONTINUATION, 0, 1),
            ErrorCodes.ENHANCE_YOUR_CALM,
        ),
    ],
)
def test_what_breaks_a_rule_is_a_fault(data: bytes, code: ErrorCodes) -> None:
    with pytest.raises(ConnectionFault) as caught:
        list(splitter().feed(data))
    assert caught.value.code is code
