"""Reads PCRE's syntax, as uWSGI's users write it: bytes, no UTF, no option set from outside.

What is not understood (recursion, verbs, callouts, ``\\K``, Unicode properties, branch reset,
conditional groups) is an error that names it and its place in the pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from uwgate.routing.regexp.classes import ESCAPED_SETS, ByteEscape, read_class
from uwgate.routing.regexp.reading import PatternError, Reading
from uwgate.routing.regexp.tree import (
    ALL,
    EMPTY,
    NEWLINE,
    VERTICAL,
    Anchor,
    Atomic,
    Chars,
    Choice,
    Edge,
    Greed,
    Group,
    Look,
    Node,
    Parsed,
    Reference,
    Repeat,
    Sequence,
    fold,
)

MAX_PATTERN = 16384  # bytes
MAX_DEPTH = 60  # groups in groups
MAX_COUNT = 65535  # PCRE's own limit of {n}

_COUNT = re.compile(rb"\{(\d+)(,(\d*))?\}")
_FLAGS = re.compile(rb"\(\?([imsxnJU]*)(?:-([imsxnJU]*))?([:)])")
_NAMED = re.compile(rb"\(\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')")
_NAMED_AGAIN = re.compile(rb"\(\?P=([A-Za-z_]\w*)\)")
_REFERENCE = re.compile(
    rb"\\(?:g(\d+)|g\{(-?\d+)\}|k\{([A-Za-z_]\w*)\}|k<([A-Za-z_]\w*)>|k'([A-Za-z_]\w*)'"
    rb"|g\{([A-Za-z_]\w*)\})"
)
_EDGES = {
    b"b": Anchor.BOUNDARY,
    b"B": Anchor.NO_BOUNDARY,
    b"A": Anchor.START,
    b"Z": Anchor.END,
    b"z": Anchor.VERY_END,
}
_LOOKS = {
    b"(?=": (True, False),
    b"(?!": (True, True),
    b"(?<=": (False, False),
    b"(?<!": (False, True),
}
_REFUSED = (
    (rb"\(\*", "a verb (*...)"),
    (rb"\(\?R\)|\(\?[+-]?\d+\)|\(\?&|\(\?P>|\\g['<]", "recursion"),
    (rb"\(\?\(", "a conditional group (?(...)...)"),
    (rb"\(\?\|", "a branch reset (?|...)"),
    (rb"\(\?C", "a callout (?C...)"),
    (rb"\\K", "\\K"),
    (rb"\\[pPX]", "a Unicode property: patterns match bytes"),
    (rb"\\G", "\\G"),
    (rb"\\C", "\\C"),
)
REFUSED = tuple((re.compile(pattern), what) for pattern, what in _REFUSED)


@dataclass(frozen=True, slots=True)
class _Flags:
    """Inline options as they stand at a place of the pattern."""

    ignore_case: bool = False
    multiline: bool = False
    dot_all: bool = False
    extended: bool = False
    no_capture: bool = False
    lazy: bool = False


_FLAG_NAMES = {
    "i": "ignore_case",
    "m": "multiline",
    "s": "dot_all",
    "x": "extended",
    "n": "no_capture",
    "U": "lazy",
}


def parse(source: bytes) -> Parsed:
    """Read a whole pattern.

    Raises:
        PatternError: it is broken, or uses what is not understood.
    """
    if len(source) > MAX_PATTERN:
        raise PatternError(f"{len(source)} bytes, limit {MAX_PATTERN}", 0)
    parser = _Parser(source)
    node = parser.alternatives(_Flags())
    if not parser.reading.done:
        raise PatternError("a ) without its (", parser.reading.position)
    return Parsed(source, node, parser.groups)


class _Parser:
    def __init__(self, source: bytes) -> None:
        self.reading = Reading(source)
        self.groups = 0
        self.names: dict[bytes, int] = {}
        self.closed: set[int] = set()  # groups
        self.depth = 0
        self.quoting = False  # between \Q and \E

    def alternatives(self, flags: _Flags) -> Node:
        """Branches up to a ``)`` or the end; a flag set in one holds for the following."""
        branches: list[Node] = []
        items: list[Node] = []
        reading = self.reading
        while not reading.done:
            if not self.quoting:
                if reading.at(b")"):
                    break
                if reading.take(b"|"):
                    branches.append(_sequence(items))
                    items = []
                    continue
                if (changed := self._flags_alone(flags)) is not None:
                    flags = changed
                    continue
                if self._skip_comment(flags):
                    continue
            item = self._item(flags)
            if item is not None:
                items.append(self._repeated(item, flags))
        branches.append(_sequence(items))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _skip_comment(self, flags: _Flags) -> bool:
        reading = self.reading
        if reading.at(b"(?#"):
            end = reading.find(b")")
            if end < 0:
                raise PatternError("a comment (?# without its )", reading.position)
            reading.position = end + 1
            return True
        if not flags.extended:
            return False
        if reading.match(_BLANKS):
            return True
        if reading.at(b"#"):
            end = reading.find(b"\n")
            reading.position = end + 1 if end >= 0 else reading.length
            return True
        return False

    def _flags_alone(self, flags: _Flags) -> _Flags | None:
        """The flags behind ``(?i)``, or None if no such thing stands here."""
        match = self.reading.peek(_FLAGS)
        if match is None or match[3] != b")":
            return None
        self.reading.position = match.end()
        return _with_flags(flags, match)

    def _item(self, flags: _Flags) -> Node | None:
        """One item without what repeats it; None for what stands for nothing (``\\E``)."""
        reading = self.reading
        if self.quoting:
            if reading.take(b"\\E"):
                self.quoting = False
                return None
            return _char(reading.byte(), flags)
        for pattern, what in REFUSED:
            if reading.peek(pattern):
                raise PatternError(f"{what} is not understood", reading.position)
        if reading.at(b"("):
            return self._group(flags)
        if reading.at(b"["):
            return Chars(read_class(reading, ignore_case=flags.ignore_case))
        if reading.at(b"\\"):
            return self._escape(flags)
        if reading.take(b"^"):
            return Edge(Anchor.LINE_START if flags.multiline else Anchor.START)
        if reading.take(b"$"):
            return Edge(Anchor.LINE_END if flags.multiline else Anchor.END)
        if reading.take(b"."):
            return Chars(ALL if flags.dot_all else ALL & ~NEWLINE)
        if reading.at(b"*") or reading.at(b"+") or reading.at(b"?"):
            raise PatternError("a quantifier without anything to repeat", reading.position)
        return _char(reading.byte(), flags)

    def _group(self, flags: _Flags) -> Node:
        reading = self.reading
        start = reading.position
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise PatternError(f"groups nested deeper than {MAX_DEPTH}", start)
        node: Node
        number = 0
        wrap: tuple[bool, bool] | None = None
        atomic = False
        if match := reading.peek(_NAMED_AGAIN):
            reading.position = match.end()
            self.depth -= 1
            return self._named(match[1], start, flags)
        if match := reading.match(_NAMED):
            number = self._open_group()
            name = match[1] or match[2]
            if name in self.names:
                raise PatternError(f"a second group named {name.decode()}", start)
            self.names[name] = number
        elif (look := self._look()) is not None:
            wrap = look
        elif reading.take(b"(?>"):
            atomic = True
        elif match := reading.match(_FLAGS):
            flags = _with_flags(flags, match)
        elif reading.at(b"(?"):
            raise PatternError("a group that is not understood", start)
        else:
            reading.take(b"(")
            if not flags.no_capture:
                number = self._open_group()
        node = self.alternatives(flags)
        if not reading.take(b")"):
            raise PatternError("a ( without its )", start)
        self.depth -= 1
        if wrap is not None:
            return Look(node, *wrap)
        if atomic:
            return Atomic(node)
        if not number:
            return node
        self.closed.add(number)
        return Group(node, number)

    def _open_group(self) -> int:
        self.groups += 1
        return self.groups

    def _look(self) -> tuple[bool, bool] | None:
        for opening in (b"(?<=", b"(?<!", b"(?=", b"(?!"):
            if self.reading.take(opening):
                return _LOOKS[opening]
        return None

    def _escape(self, flags: _Flags) -> Node | None:
        reading = self.reading
        start = reading.position
        if reading.take(b"\\Q"):
            self.quoting = True
            return None
        if reading.take(b"\\E"):
            return None
        if match := reading.match(_REFERENCE):
            if name := match[3] or match[4] or match[5] or match[6]:
                return self._named(name, start, flags)
            if match[2] is not None and match[2].startswith(b"-"):
                return self._reference(self.groups + 1 + int(match[2]), start, flags)
            return self._reference(int(match[1] or match[2]), start, flags)
        if match := reading.peek(_DECIMAL):
            number = int(match[1])
            # PCRE: one digit is always a reference, more only if there are so many groups.
            if number < 10 or number <= self.groups:
                reading.position = match.end()
                return self._reference(number, start, flags)
        letter = reading.text[start + 1 : start + 2]
        if letter in _EDGES:
            reading.position += 2
            return Edge(_EDGES[letter])
        if letter == b"R":
            reading.position += 2
            crlf = Sequence((Chars(1 << 13), Chars(1 << 10)))
            return Atomic(Choice((crlf, Chars(VERTICAL))))
        if letter == b"N":
            reading.position += 2
            return Chars(ALL & ~NEWLINE)
        if letter in ESCAPED_SETS:
            reading.position += 2
            return Chars(ESCAPED_SETS[letter])
        return _char(ByteEscape.read(reading), flags)

    def _named(self, name: bytes, position: int, flags: _Flags) -> Node:
        if name not in self.names:
            raise PatternError(f"there is no group named {name.decode()}", position)
        return self._reference(self.names[name], position, flags)

    def _reference(self, number: int, position: int, flags: _Flags) -> Node:
        if flags.ignore_case:
            raise PatternError("a reference to a group under (?i) is not understood", position)
        if number not in self.closed:
            raise PatternError(
                f"a reference to group {number}, which has not ended here, is not understood",
                position,
            )
        return Reference(number)

    def _repeated(self, item: Node, flags: _Flags) -> Node:
        """The item with the quantifiers that follow it, perhaps behind the end of a quotation."""
        reading = self.reading
        while True:
            while reading.take(b"\\E"):
                self.quoting = False
            if self.quoting:
                return item
            while self._skip_comment(flags):
                pass
            start = reading.position
            if reading.take(b"*"):
                minimum, maximum = 0, None
            elif reading.take(b"+"):
                minimum, maximum = 1, None
            elif reading.take(b"?"):
                minimum, maximum = 0, 1
            elif match := reading.match(_COUNT):
                minimum, maximum = _bounds(match, start)
            else:
                return item
            while reading.at(b"(?#") and self._skip_comment(flags):
                pass
            greed = Greed.LAZY if flags.lazy else Greed.GREEDY
            if reading.take(b"+"):
                greed = Greed.POSSESSIVE
            elif reading.take(b"?"):
                greed = Greed.GREEDY if flags.lazy else Greed.LAZY
            if isinstance(item, Edge | Look):
                # Once or not at all: repeating a place changes nothing.
                item = item if minimum else Choice((item, EMPTY))
                continue
            item = Repeat(item, minimum, maximum, greed)


_BLANKS = re.compile(rb"[ \t\n\r\f\v]+")
_DECIMAL = re.compile(rb"\\([1-9]\d?)")


def _bounds(match: re.Match[bytes], position: int) -> tuple[int, int | None]:
    minimum = int(match[1])
    maximum: int | None = minimum
    if match[2]:
        maximum = int(match[3]) if match[3] else None
    if max(minimum, maximum or 0) > MAX_COUNT:
        raise PatternError(f"more repeats than {MAX_COUNT}", position)
    if maximum is not None and maximum < minimum:
        raise PatternError("the numbers in {} are in the wrong order", position)
    return minimum, maximum


def _with_flags(flags: _Flags, match: re.Match[bytes]) -> _Flags:
    changes: dict[str, bool] = {}
    for letters, value in ((match[1], True), (match[2] or b"", False)):
        for letter in letters.decode():
            if letter == "J":
                raise PatternError("(?J) is not understood", match.start())
            changes[_FLAG_NAMES[letter]] = value
    return replace(flags, **changes)


def _char(byte: int, flags: _Flags) -> Chars:
    return Chars(fold(1 << byte) if flags.ignore_case else 1 << byte)


def _sequence(items: list[Node]) -> Node:
    return items[0] if len(items) == 1 else Sequence(tuple(items))
