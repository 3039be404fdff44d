"""The WebSocket handshake."""

from __future__ import annotations

import pytest

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire.upgrade import (
    HandshakeError,
    accept_of,
    check_accept,
    is_wanted,
    read_key,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3
ASKED = {b"HTTP_UPGRADE": b"websocket", b"HTTP_CONNECTION": b"Upgrade"}
GIVEN = {b"HTTP_SEC_WEBSOCKET_KEY": KEY, b"HTTP_SEC_WEBSOCKET_VERSION": b"13"}


def test_the_key_is_answered_as_in_the_rfc() -> None:
    assert accept_of(KEY) == ACCEPT


@pytest.mark.parametrize("upgrade", [b"websocket", b"WebSocket", b"h2c, websocket"])
@pytest.mark.parametrize("connection", [b"Upgrade", b"upgrade", b"keep-alive, Upgrade"])
def test_upgrade_and_connection_ask_for_it(upgrade: bytes, connection: bytes) -> None:
    assert is_wanted(1, {b"HTTP_UPGRADE": upgrade, b"HTTP_CONNECTION": connection})


@pytest.mark.parametrize(
    ("minor", "change"),
    [
        (0, {}),
        (1, {b"HTTP_CONNECTION": b"keep-alive"}),
        (1, {b"HTTP_CONNECTION": b""}),
        (1, {b"HTTP_UPGRADE": b"h2c"}),
        (1, {b"HTTP_UPGRADE": b"websocket2"}),
        (1, {b"HTTP_UPGRADE": b""}),
    ],
)
def test_anything_less_does_not_ask_for_it(minor: int, change: dict[bytes, bytes]) -> None:
    assert not is_wanted(minor, ASKED | change)
    assert not is_wanted(1, {})


def test_a_good_handshake_gives_its_key() -> None:
    assert read_key(b"GET", GIVEN, 0) == KEY


@pytest.mark.parametrize(
    ("method", "change", "length", "status"),
    [
        (b"POST", {}, 0, 400),
        (b"GET", {}, 5, 400),
        (b"GET", {}, None, 400),
        (b"GET", {b"HTTP_SEC_WEBSOCKET_VERSION": b"8"}, 0, 426),
        (b"GET", {b"HTTP_SEC_WEBSOCKET_VERSION": b"13, 8"}, 0, 426),
        (b"GET", {b"HTTP_SEC_WEBSOCKET_VERSION": b""}, 0, 426),
        (b"GET", {b"HTTP_SEC_WEBSOCKET_KEY": b""}, 0, 400),
        (b"GET", {b"HTTP_SEC_WEBSOCKET_KEY": KEY[:-1]}, 0, 400),
        (b"GET", {b"HTTP_SEC_WEBSOCKET_KEY": KEY + b", " + KEY}, 0, 400),
        (b"GET", {b"HTTP_SEC_WEBSOCKET_KEY": b"AAAAAAAAAAAAAAAAAAAAAAAA"}, 0, 400),
        (b"GET", {b"HTTP_SEC_WEBSOCKET_KEY": b"dGhlIHNhbXBsZSBub25j*Q=="}, 0, 400),
    ],
)
def test_a_handshake_that_is_not_quite_right_is_refused(
    method: bytes, change: dict[bytes, bytes], length: int | None, status: int
) -> None:
    with pytest.raises(ClientError) as caught:
        read_key(method, GIVEN | change, length)
    assert caught.value.status == status


def test_the_right_answer_is_taken() -> None:
    check_accept(b"101 Go\r\nX: y\r\nsec-websocket-ACCEPT:  " + ACCEPT + b" \r\n", KEY)


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"Sec-WebSocket-Accept: " + ACCEPT.lower() + b"\r\n",
        b"Sec-WebSocket-Accept: " + KEY + b"\r\n",
        2 * (b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n"),
    ],
    ids=["none", "other case", "an echo", "two"],
)
def test_any_other_answer_is_not(lines: bytes) -> None:
    with pytest.raises(HandshakeError):
        check_accept(b"101 Go\r\n" + lines, KEY)
