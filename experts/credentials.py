"""What a client sent to say who it is, and what may be wrong with it."""

from __future__ import annotations

import base64
import binascii

MAX_TOKEN = 48 << 10  # bytes; a Kerberos ticket with many groups is the longest


class Denied(Exception):
    """The credentials are not good."""


class Unreachable(Exception):
    """Whoever knows cannot be asked now."""


def read_token(token: bytes) -> bytes:
    """What base64 says.

    Raises:
        Denied: it is no base64, or too long.
    """
    if len(token) > MAX_TOKEN:
        raise Denied(f"{len(token)} bytes, limit {MAX_TOKEN}")
    try:
        return base64.b64decode(token, validate=True)
    except binascii.Error:
        raise Denied("no base64") from None


def read_basic(token: bytes) -> tuple[bytes, bytes]:
    """Name and password (RFC 7617 section 2).

    Raises:
        Denied: one of them is missing. Nobody has an empty password: to LDAP that would be
            a log-in without any (RFC 4513 section 5.1.2), which servers answer with success.
    """
    user, _, password = read_token(token).partition(b":")
    if not user or not password:
        raise Denied("no name or no password")
    if b"\0" in user or b"\0" in password:
        raise Denied("a NUL byte")
    return user, password
