"""WebSocket frames. The numbers in brackets are those of Autobahn's test suite."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire.websocket import (
    Code,
    FrameError,
    Message,
    MessageReader,
    Opcode,
    decode_close,
    encode_close,
    encode_frame,
    mask,
)

KEY = b"\x37\xfa\x21\x3d"
LIMIT = 1 << 20
TEXT, BINARY, CONTINUATION = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION
PING, PONG, CLOSE = Opcode.PING, Opcode.PONG, Opcode.CLOSE
NOT_UTF8 = bytes.fromhex("cebae1bdb9cf83cebcceb5eda080656469746564")


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0) -> bytes:
    """A client's frame, of any opcode."""
    encoded = encode_frame(TEXT, payload, key=KEY)
    return bytes(((0x80 if final else 0) | reserved | opcode,)) + encoded[1:]


def messages(data: bytes, limit: int = LIMIT) -> list[Message]:
    reader = MessageReader(limit)
    reader.feed(data)
    return list(iter(reader.next, None))


def code_of(data: bytes, limit: int = LIMIT) -> int:
    """What the connection is closed with."""
    with pytest.raises(FrameError) as caught:
        messages(data, limit)
    return caught.value.code


# Framing (1)


def test_the_examples_of_the_rfc() -> None:
    """RFC 6455 section 5.7."""
    assert messages(bytes.fromhex("818537fa213d7f9f4d5158")) == [(TEXT, b"Hello")]
    assert encode_frame(TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert encode_frame(BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert encode_frame(BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536, 131072, LIMIT])
def test_messages_of_every_length_pass(opcode: Opcode, size: int) -> None:
    assert messages(frame(opcode, b"*" * size)) == [(opcode, b"*" * size)]


@pytest.mark.parametrize(
    "header",
    [
        bytes((0x82, 0x80 | 126)) + (125).to_bytes(2, "big"),
        bytes((0x82, 0x80 | 127)) + (65535).to_bytes(8, "big"),
        bytes((0x82, 0x80 | 127)) + (1 << 63).to_bytes(8, "big"),
    ],
    ids=["16 bits for 125", "64 bits for 65535", "highest bit"],
)
def test_a_length_that_is_not_in_its_shortest_form_is_refused(header: bytes) -> None:
    assert code_of(header + KEY) == Code.PROTOCOL_ERROR


@pytest.mark.parametrize("size", [0, 100, 1000, 70000])
def test_bytes_may_come_one_by_one(size: int) -> None:
    reader = MessageReader(LIMIT)
    got: list[Message] = []
    for byte in frame(BINARY, bytes(size)) + frame(TEXT, b"next"):
        reader.feed(bytes((byte,)))
        got += iter(reader.next, None)
    assert got == [(BINARY, bytes(size)), (TEXT, b"next")]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65536])
def test_who_feeds_only_what_is_missing_never_feeds_a_second_message(size: int) -> None:
    first, second = frame(BINARY, bytes(size)), frame(TEXT, b"next")
    stream = first + second
    reader = MessageReader(LIMIT)
    taken = 0
    while reader.next() is None:
        piece = stream[taken : taken + reader.missing]
        assert piece
        taken += len(piece)
        reader.feed(piece)
    assert taken == len(first)


@given(st.lists(st.tuples(st.sampled_from((BINARY, PING, PONG)), st.binary(max_size=125))))
def test_what_was_framed_is_read(sent: list[tuple[Opcode, bytes]]) -> None:
    assert messages(b"".join(frame(*one) for one in sent)) == sent


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_twice_changes_nothing(data: bytes, key: bytes) -> None:
    assert mask(data, key) == bytes(byte ^ key[at % 4] for at, byte in enumerate(data))
    assert mask(mask(data, key), key) == data


@given(st.binary(max_size=200))
def test_whatever_a_client_sends_is_read_or_refused(data: bytes) -> None:
    reader = MessageReader(100)
    reader.feed(data)
    with contextlib.suppress(FrameError):  # any other error would be ours
        while reader.next() is not None:
            pass
        assert reader.missing > 0


def test_a_client_that_does_not_mask_is_refused() -> None:
    """RFC 6455 section 5.1."""
    assert code_of(encode_frame(TEXT, b"Hello")) == Code.PROTOCOL_ERROR


# Pings and pongs (2)


def test_control_frames_may_be_empty_or_carry_125_bytes() -> None:
    data = frame(PING) + frame(PONG, b"p" * 125)
    assert messages(data) == [(PING, b""), (PONG, b"p" * 125)]


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_a_control_frame_of_126_bytes_is_refused(opcode: Opcode) -> None:
    assert code_of(frame(opcode, bytes(126))) == Code.PROTOCOL_ERROR


# Reserved bits (3) and opcodes (4)


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, PING, CLOSE])
def test_reserved_bits_are_refused(bits: int, opcode: Opcode) -> None:
    assert code_of(frame(opcode, reserved=bits << 4)) == Code.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_are_refused(opcode: int) -> None:
    assert code_of(frame(opcode)) == Code.PROTOCOL_ERROR


def test_what_came_before_a_broken_frame_is_still_read() -> None:
    reader = MessageReader(LIMIT)
    reader.feed(frame(TEXT, b"good") + frame(5))
    assert reader.next() == (TEXT, b"good")
    with pytest.raises(FrameError):
        reader.next()


# Fragmentation (5)


def fragments(*pieces: bytes, kind: int = TEXT) -> list[bytes]:
    """A message in as many frames."""
    last = len(pieces) - 1
    return [
        frame(CONTINUATION if at else kind, piece, final=at == last)
        for at, piece in enumerate(pieces)
    ]


def test_fragments_become_one_message() -> None:
    assert messages(b"".join(fragments(b"a", b"b", b"c"))) == [(TEXT, b"abc")]
    assert messages(b"".join(fragments(b"", b"", b"", kind=BINARY))) == [(BINARY, b"")]


def test_control_frames_come_between_fragments_at_once() -> None:
    first, second = fragments(b"a", b"b")
    data = first + frame(PING, b"?") + second
    assert messages(data) == [(PING, b"?"), (TEXT, b"ab")]


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_control_frames_have_no_fragments(opcode: Opcode) -> None:
    assert code_of(frame(opcode, final=False)) == Code.PROTOCOL_ERROR


@pytest.mark.parametrize("final", [True, False])
def test_a_continuation_of_nothing_is_refused(final: bool) -> None:
    assert code_of(frame(CONTINUATION, b"?", final=final)) == Code.PROTOCOL_ERROR


def test_a_continuation_behind_the_last_fragment_is_refused() -> None:
    data = b"".join(fragments(b"a", b"b")) + frame(CONTINUATION, b"c")
    assert code_of(data) == Code.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_within_another_is_refused(opcode: Opcode) -> None:
    assert code_of(fragments(b"a", b"b")[0] + frame(opcode, b"c")) == Code.PROTOCOL_ERROR


@given(
    st.lists(
        st.tuples(st.sampled_from((TEXT, BINARY)), st.lists(st.text(max_size=9), min_size=1)),
        max_size=5,
    ),
    st.integers(1, 40),
)
def test_however_messages_are_cut_they_come_whole(
    sent: list[tuple[Opcode, list[str]]], step: int
) -> None:
    data = b"".join(
        b"".join(frame(PONG) + one for one in fragments(*map(str.encode, pieces), kind=kind))
        for kind, pieces in sent
    )
    reader = MessageReader(LIMIT)
    got: list[Message] = []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        got += iter(reader.next, None)
    messages_only = [message for message in got if message.opcode is not PONG]
    assert messages_only == [(kind, "".join(pieces).encode()) for kind, pieces in sent]


def test_empty_fragments_take_no_memory() -> None:
    reader = MessageReader(LIMIT)
    reader.feed(frame(TEXT, b"a", final=False))
    for _ in range(10000):
        reader.feed(frame(CONTINUATION, final=False))
        assert reader.next() is None
    reader.feed(frame(CONTINUATION, b"z"))
    assert reader.next() == (TEXT, b"az")


# UTF-8 (6)


@pytest.mark.parametrize(
    "text", ["Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\U0010ffff", "\x00", "\ufffe", "\ufdd0"]
)
def test_text_may_be_cut_anywhere(text: str) -> None:
    data = text.encode()
    pieces = [data[at : at + 1] for at in range(len(data))]
    assert messages(b"".join(fragments(*pieces))) == [(TEXT, data)]


@pytest.mark.parametrize(
    "data",
    [
        NOT_UTF8,
        b"\x80",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"abc\xce",
    ],
    ids=["surrogate", "lone", "overlong", "half", "beyond", "five bytes", "never", "cut short"],
)
def test_text_that_is_not_utf_8_is_refused(data: bytes) -> None:
    assert code_of(frame(TEXT, data)) == Code.INVALID_DATA
    assert messages(frame(BINARY, data)) == [(BINARY, data)]


def test_text_is_refused_at_the_fragment_that_spoils_it() -> None:
    """[6.4]"""
    assert code_of(fragments(NOT_UTF8, b"more")[0]) == Code.INVALID_DATA


# Closing (7)


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1014, 3000, 3999, 4000, 4999]
)
def test_these_codes_may_close(code: int) -> None:
    payload = code.to_bytes(2, "big")
    assert decode_close(payload + b"bye") == (code, "bye")
    assert encode_close(code) == encode_frame(CLOSE, payload)


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_these_codes_may_not(code: int) -> None:
    with pytest.raises(FrameError) as caught:
        decode_close(code.to_bytes(2, "big"))
    assert caught.value.code == Code.PROTOCOL_ERROR


def test_a_close_frame_may_be_empty_but_not_of_one_byte() -> None:
    assert decode_close(b"") == (Code.NO_STATUS, "")
    assert encode_close(Code.NO_STATUS) == b"\x88\x00"
    with pytest.raises(FrameError) as caught:
        decode_close(b"\x03")
    assert caught.value.code == Code.PROTOCOL_ERROR


def test_a_reason_must_be_utf_8() -> None:
    with pytest.raises(FrameError) as caught:
        decode_close(b"\x03\xe8" + NOT_UTF8)
    assert caught.value.code == Code.INVALID_DATA


def test_a_reason_that_is_too_long_is_cut_between_characters() -> None:
    encoded = encode_close(1011, "é" * 100)
    assert encoded[1] == 124
    assert decode_close(encoded[2:]) == (1011, "é" * 61)


# Limits (9)


def test_a_message_may_have_as_many_bytes_as_allowed_and_no_more() -> None:
    assert messages(frame(BINARY, bytes(200)), 200) == [(BINARY, bytes(200))]
    assert code_of(frame(BINARY, bytes(201))[:4], 200) == Code.TOO_BIG


def test_the_fragments_of_a_message_count_together() -> None:
    pieces = fragments(bytes(100), bytes(100), b"!", kind=BINARY)
    assert code_of(b"".join(pieces), 200) == Code.TOO_BIG
    assert messages(b"".join(fragments(bytes(100), bytes(100))), 200) == [(TEXT, bytes(200))]
