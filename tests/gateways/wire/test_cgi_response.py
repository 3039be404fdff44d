"""Heads of answers in CGI."""

from __future__ import annotations

import pytest

from uwgate.gateways.wire import lease
from uwgate.gateways.wire.cgi_response import cgi_variables, read_cgi
from uwgate.gateways.wire.response import MAX_HEAD, ResponseError


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Status: 404 Not Found\r\nA: b", b"404 Not Found\r\nA: b\r\n"),
        (b"A: b\r\nstatus:404", b"404 \r\nA: b\r\n"),
        (b"A: b\nC: d", b"200 OK\r\nA: b\r\nC: d\r\n"),
        (b"Location: /x", b"302 Found\r\nLocation: /x\r\n"),
        (b"Location: /x\r\nStatus: 201 Made", b"201 Made\r\nLocation: /x\r\n"),
        (b"HTTP/1.0 203 Fine\r\nA: b", b"203 Fine\r\nA: b\r\n"),
        (b"A: b\r\nConnection: close, X-Y\r\nX-Y: 1", b"200 OK\r\nA: b\r\n"),
    ],
)
@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n"])
def test_a_head_gives_status_and_fields(head: bytes, expected: bytes, end: bytes) -> None:
    found = read_cgi(head + end + b"\n\nbody", b"GET")
    assert found is not None
    parsed, rest = found
    assert (parsed.head, rest) == (expected, b"\n\nbody")


def test_a_head_without_its_end_asks_for_more() -> None:
    data = b"A: b\r\nContent-Length: 5\r\n\r\n"
    assert [read_cgi(data[:cut], b"GET") for cut in range(len(data))] == [None] * len(data)


def test_a_length_is_known_and_an_answer_to_head_has_no_body() -> None:
    found = read_cgi(b"Content-Length: 5\r\n\r\n", b"GET")
    assert found is not None
    assert found[0].length == 5
    found = read_cgi(b"Content-Length: 5\r\n\r\n", b"HEAD")
    assert found is not None
    assert found[0].flags & lease.NO_BODY


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"hello",
        b"A: b\rC: d",
        b"A : b",
        b" A: b",
        b"A: b\r\n folded",
        b"Status: fine",
        b"Status: 2000",
        b"Status: 099 x",
        b"Status: 200 \x00",
        b"Status: 200 OK\r\nStatus: 200 OK",
        b"HTTP/1.1 200 OK\r\nStatus: 404 Not Found",
        b"HTTP/9 200 OK",
        b"Status: 100 Continue",
        b"Status: 101 Switching Protocols",
        b"A: b\r\nContent-Length: 1\r\nContent-Length: 2",
        b"A: b\r\nContent-Length: -1",
        b"A: b\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
    ],
)
def test_what_is_no_head_is_refused(head: bytes) -> None:
    with pytest.raises(ResponseError):
        read_cgi(head + b"\r\n\r\n", b"GET")


def test_a_head_without_end_is_refused() -> None:
    with pytest.raises(ResponseError, match="more than"):
        read_cgi(b"A: " + b"x" * MAX_HEAD, b"GET")


def test_a_program_learns_its_interface_and_no_proxy_of_the_client() -> None:
    given = [(b"A", b"b"), (b"HTTP_PROXY", b"evil"), (b"GATEWAY_INTERFACE", b"x")]
    assert list(cgi_variables(given)) == [(b"GATEWAY_INTERFACE", b"CGI/1.1"), (b"A", b"b")]
