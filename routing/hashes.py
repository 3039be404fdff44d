"""Hash functions of 32 bits with which uWSGI chooses (spec/internal-routing.md section 6.9).

A fleet of both programs has to choose alike, so the peculiarities stay: bytes above 127
count as negative, and murmur2 takes its last bytes from the beginning of the key.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF


def djb33x(key: bytes) -> int:
    """Bernstein's hash with exclusive or."""
    value = 5381
    for byte in key:
        value = (value * 33 ^ _signed(byte)) & _MASK
    return value


def murmur2(key: bytes) -> int:
    """Appleby's second Murmur hash, with seed 0."""
    factor = 0x5BD1E995
    value = len(key) & _MASK
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * factor & _MASK
        word = (word ^ word >> 24) * factor & _MASK
        value = value * factor & _MASK ^ word
    rest = len(key) - whole
    if rest:
        for at in range(rest - 1, -1, -1):
            value ^= _signed(key[at]) << 8 * at & _MASK
        value = value * factor & _MASK
    value = (value ^ value >> 13) * factor & _MASK
    return value ^ value >> 15


def _signed(byte: int) -> int:
    return byte if byte < 128 else byte - 256 & _MASK
