"""A whole cache as uWSGI sends it and keeps it in a file (spec part A4.2 command 6, and A7).

    items x (11 u64: flags, key size, hash, value size, first block, expires, hits,
             previous, next of the same hash, previous, next by use; key, padded to keysize)
    blocks x blocksize bytes

Item 0 is not used. Everything is little-endian, as on the machines that this was seen on.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from uwgate.caching.datagrams import Stored
from uwgate.conf.caches import CacheSpec
from uwgate.gateways.wire.uwsgi import HEADER, PacketError, decode_block, encode, encode_block
from uwgate.routing.hashes import djb33x, murmur2

MODIFIER = 111
QUESTION, ANSWER = 6, 7  # modifier2
ITEM = struct.Struct("<11Q")
MAX_RECORD = 1 << 17  # bytes; keys have less than 64 KiB


class DumpError(ValueError):
    """This is no dump of such a cache."""


class Shape(NamedTuple):
    """What the other side says of its cache."""

    items: int
    blocksize: int


def encode_question(cache: str) -> bytes:
    """Ask for all of a cache; an empty name is the default one."""
    return encode_block(cache.encode(), MODIFIER, QUESTION)


def encode_shape(spec: CacheSpec) -> bytes:
    """What precedes a dump."""
    shape = [(b"items", b"%d" % spec.items), (b"blocksize", b"%d" % spec.blocksize)]
    return encode(shape, MODIFIER, ANSWER)


def decode_shape(head: bytes, block: bytes) -> Shape:
    """What precedes a dump.

    Raises:
        DumpError: it is something else.
    """
    modifier1, _, modifier2 = HEADER.unpack(head)
    try:
        variables = dict(decode_block(block))
        if (modifier1, modifier2) == (MODIFIER, ANSWER):
            return Shape(int(variables[b"items"]), int(variables[b"blocksize"]))
    except (PacketError, KeyError, ValueError):
        pass
    raise DumpError("this is no dump of a cache")


def check_shape(spec: CacheSpec, shape: Shape) -> None:
    """A dump can only be read by who has the same sizes.

    Raises:
        DumpError: they are others.
    """
    if shape != (spec.items, spec.blocksize):
        raise DumpError(
            f"it has items={shape.items} and blocksize={shape.blocksize}, here they are"
            f" {spec.items} and {spec.blocksize}"
        )


def size_of(spec: CacheSpec) -> int:
    """Bytes of a dump."""
    return spec.items * (ITEM.size + spec.keysize) + spec.room * spec.blocksize


def read(fd: int, spec: CacheSpec) -> Iterator[Stored]:
    """The items of a dump in a file.

    Raises:
        DumpError: sizes in it cannot be right.
        OSError: it cannot be read.
    """
    record = ITEM.size + spec.keysize
    data = spec.items * record
    for number in range(1, spec.items):
        raw = os.pread(fd, record, number * record)
        if len(raw) != record:
            raise DumpError("cut short")
        _, key_size, _, size, first, expires, *_ = ITEM.unpack_from(raw)
        if not key_size:
            continue
        start = first * spec.blocksize
        if key_size > spec.keysize or size > spec.longest:
            raise DumpError(f"item {number} is too long")
        if start + size > spec.room * spec.blocksize:
            raise DumpError(f"item {number} lies outside")
        value = os.pread(fd, size, data + start)
        if len(value) != size:
            raise DumpError("cut short")
        if size:
            # With purge_lru uWSGI keeps the number of seconds, and nobody knows since when.
            until = 0 if spec.purge_lru or expires >> 63 else expires
            yield Stored(raw[ITEM.size : ITEM.size + key_size], value, until)


def write(fd: int, spec: CacheSpec, items: Iterable[Stored]) -> None:
    """Write a dump into an empty file; what has no room in it is left out.

    Raises:
        OSError: it cannot be written.
    """
    record = ITEM.size + spec.keysize
    data = spec.items * record
    hash_of = murmur2 if spec.hash == "murmur2" else djb33x
    last: dict[int, tuple[int, list[int]]] = {}  # by place in uWSGI's table: the end of its chain
    fields: dict[int, tuple[list[int], bytes]] = {}
    block = 0 if spec.bitmap else 1
    for number, (key, value, expires) in enumerate(
        ((one.key, one.value, one.expires) for one in items), start=1
    ):
        blocks = -(-len(value) // spec.blocksize) if spec.bitmap else 1
        if number >= spec.items or block + blocks > spec.room:
            break
        hashed = hash_of(key)
        row = [0, len(key), hashed, len(value), block, expires, 0, 0, 0, 0, 0]
        place = hashed % spec.hashsize
        if place in last:
            before, its_row = last[place]
            its_row[8], row[7] = number, before
        last[place] = number, row
        fields[number] = row, key
        os.pwrite(fd, value, data + block * spec.blocksize)
        block += blocks
    for number, (row, key) in fields.items():
        os.pwrite(fd, ITEM.pack(*row) + key, number * record)
    os.ftruncate(fd, size_of(spec))
