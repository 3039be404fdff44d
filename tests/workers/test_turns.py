"""workers/turns.py: for how long a connection keeps its slot."""

from __future__ import annotations

from uwgate.workers.turns import LEAST, MOST, TURN, Turns


def turns_without(turns: Turns) -> int:
    """How many connections get no turn."""
    count = 0
    while turns.begin(5.0) == 5.0:
        count += 1
    return count


def test_a_connection_has_a_turn() -> None:
    assert Turns().begin(5.0) == 5.0 + TURN


def test_a_wasted_turn_is_the_last_one_for_a_while() -> None:
    turns = Turns()
    turns.wasted()
    assert turns_without(turns) == LEAST


def test_the_while_becomes_longer_until_somebody_uses_his_turn() -> None:
    turns = Turns()
    turns.wasted()
    turns.wasted()
    assert turns_without(turns) == 2 * LEAST
    turns.used()
    turns.wasted()
    assert turns_without(turns) == LEAST


def test_there_is_always_another_turn() -> None:
    turns = Turns()
    for _ in range(20):
        turns.wasted()
    assert turns_without(turns) == MOST
