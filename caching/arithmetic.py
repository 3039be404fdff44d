"""Numbers of 64 bits in caches: what ``cache_inc`` and its like make of them (spec part A2)."""

from __future__ import annotations

import enum

from uwgate.caching.records import NUMBER
from uwgate.conf.arithmetic import calculate


class Operation(enum.Enum):
    """What is done with a number and an operand."""

    ADD = "inc"
    SUBTRACT = "dec"
    MULTIPLY = "mul"
    DIVIDE = "div"
    SET = "set"


def compute(operation: Operation, number: int, operand: int) -> int:
    """The result, as in ``conf.arithmetic``; what is divided by zero becomes 0."""
    try:
        return calculate(operation.value, number, operand)
    except ZeroDivisionError:
        return 0


def number_of(value: bytes) -> int | None:
    """The number that a value is; None if it is none."""
    if len(value) != NUMBER.size:
        return None
    number: int = NUMBER.unpack(value)[0]
    return number
