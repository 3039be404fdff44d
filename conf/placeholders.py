"""References in values: ``$(NAME)``, ``@(file)``, ``%(name)`` and arithmetic.

See spec/configuration.md sections 2 and 6. Different from uWSGI: what a reference yields
is looked at again wherever it stands, a circle of references is an error, and
parentheses in arithmetic group (``%((%k * 2) + 1)``).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from uwgate.conf.errors import ConfigError

MAX_DEPTH = 32  # references inside the values of references
MAX_REFERENCES = 10_000  # in one value, those in the values of references included
MAX_LENGTH = 1 << 20  # bytes; a doubling chain of references must not eat the memory

Lookup = Callable[[str], str | None]

INTEGER = re.compile(r"[+-]?[0-9]+")
PARENTHESIS = re.compile(r"[()]")
LEADING_DIGITS = re.compile(r"\s*([+-]?[0-9]+)")
BITS = 1 << 64


def expand(value: str, symbol: str, lookup: Lookup) -> str:
    """``value`` with each ``<symbol>(inner)`` replaced by what ``lookup(inner)`` yields.

    A reference for which ``lookup`` yields None stays as it is.

    Raises:
        ConfigError: references run in a circle, or yield too much text.
    """
    return _Expansion(symbol, lookup).expand(value)


def references(value: str, symbol: str = "%") -> list[str]:
    """What stands in the references of a value, inner ones first."""
    found: list[str] = []
    _Expansion(symbol, found.append).expand(value)
    return found


class _Expansion:
    """The work on one value, within its limits."""

    def __init__(self, symbol: str, lookup: Lookup) -> None:
        self._symbol = symbol
        self._lookup = lookup
        self._count = 0

    def expand(self, value: str, path: tuple[str, ...] = ()) -> str:
        """``path`` names the references inside of which ``value`` was found."""
        opening = self._symbol + "("
        if opening not in value:
            return value
        closing = _matching(value)
        parts: list[str] = []
        position = 0
        while (start := value.find(opening, position)) >= 0:
            end = closing.get(start + 1)
            self._count += 1
            if self._count > MAX_REFERENCES:
                raise ConfigError(f"more than {MAX_REFERENCES} references in one value")
            if end is None:  # left as it is, but what follows may be complete
                parts.append(value[position : start + 2])
                position = start + 2
                continue
            parts.append(value[position:start])
            parts.append(self._reference(value[start : end + 1], path))
            position = end + 1
        parts.append(value[position:])
        expanded = "".join(parts)
        if len(expanded) > MAX_LENGTH:
            raise ConfigError(f"references yield {len(expanded)} characters, limit {MAX_LENGTH}")
        return expanded

    def _reference(self, text: str, path: tuple[str, ...]) -> str:
        if len(path) > MAX_DEPTH:
            raise ConfigError(f"references in references, limit {MAX_DEPTH}: {_chain(path)}")
        inner = self.expand(text[2:-1], (*path, "("))  # %(site-%(stage))
        found = self._lookup(inner) if inner else None
        if found is None:
            return text
        if inner in path:
            raise ConfigError(f"references run in a circle: {_chain((*path, inner))}")
        return self.expand(found, (*path, inner))


def _chain(path: tuple[str, ...]) -> str:
    return " -> ".join(name for name in path if name != "(")


def _matching(text: str) -> dict[int, int]:
    """Where each parenthesis that is closed ends, by where it opens."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for match in PARENTHESIS.finditer(text):
        if match[0] == "(":
            opened.append(match.start())
        elif opened:
            pairs[opened.pop()] = match.start()
    return pairs


def evaluate(inner: str, lookup: Lookup) -> str | None:
    """The value of what stands in ``%( )``: a name, or an expression if it has blanks.

    A name that ``lookup`` does not know yields None; in an expression, the empty text.
    """
    if " " not in inner:
        return lookup(inner)
    tokens = _tokens(inner)
    if tokens.count("(") > MAX_DEPTH:
        raise ConfigError(f"more than {MAX_DEPTH} parentheses in {inner[:40]!r}")
    return _calculate(tokens, lookup)


def names_in(inner: str) -> list[str]:
    """The names that what stands in ``%( )`` refers to."""
    if " " not in inner:
        return [inner]
    flat = inner.replace("(", " ").replace(")", " ").split()
    return [token for token in flat if not INTEGER.fullmatch(token)]


def _tokens(inner: str) -> list[str]:
    # Only parentheses at the edge of a word group; inside a name they are part of it.
    tokens: list[str] = []
    for word in inner.split():
        opened = len(word) - len(word.lstrip("("))
        core = word[opened:]
        closed = len(core) - len(core.rstrip(")"))
        core = core[: len(core) - closed]
        tokens += ["("] * opened + ([core] if core else []) + [")"] * closed
    return tokens


def _calculate(tokens: list[str], lookup: Lookup) -> str:
    """Strictly from left to right; ``tokens`` is consumed up to a closing parenthesis."""
    total = ""
    operator: str | None = None
    while tokens:
        token = tokens.pop(0)
        if token == ")":
            break
        if token in ("+", "-", "*", "/"):
            operator = token
            continue
        if token in ("++", "--"):
            total = str(_wrap(_integer(total) + (1 if token == "++" else -1)))
            continue
        operand = _calculate(tokens, lookup) if token == "(" else _operand(token, lookup)
        total = total + operand if operator is None else _apply(operator, total, operand)
        operator = None
    return total


def _operand(token: str, lookup: Lookup) -> str:
    return token if INTEGER.fullmatch(token) else lookup(token) or ""


def _apply(operator: str, left_text: str, right_text: str) -> str:
    left, right = _integer(left_text), _integer(right_text)
    match operator:
        case "+":
            result = left + right
        case "-":
            result = left - right
        case "*":
            result = left * right
        case _:
            quotient = abs(left) // abs(right) if right else 0
            result = quotient if (left < 0) == (right < 0) else -quotient
    return str(_wrap(result))


def _integer(text: str) -> int:
    match = LEADING_DIGITS.match(text)
    return int(match[1]) if match else 0


def _wrap(value: int) -> int:
    """The value as a signed 64-bit integer."""
    value %= BITS
    return value - BITS if value >= BITS // 2 else value
