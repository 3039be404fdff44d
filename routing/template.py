"""Texts of rules with ``$1`` and ``${NAME}`` in them, read once.

What a request puts into a group or variable is never read again: no text from outside can
name another variable. Two passes over the text, as uWSGI makes them, come out the same but
for that (spec/internal-routing.md section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from uwgate.routing.transaction import Scope

Piece = bytes | Callable[[Scope], bytes]
Resolver = Callable[["Template"], Callable[[Scope], bytes]]


class Template:
    """``constant``: the text if nothing is to be filled in, else None.

    ``variable``: the name if the text is just one variable of the request.
    """

    __slots__ = ("constant", "pieces", "variable")

    def __init__(self, pieces: tuple[Piece, ...], variable: bytes | None = None) -> None:
        self.pieces = _merged(pieces)
        self.variable = variable
        self.constant: bytes | None = None
        if not self.pieces:
            self.constant = b""
        elif len(self.pieces) == 1 and isinstance(self.pieces[0], bytes):
            self.constant = self.pieces[0]

    def expand(self, scope: Scope) -> bytes:
        """The text for this request."""
        if self.constant is not None:
            return self.constant
        return b"".join(
            [piece if isinstance(piece, bytes) else piece(scope) for piece in self.pieces]
        )

    @property
    def reader(self) -> Callable[[Scope], bytes]:
        """What ``expand`` does, as a function without detours."""
        if len(self.pieces) == 1 and not isinstance(self.pieces[0], bytes):
            return self.pieces[0]
        return self.expand


def read_template(text: bytes, resolver: Resolver | None, *, groups: bool) -> Template:
    """Read a text.

    ``resolver`` makes a reader of what stands in ``${...}``; None leaves those alone.
    ``groups``: ``$1`` is a group, and a ``$`` at the very end is dropped.
    """
    if b"$" not in text:
        return Template((text,) if text else ())
    pieces: list[Piece] = []
    variable: bytes | None = None
    position = 0
    last_brace = text.rfind(b"}")
    while (dollar := text.find(b"$", position)) >= 0:
        pieces.append(text[position:dollar])
        following = text[dollar + 1 : dollar + 2]
        position = dollar + 2
        if not following:
            pieces.append(b"" if groups else b"$")
        elif groups and following.isdigit():
            pieces.append(_group(int(following)))
        elif following == b"{" and resolver and position <= last_brace:
            end = text.index(b"}", position)
            name = read_template(text[position:end], None, groups=groups)
            if dollar == 0 and end + 1 == len(text):
                variable = name.constant
            pieces.append(resolver(name))
            position = end + 1
        else:
            pieces.append(b"$" + following)
    pieces.append(text[position:])
    return Template(tuple(pieces), variable)


def _group(number: int) -> Callable[[Scope], bytes]:
    def read(scope: Scope) -> bytes:
        groups = scope.groups
        return groups[number] if number < len(groups) else b""

    return read


def _merged(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """The pieces with neighbouring texts made one, and without empty ones."""
    return tuple(_merge(pieces))


def _merge(pieces: tuple[Piece, ...]) -> Iterator[Piece]:
    texts: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            texts.append(piece)
            continue
        if text := b"".join(texts):
            yield text
        texts.clear()
        yield piece
    if text := b"".join(texts):
        yield text
