"""uwsgi packets (gateways/wire/uwsgi.py), against the worked examples of the specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire.uwsgi import (
    HEADER,
    MAX_BLOCK,
    PING,
    PONG,
    PacketError,
    decode_block,
    encode,
    encode_block,
    encode_var,
)

# spec/uwsgi-protocol.md section 11, captured from uWSGI 2.0.31.
MINIMAL_GET = bytes.fromhex(
    "006c00000e00524551554553545f4d4554484f4403004745540b00524551554553545f55524901002f"
    "0900504154485f494e464f01002f0c0051554552595f535452494e4700000f005345525645525f5052"
    "4f544f434f4c0800485454502f312e310900485454505f484f5354010061"
)
GET_VARIABLES = [
    (b"REQUEST_METHOD", b"GET"),
    (b"REQUEST_URI", b"/"),
    (b"PATH_INFO", b"/"),
    (b"QUERY_STRING", b""),
    (b"SERVER_PROTOCOL", b"HTTP/1.1"),
    (b"HTTP_HOST", b"a"),
]
POST_WITH_MODIFIERS = bytes.fromhex(
    "053a00020e00524551554553545f4d4554484f440400504f53540b00524551554553545f5552490200"
    "2f700e00434f4e54454e545f4c454e475448010035"
)
SUBSCRIPTION = bytes.fromhex(
    "e062000003006b65790700666f6f2e636f6d0700616464726573730f003132372e302e302e313a3433"
    "30333109006d6f6469666965723101003009006d6f646966696572320100300500636f726573010036"
    "04006c6f61640100300600776569676874010030"
)

Variables = list[tuple[bytes, bytes]]
variable_lists = st.lists(
    st.tuples(st.binary(min_size=1, max_size=300), st.binary(max_size=600)), max_size=20
)


def test_the_minimal_get_is_encoded_as_uwsgi_does() -> None:
    assert encode(GET_VARIABLES) == MINIMAL_GET


def test_the_minimal_get_is_read_back() -> None:
    assert list(decode_block(MINIMAL_GET[4:])) == GET_VARIABLES


def test_modifiers_stand_around_the_size() -> None:
    variables = [
        (b"REQUEST_METHOD", b"POST"),
        (b"REQUEST_URI", b"/p"),
        (b"CONTENT_LENGTH", b"5"),
    ]
    assert encode(variables, 5, 2) == POST_WITH_MODIFIERS


def test_a_subscription_packet_has_modifier1_224() -> None:
    variables = [
        (b"key", b"foo.com"),
        (b"address", b"127.0.0.1:43031"),
        (b"modifier1", b"0"),
        (b"modifier2", b"0"),
        (b"cores", b"6"),
        (b"load", b"0"),
        (b"weight", b"0"),
    ]
    assert encode(variables, 224) == SUBSCRIPTION


def test_a_value_longer_than_255_bytes_has_a_two_byte_length() -> None:
    packet = encode([(b"K", b"v" * 300)])
    assert packet == bytes.fromhex("00310100" + "01004b" + "2c01") + b"v" * 300


def test_ping_and_pong_are_headers_alone() -> None:
    assert bytes.fromhex("64000000") == PING
    assert bytes.fromhex("64000001") == PONG


def test_duplicates_and_order_are_kept() -> None:
    variables = [(b"B", b"1"), (b"A", b""), (b"B", b"2")]
    assert list(decode_block(encode(variables)[4:])) == variables


def test_an_empty_block_has_no_variables() -> None:
    assert list(decode_block(b"")) == []


@given(variable_lists, st.integers(0, 255), st.integers(0, 255))
def test_what_is_encoded_is_decoded(variables: Variables, modifier1: int, modifier2: int) -> None:
    packet = encode(variables, modifier1, modifier2)
    assert HEADER.unpack_from(packet) == (modifier1, len(packet) - 4, modifier2)
    assert list(decode_block(packet[4:])) == variables


@pytest.mark.parametrize(
    "cut",
    sorted(set(range(1, 108)) - {21, 37, 51, 67, 94}),  # those are ends of variables
)
def test_a_block_cut_within_a_variable_is_refused(cut: int) -> None:
    with pytest.raises(PacketError):
        list(decode_block(MINIMAL_GET[4 : 4 + cut]))


@given(st.binary(max_size=200))
def test_any_block_is_decoded_or_refused(block: bytes) -> None:
    try:
        variables = list(decode_block(block))
    except PacketError:
        return
    assert b"".join(encode_var(key, value) for key, value in variables) == block


def test_an_empty_key_is_refused_in_both_directions() -> None:
    with pytest.raises(PacketError, match="variable of 0"):
        encode_var(b"", b"x")
    with pytest.raises(PacketError, match="empty key at byte 0"):
        list(decode_block(b"\0\0\1\0x"))


def test_the_largest_block_is_accepted() -> None:
    packet = encode([(b"K", b"v" * (MAX_BLOCK - 5))])
    assert packet[:4] == b"\0\xff\xff\0"


def test_a_block_of_one_byte_more_is_refused() -> None:
    with pytest.raises(PacketError, match="block of 65536 bytes, limit 65535"):
        encode([(b"K", b"v" * (MAX_BLOCK - 4))])
    with pytest.raises(PacketError, match="block of 65536 bytes, limit 65535"):
        encode_block(b"x" * (MAX_BLOCK + 1))


@pytest.mark.parametrize(("key", "value"), [(b"k" * 65536, b""), (b"k", b"v" * 65536)])
def test_a_length_beyond_16_bits_is_refused(key: bytes, value: bytes) -> None:
    with pytest.raises(PacketError, match="limit 65535 each"):
        encode_var(key, value)
