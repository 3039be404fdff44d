"""Slots and tables to try things on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from uwgate.subscriptions import balancing
from uwgate.subscriptions.health import Circuit
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.slot import Slot

MakeSlot = Callable[..., Slot]


def make_slot(algo: str, circuit: Circuit | None = None, **weights: int) -> Slot:
    """``make_slot("wrr", A=1, B=2)`` has those nodes with those weights."""
    name, algorithm = balancing.make(algo)
    made = Slot("shop.example", name, algorithm, circuit or Circuit())
    for address, weight in weights.items():
        made.add(Node(key=made.key, address=address, weight=weight))
    made.refresh()
    return made


@pytest.fixture
def slot() -> MakeSlot:
    """``slot("wrr", A=1, B=2)``; see ``make_slot``."""
    return make_slot
