"""How an item is kept: its place, its record, and numbers as uWSGI has them.

A record is a head, the key if its place does not tell it, and the value. Nothing here knows
where records are kept.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import NamedTuple

HEAD = struct.Struct("<BxHIQ")  # flags, bytes of the key that follows, checksum, expires
CHECKED = 1  # the checksum counts
NUMBER = struct.Struct("<q")  # what cache_inc and its like keep; little-endian as on the wire
MAX_PLAIN_KEY = 480  # bytes; lmdb's keys have 511, and the index by time puts 8 before it
STAMP = struct.Struct(">Q")  # sorts by number


class Item(NamedTuple):
    """What a cache holds. ``expires`` is in seconds since the epoch, 0: never."""

    value: bytes
    expires: int = 0


class DamagedError(ValueError):
    """A record is not what was written."""


def place_of(key: bytes) -> bytes:
    """Where the record of a key is kept. Two keys may share a place only by a broken BLAKE2."""
    if len(key) <= MAX_PLAIN_KEY:
        return b"=" + key
    return b"#" + hashlib.blake2b(key, digest_size=32).digest()


def encode(place: bytes, key: bytes, value: bytes, expires: int, *, checked: bool) -> bytes:
    """The record."""
    own = b"" if place[:1] == b"=" else key
    checksum = _checksum(key, value, expires) if checked else 0
    head = HEAD.pack(CHECKED if checked else 0, len(own), checksum, expires)
    return b"%b%b%b" % (head, own, value)


def expires_of(record: bytes | memoryview) -> int:
    """When the item of a record is over.

    Raises:
        DamagedError: this is no record.
    """
    try:
        expires: int = HEAD.unpack_from(record)[3]
    except struct.error:
        raise DamagedError(f"record of {len(record)} bytes") from None
    return expires


def value_size(record: bytes | memoryview) -> int:
    """Bytes of the value.

    Raises:
        DamagedError: this is no record.
    """
    if len(record) < HEAD.size:
        raise DamagedError(f"record of {len(record)} bytes")
    return len(record) - HEAD.size - int.from_bytes(record[2:4], "little")


def key_of(place: bytes | memoryview, record: bytes | memoryview) -> bytes:
    """The key of an item.

    Raises:
        DamagedError: this is no record.
    """
    if place[:1] == b"=":
        return bytes(place[1:])
    try:
        _, size, _, _ = HEAD.unpack_from(record)
    except struct.error:
        raise DamagedError(f"record of {len(record)} bytes") from None
    return bytes(record[HEAD.size : HEAD.size + size])


def decode(key: bytes, record: bytes | memoryview) -> Item:
    """The item of a key.

    Raises:
        DamagedError: the record is damaged, or that of another key.
    """
    try:
        flags, size, checksum, expires = HEAD.unpack_from(record)
    except struct.error:
        raise DamagedError(f"record of {len(record)} bytes") from None
    start = HEAD.size
    if size:
        start += size
        if record[HEAD.size : start] != key:
            raise DamagedError("record of another key")
    value = bytes(record[start:])
    if flags & CHECKED and checksum != _checksum(key, value, expires):
        raise DamagedError("checksum")
    return Item(value, expires)


def _checksum(key: bytes, value: bytes, expires: int) -> int:
    return zlib.crc32(value, zlib.crc32(key, expires & 0xFFFFFFFF))
