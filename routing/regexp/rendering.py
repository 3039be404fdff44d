"""Writes a tree as a pattern for Python's ``re`` or for RE2.

Both get bytes, plain numbered groups, and sets instead of flags.
"""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.routing.regexp.analysis import first
from uwgate.routing.regexp.tree import (
    ALL,
    NEWLINE,
    Anchor,
    Atomic,
    Chars,
    Choice,
    Edge,
    Greed,
    Group,
    Look,
    Node,
    Reference,
    Repeat,
    Sequence,
)

_SPECIAL = frozenset(b".^$*+?{}[]\\|()-&~# \t\n\r\v\f/")
_ANY_BUT_NEWLINE = ALL & ~NEWLINE


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a library writes what the two write differently."""

    edges: dict[Anchor, bytes]
    everything: bytes


PYTHON = Dialect(
    edges={
        Anchor.START: rb"\A",
        Anchor.END: rb"(?:$)",  # as PCRE: before a newline at the end, too
        Anchor.VERY_END: rb"\Z",
        Anchor.LINE_START: rb"(?m:^)",
        Anchor.LINE_END: rb"(?m:$)",
        Anchor.BOUNDARY: rb"\b",
        Anchor.NO_BOUNDARY: rb"(?:\B|\A\Z)",  # before Python 3.14 not in an empty text
    },
    everything=rb"(?s:.)",
)
RE2 = Dialect(
    edges={
        Anchor.START: rb"\A",
        Anchor.END: rb"\z",  # exact for subjects that do not end with a newline
        Anchor.VERY_END: rb"\z",
        Anchor.LINE_START: rb"(?m:^)",
        Anchor.LINE_END: rb"(?m:$)",
        Anchor.BOUNDARY: rb"\b",
        Anchor.NO_BOUNDARY: rb"\B",
    },
    everything=rb"(?s:.)",
)


class NotRenderedError(Exception):
    """The dialect has no words for something in the tree."""


def render(node: Node, dialect: Dialect) -> bytes:
    """The pattern as text.

    Raises:
        NotRenderedError: the dialect cannot say it.
    """
    match node:
        case Chars():
            return _chars(node, dialect)
        case Sequence(items):
            return b"".join(render(item, dialect) for item in items)
        case Choice(branches):
            return b"(?:" + b"|".join(render(branch, dialect) for branch in branches) + b")"
        case Group(item):
            return b"(" + render(item, dialect) + b")"
        case Repeat():
            return _repeat(node, dialect)
        case Edge(anchor):
            if anchor not in dialect.edges:
                raise NotRenderedError(anchor.value)
            return dialect.edges[anchor]
        case Atomic(item):
            _python_only(dialect, "atomic groups")
            return b"(?>" + render(item, dialect) + b")"
        case Look(item, ahead, negated):
            _python_only(dialect, "looking ahead and behind")
            opening = b"(?" + (b"" if ahead else b"<") + (b"!" if negated else b"=")
            return opening + render(item, dialect) + b")"
        case Reference(number):
            _python_only(dialect, "references to groups")
            return b"(?:\\%d)" % number


def _python_only(dialect: Dialect, what: str) -> None:
    if dialect is not PYTHON:
        raise NotRenderedError(what)


def _repeat(node: Repeat, dialect: Dialect) -> bytes:
    if node.greed is Greed.POSSESSIVE:
        _python_only(dialect, "possessive repeats")
    if node.maximum is None and first(node.item)[1]:
        # RE2 has another opinion than PCRE about what groups hold behind an empty round.
        _python_only(dialect, "repeats of what may be empty")
    item = render(node.item, dialect)
    if not isinstance(node.item, Chars | Group):
        item = b"(?:" + item + b")"
    match node.minimum, node.maximum:
        case 0, None:
            count = b"*"
        case 1, None:
            count = b"+"
        case 0, 1:
            count = b"?"
        case minimum, None:
            count = b"{%d,}" % minimum
        case minimum, maximum:
            count = b"{%d,%d}" % (minimum, maximum)
    return item + count + node.greed.value.encode()


def _chars(node: Chars, dialect: Dialect) -> bytes:
    if not node.mask:
        return rb"[^\x00-\xff]"
    if node.mask == ALL:
        return dialect.everything
    if node.mask == _ANY_BUT_NEWLINE:
        return b"."
    if (single := node.single) is not None:
        return _byte(single)
    negated = node.mask.bit_count() > 128
    mask = ALL & ~node.mask if negated else node.mask
    return b"[" + (b"^" if negated else b"") + _ranges(mask) + b"]"


def _ranges(mask: int) -> bytes:
    written = b""
    byte = 0
    while byte < 256:
        if not mask >> byte & 1:
            byte += 1
            continue
        last = byte
        while last < 255 and mask >> (last + 1) & 1:
            last += 1
        written += _byte(byte)
        if last > byte:
            written += (b"-" if last > byte + 1 else b"") + _byte(last)
        byte = last + 1
    return written


def _byte(byte: int) -> bytes:
    if byte in _SPECIAL or not 33 <= byte < 127:
        return b"\\x%02x" % byte
    return bytes([byte])
