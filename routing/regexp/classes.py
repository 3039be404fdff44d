"""Classes in brackets, and escapes that stand for one byte."""

from __future__ import annotations

import re

from uwgate.routing.regexp.reading import PatternError, Reading
from uwgate.routing.regexp.tree import (
    ALL,
    DIGITS,
    HORIZONTAL,
    POSIX,
    SPACE,
    VERTICAL,
    WORD,
    fold,
    span,
)

ESCAPED_SETS: dict[bytes, int] = {
    b"d": DIGITS,
    b"D": ALL & ~DIGITS,
    b"w": WORD,
    b"W": ALL & ~WORD,
    b"s": SPACE,
    b"S": ALL & ~SPACE,
    b"h": HORIZONTAL,
    b"H": ALL & ~HORIZONTAL,
    b"v": VERTICAL,
    b"V": ALL & ~VERTICAL,
}

_POSIX_CLASS = re.compile(rb"\[:(\^?)([a-z]+):\]")
_HEX = re.compile(rb"\\x(?:\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{0,2}))")
_OCTAL = re.compile(rb"\\(?:o\{([0-7]+)\}|([0-7]{1,3}))")
_NAMED_BYTES = {b"a": 7, b"e": 27, b"f": 12, b"n": 10, b"r": 13, b"t": 9}


class ByteEscape:
    """A backslash and what follows, where it stands for one byte."""

    @staticmethod
    def read(reading: Reading) -> int:
        """The byte.

        Raises:
            PatternError: no such escape.
        """
        start = reading.position
        if match := reading.match(_HEX):
            return _byte(int(match[1] or match[2] or b"0", 16), start)
        if match := reading.match(_OCTAL):
            return _byte(int(match[1] or match[2], 8), start)
        reading.take(b"\\")
        letter = bytes([reading.byte()])
        if letter in _NAMED_BYTES:
            return _NAMED_BYTES[letter]
        if letter == b"c":
            following = reading.byte()
            if not 32 <= following < 127:
                raise PatternError("\\c wants a printable letter", start)
            return bytes([following]).upper()[0] ^ 64
        if letter.isalnum():
            raise PatternError(f"\\{letter.decode()} is not understood", start)
        return letter[0]


def _byte(value: int, position: int) -> int:
    if value > 255:
        raise PatternError(f"{value:#x} is more than one byte", position)
    return value


def read_class(reading: Reading, *, ignore_case: bool) -> int:
    """The set of bytes that the brackets at the position stand for.

    Raises:
        PatternError: they are broken.
    """
    start = reading.position
    reading.take(b"[")
    negated = reading.take(b"^")
    mask = 0
    first = True
    while first or not reading.at(b"]"):
        if reading.done:
            raise PatternError("a [ without its ]", start)
        if reading.take(b"\\E"):
            continue
        low = _member(reading)
        first = False
        if low.wide or not _range_follows(reading):
            mask |= low.mask
            continue
        position = reading.position
        reading.take(b"-")
        high = _member(reading)
        if high.wide:  # [a-\d]: the hyphen is itself
            mask |= low.mask | 1 << ord("-") | high.mask
            continue
        if high.byte < low.byte:
            raise PatternError("a range in the wrong order", position)
        mask |= span(low.byte, high.byte)
    reading.take(b"]")
    if not mask and not negated:
        raise PatternError("an empty class", start)
    if ignore_case:
        mask = fold(mask)
    return ALL & ~mask if negated else mask


class _Member:
    """One thing in brackets: a byte, or (``wide``) a set."""

    __slots__ = ("mask", "wide")

    def __init__(self, mask: int, wide: bool) -> None:
        self.mask = mask
        self.wide = wide

    @property
    def byte(self) -> int:
        return self.mask.bit_length() - 1


def _member(reading: Reading) -> _Member:
    start = reading.position
    if match := reading.match(_POSIX_CLASS):
        if match[2] not in POSIX:
            raise PatternError(f"no class named {match[2].decode()}", start)
        mask = POSIX[match[2]]
        return _Member(ALL & ~mask if match[1] else mask, True)
    if reading.at(b"[.") or reading.at(b"[="):
        raise PatternError("collating elements are not understood", start)
    if not reading.at(b"\\"):
        return _Member(1 << reading.byte(), False)
    letter = reading.text[start + 1 : start + 2]
    if letter in ESCAPED_SETS:
        reading.position += 2
        return _Member(ESCAPED_SETS[letter], True)
    if letter == b"b":
        reading.position += 2
        return _Member(1 << 8, False)
    if letter in (b"Q", b"p", b"P", b"X", b"R", b"N", b"B"):
        raise PatternError(f"\\{letter.decode()} in a class is not understood", start)
    return _Member(1 << ByteEscape.read(reading), False)


def _range_follows(reading: Reading) -> bool:
    return reading.at(b"-") and not reading.at(b"-]")
