"""What a pattern says, as a tree; sets of bytes are numbers with one bit per byte.

Flags are gone in the tree: a letter under ``(?i)`` is a set of two bytes, a dot is the set of
bytes that it stands for.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

ALL = (1 << 256) - 1


class Anchor(enum.Enum):
    """A place between two bytes."""

    START = "the start"
    END = "the end, or before a newline there"
    VERY_END = "the very end"
    LINE_START = "the start of a line"
    LINE_END = "the end of a line"
    BOUNDARY = "an edge of a word"
    NO_BOUNDARY = "no edge of a word"


class Greed(enum.Enum):
    """How often a repeat tries to match first, and whether it may try otherwise."""

    GREEDY = ""
    LAZY = "?"
    POSSESSIVE = "+"


@dataclass(frozen=True, slots=True)
class Chars:
    """One byte of a set."""

    mask: int

    @property
    def single(self) -> int | None:
        """The byte, if the set has just one."""
        mask = self.mask
        return mask.bit_length() - 1 if mask and not mask & (mask - 1) else None

    def members(self) -> list[int]:
        """The bytes of the set, in order."""
        return [byte for byte in range(256) if self.mask >> byte & 1]


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other; without items, nothing at all."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The first branch that leads to a match."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``maximum`` None: any number of times."""

    item: Node
    minimum: int
    maximum: int | None
    greed: Greed


@dataclass(frozen=True, slots=True)
class Group:
    """What ``$number`` stands for."""

    item: Node
    number: int


@dataclass(frozen=True, slots=True)
class Atomic:
    """Matches once, and never tries otherwise."""

    item: Node


@dataclass(frozen=True, slots=True)
class Look:
    """Matches nothing, but wants (or, negated, forbids) something ahead or behind."""

    item: Node
    ahead: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """Matches nothing, at a certain place only."""

    anchor: Anchor


@dataclass(frozen=True, slots=True)
class Reference:
    """The text of a group again."""

    number: int


Node = Chars | Sequence | Choice | Repeat | Group | Atomic | Look | Edge | Reference

EMPTY = Sequence(())


@dataclass(frozen=True, slots=True)
class Parsed:
    """A pattern: its tree, and how many groups it has."""

    source: bytes
    node: Node
    groups: int


def mask_of(members: bytes) -> int:
    """The set of these bytes."""
    mask = 0
    for byte in members:
        mask |= 1 << byte
    return mask


def span(first: int, last: int) -> int:
    """The set of the bytes from ``first`` to ``last``."""
    return ((1 << (last - first + 1)) - 1) << first


def fold(mask: int) -> int:
    """The set with both cases of its ASCII letters."""
    upper = mask & _UPPER
    lower = mask & _LOWER
    return mask | upper << 32 | lower >> 32


_UPPER = span(ord("A"), ord("Z"))
_LOWER = span(ord("a"), ord("z"))
DIGITS = span(ord("0"), ord("9"))
WORD = DIGITS | _UPPER | _LOWER | mask_of(b"_")
SPACE = mask_of(b" \t\n\r\f\v")
HORIZONTAL = mask_of(b" \t\xa0")
VERTICAL = mask_of(b"\n\v\f\r\x85")
NEWLINE = mask_of(b"\n")

POSIX: dict[bytes, int] = {
    b"alpha": _UPPER | _LOWER,
    b"digit": DIGITS,
    b"alnum": _UPPER | _LOWER | DIGITS,
    b"upper": _UPPER,
    b"lower": _LOWER,
    b"space": SPACE,
    b"blank": mask_of(b" \t"),
    b"punct": mask_of(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    b"xdigit": DIGITS | mask_of(b"abcdefABCDEF"),
    b"word": WORD,
    b"print": span(32, 126),
    b"graph": span(33, 126),
    b"cntrl": span(0, 31) | 1 << 127,
    b"ascii": span(0, 127),
}
