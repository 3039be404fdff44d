"""Numbers of 64 bits in caches: what ``cache_inc`` and its like make of them (spec part A2)."""

from __future__ import annotations

import enum

from uwgate.caching.records import NUMBER


class Operation(enum.Enum):
    """What is done with a number and an operand."""

    ADD = "inc"
    SUBTRACT = "dec"
    MULTIPLY = "mul"
    DIVIDE = "div"
    SET = "set"


def compute(operation: Operation, number: int, operand: int) -> int:
    """The result, cut to 64 bits. Division rounds towards 0; by zero it gives 0."""
    match operation:
        case Operation.ADD:
            result = number + operand
        case Operation.SUBTRACT:
            result = number - operand
        case Operation.MULTIPLY:
            result = number * operand
        case Operation.DIVIDE:
            quotient = abs(number) // abs(operand) if operand else 0
            result = quotient if (number < 0) == (operand < 0) else -quotient
        case Operation.SET:
            result = operand
    return (result + (1 << 63)) % (1 << 64) - (1 << 63)


def number_of(value: bytes) -> int | None:
    """The number that a value is; None if it is none."""
    if len(value) != NUMBER.size:
        return None
    number: int = NUMBER.unpack(value)[0]
    return number
