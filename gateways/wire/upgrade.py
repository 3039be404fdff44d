"""The WebSocket handshake (RFC 6455 section 4): what is asked for, and what may answer it.

An ``Upgrade`` to anything else is nobody's business but the sender's own: it is never
passed on.
"""

from __future__ import annotations

import base64
import hashlib
import re

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire.http1 import tokens_of

VERSION = b"13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64


class HandshakeError(ValueError):
    """The answer to a handshake does not open a WebSocket."""


def accept_of(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def is_wanted(minor: int, fields: dict[bytes, bytes]) -> bool:
    """Whether a request, with CGI keys as field names, asks for a WebSocket.

    An Upgrade of HTTP/1.0, or one that Connection does not name, is to be ignored
    (RFC 9110 section 7.8).
    """
    upgrade = fields.get(b"HTTP_UPGRADE")
    return (
        upgrade is not None
        and minor == 1
        and b"websocket" in tokens_of(upgrade)
        and b"upgrade" in tokens_of(fields.get(b"HTTP_CONNECTION", b""))
    )


def read_key(method: bytes, fields: dict[bytes, bytes], length: int | None) -> bytes:
    """The Sec-WebSocket-Key of a request that ``is_wanted`` (section 4.2.1).

    ``fields`` are without those that Connection names; ``length`` is the body's.

    Raises:
        ClientError: the handshake is malformed (400), or of a version that is not ours (426).
    """
    if method != b"GET":
        raise ClientError(400, f"WebSocket handshake with {method.decode()}")
    if length != 0:
        raise ClientError(400, "WebSocket handshake with a body")
    version = fields.get(b"HTTP_SEC_WEBSOCKET_VERSION")
    if version != VERSION:
        raise ClientError(426, f"WebSocket version {(version or b'none')[:20]!r}")
    key = fields.get(b"HTTP_SEC_WEBSOCKET_KEY", b"")
    if _KEY.fullmatch(key) is None:
        raise ClientError(400, "malformed Sec-WebSocket-Key")
    return key


def check_accept(head: bytes, key: bytes) -> None:
    """Check that a 101 answers ``key``; ``head`` is its status and header lines.

    Raises:
        HandshakeError: it does not.
    """
    accepted: list[bytes] = []
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-accept":
            accepted.append(value.strip(b" \t"))
    if accepted != [accept_of(key)]:
        raise HandshakeError("101 without the right Sec-WebSocket-Accept")
