"""Frames of the feed (gateways/registry/frames.py)."""

from __future__ import annotations

import pytest

from uwgate.gateways.registry.frames import LENGTH, MAX_FRAME, Decoder, FrameError, encode

FRAMES = encode("hello", kind="http", pid=7) + encode("ask")
MESSAGES = [{"type": "hello", "kind": "http", "pid": 7}, {"type": "ask"}]


@pytest.mark.parametrize("cut", range(len(FRAMES) + 1))
def test_frames_arrive_whole_wherever_they_are_cut(cut: int) -> None:
    decoder = Decoder()
    first = list(decoder.feed(FRAMES[:cut]))
    assert first + list(decoder.feed(FRAMES[cut:])) == MESSAGES


def test_names_of_all_languages_arrive() -> None:
    (message,) = Decoder().feed(encode("gone", key="bücher.example\u2603"))
    assert message["key"] == "bücher.example\u2603"


@pytest.mark.parametrize(
    "data",
    [
        LENGTH.pack(MAX_FRAME + 1),
        LENGTH.pack(2) + b"{]",
        LENGTH.pack(2) + b"[]",
        LENGTH.pack(2) + b"{}",
        LENGTH.pack(10) + b'{"type":5}',
        LENGTH.pack(2) + b"\xff\xfe",
        LENGTH.pack(100_000) + b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        list(Decoder().feed(data))
