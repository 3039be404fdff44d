"""Answers of plain uwsgi backends (gateways/wire/response.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire.lease import DATE, ENCODING, HEAD, LENGTH, NAMES_FILE, NO_BODY, SERVER
from uwgate.gateways.wire.response import ResponseError, ResponseHead, parse_response


def parse(*lines: bytes, method: bytes = b"GET") -> ResponseHead:
    return parse_response(b"\r\n".join(lines), method)


def kept(*lines: bytes) -> list[bytes]:
    """The header lines that are passed on."""
    return parse(b"HTTP/1.1 200 OK", *lines).head.split(b"\r\n")[1:-1]


def test_a_plain_answer_is_passed_on_in_the_form_of_a_lease() -> None:
    assert parse(b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"X:1") == ResponseHead(
        200, b"200 OK\r\nContent-Type: text/plain\r\nX:1\r\n", HEAD, None, False
    )


@pytest.mark.parametrize(
    ("line", "start"),
    [
        (b"HTTP/1.0 200 OK", b"200 OK"),
        (b"HTTP/1.1 404 Not Found", b"404 Not Found"),
        (b"Status: 404 Not Found", b"404 Not Found"),
        (b"status: 200 OK", b"200 OK"),
        (b"HTTP/1.1 200 ", b"200 "),
        (b"HTTP/1.1 200", b"200 "),
        (b"HTTP/2.0 200 OK", b"200 OK"),
        (b"HTTP/1.1 299 caf\xc3\xa9", b"299 caf\xc3\xa9"),
        (b"HTTP/1.1 999 x", b"999 x"),
    ],
)
def test_a_status_line_is_read(line: bytes, start: bytes) -> None:
    assert parse(line).head == start + b"\r\n"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"200 OK",
        b"HTTP/3.0 200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 abc OK",
        b"HTTP/1.1 200 a\0b",
        b"HTTP/1.1 200 a\rb",
        b"HTTP/1.1 200 a\nX: b",
        b"http/1.1 200 OK",
        b"Content-Type: text/plain",
        b"<html>",
    ],
)
def test_a_malformed_status_line_is_refused(line: bytes) -> None:
    with pytest.raises(ResponseError, match="status line"):
        parse(line)


@pytest.mark.parametrize(
    "line",
    [
        b"X",
        b": x",
        b"X : y",
        b" folded",
        b"\tfolded",
        b"X: a\0",
        b"X: a\nY: b",
        b"X: \x7f",
        b"",
    ],
)
def test_a_malformed_header_line_is_refused(line: bytes) -> None:
    with pytest.raises(ResponseError, match="header line"):
        parse(b"HTTP/1.1 200 OK", b"A: b", line, b"C: d")


def test_a_content_length_is_read_and_kept() -> None:
    head = parse(b"HTTP/1.1 200 OK", b"content-length: 12 ")
    assert (head.length, head.flags, head.chunked) == (12, HEAD | LENGTH, False)
    assert head.head == b"200 OK\r\ncontent-length: 12 \r\n"


def test_equal_content_lengths_become_one() -> None:
    assert kept(b"Content-Length: 3", b"X: y", b"Content-Length: 3") == [
        b"Content-Length: 3",
        b"X: y",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 3", b"Content-Length: 4"],
        [b"Content-Length: 3, 3"],
        [b"Content-Length: -3"],
        [b"Content-Length: x"],
        [b"Content-Length:"],
        [b"Content-Length: " + b"9" * 19],
    ],
)
def test_a_doubtful_content_length_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(ResponseError, match="Content-Length"):
        parse(b"HTTP/1.1 200 OK", *lines)


def test_a_chunked_answer_is_noticed_and_its_field_taken_away() -> None:
    head = parse(b"HTTP/1.1 200 OK", b"Transfer-Encoding: Chunked")
    assert (head.chunked, head.length, head.head) == (True, None, b"200 OK\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        [b"Transfer-Encoding: gzip"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 3"],
        [b"Content-Length: 3", b"Transfer-Encoding: chunked"],
    ],
)
def test_a_doubtful_transfer_encoding_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(ResponseError, match="Transfer-Encoding"):
        parse(b"HTTP/1.1 200 OK", *lines)


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"TE",
        b"Trailer",
        b"Upgrade",
    ],
)
def test_hop_by_hop_fields_are_removed(name: bytes) -> None:
    assert kept(name + b": x", b"A: b") == [b"A: b"]


def test_fields_that_connection_names_are_removed() -> None:
    assert kept(b"Connection: X-A, x-b", b"x-a: 1", b"X-B: 2", b"X-C: 3") == [b"X-C: 3"]


@pytest.mark.parametrize(
    "line",
    [b"Content-Length: 3", b"Content-Type: a/b", b"Content-Encoding: gzip", b"Set-Cookie: a"],
)
def test_connection_cannot_take_away_what_describes_the_body(line: bytes) -> None:
    name = line.partition(b":")[0]
    assert kept(b"Connection: " + name, line) == [line]


def test_repeated_fields_stay_apart() -> None:
    cookies = [b"Set-Cookie: a=1", b"Set-Cookie: b=2"]
    assert kept(*cookies) == cookies


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        (b"Date: x", DATE),
        (b"SERVER: x", SERVER),
        (b"uWSGI-Encoding: gzip", ENCODING),
        (b"X-Sendfile: /x", NAMES_FILE),
        (b"x-accel-redirect: /x", NAMES_FILE),
    ],
)
def test_fields_that_we_may_have_to_touch_are_noticed(line: bytes, flag: int) -> None:
    assert parse(b"HTTP/1.1 200 OK", line).flags == HEAD | flag


@pytest.mark.parametrize("status", [b"100", b"103", b"204", b"304"])
def test_some_statuses_have_no_body(status: bytes) -> None:
    head = parse(b"HTTP/1.1 " + status + b" x")
    assert (head.flags, head.length) == (HEAD | NO_BODY, 0)


def test_an_answer_to_head_has_no_body_and_keeps_its_length() -> None:
    head = parse(b"HTTP/1.1 200 OK", b"Content-Length: 9", method=b"HEAD")
    assert (head.flags, head.length) == (HEAD | LENGTH | NO_BODY, 0)
    assert head.head == b"200 OK\r\nContent-Length: 9\r\n"


def test_a_304_keeps_its_length_and_a_204_must_not_have_one() -> None:
    assert b"Content-Length" in parse(b"HTTP/1.1 304 x", b"Content-Length: 9").head
    head = parse(b"HTTP/1.1 204 x", b"Content-Length: 9")
    assert (head.head, head.flags) == (b"204 x\r\n", HEAD | NO_BODY)


@given(st.binary(max_size=200))
def test_whatever_is_accepted_has_no_control_characters(noise: bytes) -> None:
    try:
        head = parse_response(b"HTTP/1.1 200 OK\r\n" + noise, b"GET").head
    except ResponseError:
        return
    assert head.endswith(b"\r\n")
    assert not {*range(9), *range(11, 13), *range(14, 32), 127} & set(head)
    assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")
