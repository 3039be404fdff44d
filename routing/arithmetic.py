"""Expressions of ``${math[...]}``: numbers, variables, + - * / ^, parentheses, functions.

A subset of libmatheval's language that cannot run long: no expression can be written that
takes more than one step per character.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache

MAX_EXPRESSION = 512  # bytes
MAX_DEPTH = 40  # parentheses and signs in one another

Get = Callable[[bytes], bytes]
Value = Callable[[Get], float]

_TOKEN = re.compile(rb"\s*(?:(\d+(?:\.\d*)?|\.\d+)|([A-Za-z_]\w*)|([-+*/^()]))")
_NUMBER = re.compile(rb"\s*[-+]?(\d+(\.\d*)?|\.\d+)")
_FUNCTIONS: dict[bytes, Callable[[float], float]] = {
    b"abs": abs,
    b"sqrt": math.sqrt,
    b"exp": math.exp,
    b"log": math.log,
    b"sin": math.sin,
    b"cos": math.cos,
    b"tan": math.tan,
    b"asin": math.asin,
    b"acos": math.acos,
    b"atan": math.atan,
}
_CONSTANTS = {b"e": math.e, b"pi": math.pi}


class ArithmeticMistake(ValueError):  # ArithmeticError is Python's own
    """Not an expression."""


@lru_cache(maxsize=1024)
def compiled(text: bytes) -> Value:
    """The expression as a function of the variables.

    The function raises ArithmeticError or ValueError where there is no result.

    Raises:
        ArithmeticMistake: the text is no expression.
    """
    if len(text) > MAX_EXPRESSION:
        raise ArithmeticMistake(f"{len(text)} bytes, limit {MAX_EXPRESSION}")
    parser = _Parser(_tokens(text))
    value = parser.sum()
    if parser.next is not None:
        raise ArithmeticMistake(f"{parser.next.decode()!r} is not expected here")
    return value


def _tokens(text: bytes) -> list[bytes]:
    tokens: list[bytes] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ArithmeticMistake(f"{chr(text[position])!r} is not understood")
        tokens.append(match[match.lastindex or 0])
        position = match.end()
    return tokens


def _binary(operator: bytes, left: Value, right: Value) -> Value:
    match operator:
        case b"+":
            return lambda get: left(get) + right(get)
        case b"-":
            return lambda get: left(get) - right(get)
        case b"*":
            return lambda get: left(get) * right(get)
        case b"/":
            return lambda get: left(get) / right(get)
        case _:
            return lambda get: math.pow(left(get), right(get))


def _variable(name: bytes) -> Value:
    def value(get: Get) -> float:
        match = _NUMBER.match(get(name))
        return float(match[0]) if match else 0.0

    return value


class _Parser:
    """Recursive descent; ``next`` is the next token or None."""

    def __init__(self, tokens: list[bytes]) -> None:
        self._tokens = tokens[::-1]
        self._depth = 0

    @property
    def next(self) -> bytes | None:
        return self._tokens[-1] if self._tokens else None

    def sum(self) -> Value:
        value = self._product()
        while self.next in (b"+", b"-"):
            operator = self._tokens.pop()
            value = _binary(operator, value, self._product())
        return value

    def _product(self) -> Value:
        value = self._signed()
        while self.next in (b"*", b"/"):
            operator = self._tokens.pop()
            value = _binary(operator, value, self._signed())
        return value

    def _signed(self) -> Value:
        if self.next not in (b"-", b"+"):
            return self._power()
        negative = self._tokens.pop() == b"-"
        value = self._deeper(self._signed)
        return (lambda get: -value(get)) if negative else value

    def _power(self) -> Value:
        value = self._atom()
        if self.next != b"^":
            return value
        self._tokens.pop()
        return _binary(b"^", value, self._deeper(self._signed))

    def _atom(self) -> Value:
        if self.next is None:
            raise ArithmeticMistake("the expression ends too early")
        token = self._tokens.pop()
        if token == b"(":
            return self._closed()
        if token[:1].isdigit() or token[:1] == b".":
            number = float(token)
            return lambda get: number
        if token in _FUNCTIONS and self.next == b"(":
            self._tokens.pop()
            function, argument = _FUNCTIONS[token], self._closed()
            return lambda get: function(argument(get))
        if token in _CONSTANTS:
            constant = _CONSTANTS[token]
            return lambda get: constant
        if token[:1].isalpha() or token[:1] == b"_":
            return _variable(token)
        raise ArithmeticMistake(f"{token.decode()!r} is not expected here")

    def _closed(self) -> Value:
        value = self._deeper(self.sum)
        if self.next != b")":
            raise ArithmeticMistake("a ( without its )")
        self._tokens.pop()
        return value

    def _deeper(self, read: Callable[[], Value]) -> Value:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ArithmeticMistake(f"more than {MAX_DEPTH} parentheses in one another")
        value = read()
        self._depth -= 1
        return value
