"""FastCGI records, both ways."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateways.wire.fastcgi import END, Asked, record
from uwgate.gateways.wire.fastcgi import (
    END_REQUEST,
    MAX_ERRORS,
    STDERR,
    STDIN,
    STDOUT,
    FastCgiDecoder,
    FastCgiError,
    encode_body,
    encode_head,
    shown,
)

ANSWER = record(STDOUT, b"A: b\r\n\r\nhello") + record(STDOUT, b"") + END
SHORT = st.binary(max_size=300)


def feed(data: bytes) -> tuple[FastCgiDecoder, bytes]:
    decoder = FastCgiDecoder()
    return decoder, decoder.feed(data)


def test_a_request_stands_in_records_byte_by_byte() -> None:
    assert encode_head([(b"A", b"bc")]) == (
        b"\1\1\0\1\0\x08\0\0" + b"\0\1\0\0\0\0\0\0" + b"\1\4\0\1\0\5\0\0" + b"\1\2Abc"
        b"\1\4\0\1\0\0\0\0"
    )
    assert encode_body(b"xy") == b"\1\5\0\1\0\2\0\0xy"
    assert encode_body(b"") == b"\1\5\0\1\0\0\0\0"


def test_long_values_have_lengths_of_four_bytes() -> None:
    head = encode_head([(b"A", b"x" * 128)])
    assert b"\1\x80\0\0\x80A" + b"x" * 128 in head


@given(st.dictionaries(SHORT.filter(bool), SHORT, max_size=20), st.lists(SHORT.filter(bool)))
def test_what_is_said_is_understood(variables: dict[bytes, bytes], body: list[bytes]) -> None:
    asked = Asked.read(
        encode_head(variables.items()) + b"".join(map(encode_body, body)) + encode_body(b"")
    )
    assert asked is not None
    assert asked.variables == variables
    assert asked.body == b"".join(body)


def test_what_is_too_long_for_a_record_is_in_several() -> None:
    data = bytes(range(256)) * 600
    encoded = encode_body(data)
    sizes = []
    while encoded:
        kind, size = struct.unpack_from("!xBxxH", encoded)
        assert kind == STDIN
        sizes.append(size)
        encoded = encoded[8 + size :]
    assert sizes == [65535, 65535, len(data) - 2 * 65535]
    asked = Asked.read(encode_head([(b"A", b"x" * 70000)]) + encode_body(data) + encode_body(b""))
    assert asked is not None
    assert (asked.variables[b"A"], asked.body) == (b"x" * 70000, data)


def test_an_answer_is_taken_out_of_its_records() -> None:
    decoder, found = feed(ANSWER)
    assert (found, decoder.done, decoder.errors) == (b"A: b\r\n\r\nhello", True, b"")


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_an_answer_may_come_in_pieces_and_is_not_done_before_its_end(cut: int) -> None:
    decoder, first = feed(ANSWER[:cut])
    assert not decoder.done
    assert first + decoder.feed(ANSWER[cut:]) == b"A: b\r\n\r\nhello"
    assert decoder.done


def test_padding_and_what_a_backend_says_of_itself_are_passed_over() -> None:
    padded = struct.pack("!BBHHBx", 1, STDOUT, 1, 2, 6) + b"hi" + b"\xff" * 6
    about = struct.pack("!BBHHBx", 1, 10, 0, 3, 0) + b"xyz"
    decoder, found = feed(about + padded + END + b"more")
    assert (found, decoder.done) == (b"hi", True)
    assert decoder.feed(b"nonsense") == b""


def test_errors_are_kept_apart_and_not_without_end() -> None:
    decoder, found = feed(record(STDERR, b"oh no\n") + record(STDOUT, b"hi"))
    assert (found, decoder.errors) == (b"hi", b"oh no\n")
    decoder.feed(record(STDERR, b"x" * 65535) * 3)
    assert len(decoder.errors) == MAX_ERRORS
    assert shown(b"a\n\x1b[31mb\xff\n") == "a\\n\\x1b[31mb\\xff"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "version 72"),
        (struct.pack("!BBHHBx", 1, STDOUT, 2, 0, 0), "request 2"),
        (record(STDIN, b"x"), "type 5"),
        (record(99, b""), "type 99"),
        (record(STDOUT, b"") + record(STDOUT, b"x"), "behind its end"),
        (record(END_REQUEST, b"\0\0"), "2 bytes"),
        (record(END_REQUEST, b"\0\0\0\0\2\0\0\0"), "overloaded"),
        (record(END_REQUEST, b"\0\0\0\0\x09\0\0\0"), "status 9"),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FastCgiError, match=reason):
        feed(data)


@given(st.binary(max_size=400))
def test_nonsense_is_refused_or_waited_for(data: bytes) -> None:
    decoder = FastCgiDecoder()
    with contextlib.suppress(FastCgiError):
        assert len(decoder.feed(data)) <= len(data)
