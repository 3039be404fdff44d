"""Signed numbers of 64 bits, as metrics and caches have them: one that grows too large comes out
at the other end, and division rounds towards 0, as in C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MINIMUM: Final = -(1 << 63)
MAXIMUM: Final = (1 << 63) - 1


def calculate(operation: str, number: int, operand: int) -> int:
    """The result of an operation, by the end of uWSGI's names for it (``uwsgi.metric_inc``).

    Raises:
        ZeroDivisionError: there is none.
    """
    return (_OPERATIONS[operation](number, operand) - MINIMUM) % (1 << 64) + MINIMUM


def _divide(number: int, operand: int) -> int:
    quotient = abs(number) // abs(operand)
    return quotient if (number < 0) == (operand < 0) else -quotient


_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "inc": lambda number, operand: number + operand,
    "dec": lambda number, operand: number - operand,
    "mul": lambda number, operand: number * operand,
    "div": _divide,
    "set": lambda number, operand: operand,
    "set_max": max,
    "set_min": min,
}
