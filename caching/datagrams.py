"""Changes as instances send them to each other by UDP (spec part A4.1).

    u8 111 | u16 length of what follows the 4 bytes | u8 command: 10 store, 11 remove
    10: u16 key length, key, u16 value length, value, u16 length, expires as decimal text
    11: u16 key length, key

As uWSGI's, but for one thing: behind a key that is removed stand two bytes of 0. uWSGI 2.0.31
checks lengths with two bytes too many, and never removes anything without them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MODIFIER = 111
STORE = 10
REMOVE = 11
HEAD = struct.Struct("<BHB")
LENGTH = struct.Struct("<H")
MAX_DATAGRAM = 65507  # bytes; UDP over IPv4
MAX_DIGITS = 20  # of 64 bits


class DatagramError(ValueError):
    """A datagram breaks the format. The text is one of few: it names a counter."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A value replaces what is there. ``expires`` in seconds since the epoch, 0: never."""

    key: bytes
    value: bytes
    expires: int = 0


@dataclass(frozen=True, slots=True)
class Removed:
    """An item is not there any more."""

    key: bytes


Change = Stored | Removed


def encode(change: Change) -> bytes | None:
    """The datagram; None: it would be too long for one."""
    match change:
        case Stored(key, value, expires):
            parts = (key, value, b"%d" % expires)
            if any(len(part) > 0xFFFF for part in parts):
                return None
            payload = b"".join(LENGTH.pack(len(part)) + part for part in parts)
            command = STORE
        case Removed(key):
            if len(key) > 0xFFFF:
                return None
            payload = LENGTH.pack(len(key)) + key + bytes(2)
            command = REMOVE
    if HEAD.size + len(payload) > MAX_DATAGRAM:
        return None
    return HEAD.pack(MODIFIER, len(payload), command) + payload


def decode(datagram: bytes) -> Change:
    """What a datagram says.

    Raises:
        DatagramError: it breaks the format.
    """
    if len(datagram) < HEAD.size:
        raise DatagramError("too short")
    modifier, length, command = HEAD.unpack_from(datagram)
    if modifier != MODIFIER:
        raise DatagramError("not for a cache")
    if length != len(datagram) - HEAD.size:
        raise DatagramError("wrong length")
    key, rest = _part(datagram[HEAD.size :])
    if not key:
        raise DatagramError("no key")
    if command == REMOVE:
        return Removed(key)
    if command != STORE:
        raise DatagramError("unknown command")
    value, rest = _part(rest)
    if not value:
        raise DatagramError("no value")
    text = _part(rest)[0] if rest else b""
    if len(text) > MAX_DIGITS or (text and not text.isdigit()) or int(text or b"0") >> 63:
        raise DatagramError("wrong time")
    return Stored(key, value, int(text or b"0"))


def _part(data: bytes) -> tuple[bytes, bytes]:
    if len(data) < LENGTH.size:
        raise DatagramError("cut short")
    end = LENGTH.size + LENGTH.unpack_from(data)[0]
    if end > len(data):
        raise DatagramError("cut short")
    return data[LENGTH.size : end], data[end:]
