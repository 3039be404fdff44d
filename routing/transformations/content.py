"""Transformations that look at or change the content: length, template, capitals, offload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from uwgate.routing.effects import Log
from uwgate.routing.outside import Outside
from uwgate.routing.template import Template, read_template
from uwgate.routing.transaction import Header, Scope, Transaction
from uwgate.routing.transformations.stream import MAX_BUFFER, Stream, replace_header
from uwgate.routing.variables import UnknownVariableError, resolver

MAX_FILLED = 10_000  # places of one body

Reader = Callable[[Scope], bytes]


class Unchanged:
    """Hands on what it gets."""

    def begin(self, headers: list[Header]) -> None:
        """Nothing to say."""

    def feed(self, data: bytes) -> bytes:
        """The same."""
        return data

    def finish(self, headers: list[Header], *, complete: bool) -> bytes:
        """Nothing more."""
        del headers, complete
        return b""


class Remembering(Unchanged):
    """Remembers a body up to ``MAX_BUFFER`` bytes; of a longer one only its ``size``."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    @property
    def is_too_long(self) -> bool:
        """Nothing of it is remembered."""
        return self.size > MAX_BUFFER

    def remember(self, data: bytes) -> None:
        """The next piece."""
        self.size += len(data)
        if self.is_too_long:
            self._parts.clear()
        else:
            self._parts.append(data)

    def take(self) -> bytes:
        """What is remembered; then nothing is."""
        body = b"".join(self._parts)
        self._parts.clear()
        return body


class Collecting(Unchanged):
    """Keeps a body up to ``MAX_BUFFER`` bytes; a longer one passes by from there on."""

    def __init__(self, transaction: Transaction, name: str) -> None:
        self._transaction = transaction
        self._name = name
        self._parts: list[bytes] = []
        self._size = 0
        self.too_long = False

    def feed(self, data: bytes) -> bytes:
        """Nothing, as long as the body fits."""
        if self.too_long:
            return data
        self._parts.append(data)
        self._size += len(data)
        if self._size <= MAX_BUFFER:
            return b""
        self.too_long = True
        text = f"{self._name}: a body of more than {MAX_BUFFER} bytes stays as it is"
        self._transaction.effects.append(Log(text.encode(), problem=True))
        return self.take()

    def take(self) -> bytes:
        """What is kept; then nothing is."""
        body = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return body


@dataclass(frozen=True, slots=True)
class Flush:
    """``flush:``: what came so far goes out, whatever stands behind it (see Pipeline)."""

    name: str = "flush"
    buffers: bool = False

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """Nothing happens in it."""
        del transaction, outside
        return Unchanged()


@dataclass(frozen=True, slots=True)
class FixLength:
    """``fixcl:`` and, ``forced``, ``forcecl:``: the Content-Length that comes out."""

    forced: bool
    buffers: bool = True

    @property
    def name(self) -> str:
        """The action's name."""
        return "forcecl" if self.forced else "fixcl"

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream."""
        del outside
        wanted = self.forced or b"content-length" not in transaction.removed
        return _FixingLength(transaction, self.name, wanted=wanted)


class _FixingLength(Collecting):
    def __init__(self, transaction: Transaction, name: str, *, wanted: bool) -> None:
        super().__init__(transaction, name)
        self._wanted = wanted

    def finish(self, headers: list[Header], *, complete: bool) -> bytes:
        del complete
        if self.too_long:
            return b""
        body = self.take()
        if self._wanted:
            replace_header(headers, b"Content-Length", b"%d" % len(body))
        return body


@dataclass(frozen=True, slots=True)
class FillIn:
    """``template:``: groups of the rule and variables are filled into the body.

    Whoever can write ``${...}`` into the body reads variables of the request with it.
    """

    groups: tuple[bytes, ...]
    name: str = "template"
    buffers: bool = True

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream."""
        return _FillingIn(transaction, Scope(transaction, outside, self.groups))


class _FillingIn(Collecting):
    def __init__(self, transaction: Transaction, scope: Scope) -> None:
        super().__init__(transaction, "template")
        self._scope = scope

    def finish(self, headers: list[Header], *, complete: bool) -> bytes:
        del complete
        if self.too_long:
            return b""
        body = self.take()
        if b"$" not in body:
            return body
        filled = self._filled(body)
        if filled is None:
            text = f"template: more than {MAX_FILLED} places or {MAX_BUFFER} bytes to fill in"
            self._transaction.effects.append(Log(text.encode(), problem=True))
            return body
        replace_header(headers, b"Content-Length", None)
        return filled

    def _filled(self, body: bytes) -> bytes | None:
        """The body with everything filled in; None if that would be too much."""
        if body.count(b"$") > MAX_FILLED:
            return None
        parts: list[bytes] = []
        size = 0
        for piece in read_template(body, _lenient, groups=True).pieces:
            part = piece if isinstance(piece, bytes) else piece(self._scope)
            parts.append(part)
            size += len(part)
            if size > MAX_BUFFER:
                return None
        return b"".join(parts)


def _lenient(name: Template) -> Reader:
    """A reader of a variable; of a function that does not exist, an empty text."""
    try:
        return resolver(name)
    except UnknownVariableError:
        return lambda scope: b""


@dataclass(frozen=True, slots=True)
class Capitals:
    """``toupper:``: ASCII letters in capitals."""

    name: str = "toupper"
    buffers: bool = False

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream."""
        del transaction, outside
        return _Capitals()


class _Capitals(Unchanged):
    def feed(self, data: bytes) -> bytes:
        return data.upper()


@dataclass(frozen=True, slots=True)
class Offload:
    """``offload:``: the server keeps up to ``limit`` bytes in memory, so that the worker is free.

    The bytes do not change; whoever sends them takes the limit from here.
    """

    limit: int = 1 << 20
    name: str = "offload"
    buffers: bool = False

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """Nothing happens in it."""
        del transaction, outside
        return Unchanged()
