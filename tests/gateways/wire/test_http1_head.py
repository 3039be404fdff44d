"""Heads for HTTP backends."""

from __future__ import annotations

import pytest

from uwgate.gateways.wire.cgi import pack
from uwgate.gateways.wire.http1_head import encode_head, origin_form


def head(
    *pairs: tuple[str, bytes],
    target: bytes = b"/a?b=c",
    length: int | None = 0,
    forwarded: bool = True,
) -> list[bytes]:
    block = pack((("HTTP_HOST", b"a.example"), *pairs))
    data = encode_head(b"POST", target, block, length, forwarded=forwarded)
    assert data.endswith(b"\r\n\r\n")
    return data[:-4].split(b"\r\n")


def test_a_head_has_one_host_and_one_framing() -> None:
    assert head() == [b"POST /a?b=c HTTP/1.1", b"Host: a.example", b"Connection: close"]
    assert head(length=5)[2:] == [b"Content-Length: 5", b"Connection: close"]
    assert head(("CONTENT_LENGTH", b"0"))[2] == b"Content-Length: 0"
    chunked = head(("CONTENT_LENGTH", b"5"), length=None)
    assert chunked[2:] == [b"Transfer-Encoding: chunked", b"Connection: close"]


def test_fields_are_spelled_in_one_way() -> None:
    lines = head(
        ("HTTP_X_ODD_NAME", b"1"), ("CONTENT_TYPE", b"text/plain"), ("REMOTE_ADDR", b"::1")
    )
    assert lines[2:4] == [b"X-Odd-Name: 1", b"Content-Type: text/plain"]
    assert not any(line.startswith(b"Remote") for line in lines)


def test_what_frames_or_names_the_connection_never_comes_from_a_variable() -> None:
    lines = head(
        ("HTTP_TRANSFER_ENCODING", b"chunked"),
        ("HTTP_CONTENT_LENGTH", b"7"),
        ("HTTP_CONNECTION", b"keep-alive"),
        ("HTTP_UPGRADE", b"h2c"),
    )
    assert lines[2:] == [b"Connection: close"]


def test_a_websocket_is_asked_for() -> None:
    lines = head(("HTTP_UPGRADE", b"websocket"), ("HTTP_CONNECTION", b"Upgrade"))
    assert lines[2:] == [b"Upgrade: websocket", b"Connection: Upgrade"]


def test_the_client_is_named_unless_it_is_already() -> None:
    who = (("REMOTE_ADDR", b"192.0.2.1"), ("HTTPS", b"on"))
    chain = ("HTTP_X_FORWARDED_FOR", b"203.0.113.9")
    assert head(*who, forwarded=False)[2:4] == [
        b"X-Forwarded-For: 192.0.2.1",
        b"X-Forwarded-Proto: https",
    ]
    assert head(*who, chain, forwarded=False)[2] == b"X-Forwarded-For: 203.0.113.9, 192.0.2.1"
    assert head(*who, chain)[2:4] == [b"X-Forwarded-For: 203.0.113.9", b"Connection: close"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/a/b?c", b"/a/b?c"),
        (b"*", b"*"),
        (b"http://a.example/x?y", b"/x?y"),
        (b"http://a.example", b"/"),
        (b"http://a.example?y", b"/?y"),
        (b"/a#b?c", b"/a"),
    ],
)
def test_a_target_is_sent_in_origin_form(target: bytes, expected: bytes) -> None:
    assert origin_form(target) == expected
