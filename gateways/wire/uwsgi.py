"""uwsgi packets: a 4-byte header and a block of variables (spec/uwsgi-protocol.md 1 to 3)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

HEADER = struct.Struct("<BHB")  # modifier1, datasize, modifier2
LENGTH = struct.Struct("<H")
MAX_BLOCK = 0xFFFF  # bytes; datasize is 16 bits

PING = HEADER.pack(100, 0, 0)
PONG = HEADER.pack(100, 0, 1)


class PacketError(ValueError):
    """A packet breaks the format, or does not fit into it."""


def encode_var(key: bytes, value: bytes) -> bytes:
    """One variable as it stands in a block.

    Raises:
        PacketError: the key is empty, or a length does not fit into 16 bits.
    """
    if not key or len(key) > MAX_BLOCK or len(value) > MAX_BLOCK:
        raise PacketError(f"variable of {len(key)} + {len(value)} bytes, limit {MAX_BLOCK} each")
    return b"%b%b%b%b" % (LENGTH.pack(len(key)), key, LENGTH.pack(len(value)), value)


def encode(
    variables: Iterable[tuple[bytes, bytes]], modifier1: int = 0, modifier2: int = 0
) -> bytes:
    """A whole packet.

    Raises:
        PacketError: a variable is malformed, or the block is larger than ``MAX_BLOCK``.
    """
    block = b"".join(encode_var(key, value) for key, value in variables)
    return encode_block(block, modifier1, modifier2)


def encode_block(block: bytes, modifier1: int = 0, modifier2: int = 0) -> bytes:
    """A packet around a block that is encoded already.

    Raises:
        PacketError: the block is larger than ``MAX_BLOCK``.
    """
    if len(block) > MAX_BLOCK:
        raise PacketError(f"block of {len(block)} bytes, limit {MAX_BLOCK}")
    return HEADER.pack(modifier1, len(block), modifier2) + block


def decode_block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The variables of a block, in order, duplicates included.

    Raises:
        PacketError: a key is empty, or a length runs past the end of the block.
    """
    position = 0
    end = len(block)
    while position < end:
        if position + 2 > end:
            raise PacketError(f"key length cut short at byte {position}")
        key_end = position + 2 + block[position] + (block[position + 1] << 8)
        if key_end == position + 2:
            raise PacketError(f"empty key at byte {position}")
        if key_end + 2 > end:
            raise PacketError(f"variable at byte {position} runs past the block")
        value_end = key_end + 2 + block[key_end] + (block[key_end + 1] << 8)
        if value_end > end:
            raise PacketError(f"variable at byte {position} runs past the block")
        yield block[position + 2 : key_end], block[key_end + 2 : value_end]
        position = value_end
