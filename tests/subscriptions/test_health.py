"""Ejection, retry budget and circuit (subscriptions/health.py), on a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.subscriptions.health import (
    CheckPolicy,
    Circuit,
    EjectionPolicy,
    Health,
    RetryBudget,
)

POLICY = EjectionPolicy(failures=3, base=5.0, longest=60.0, most=0.5)


def put_out(health: Health, now: float) -> float:
    """Eject and wait for the end of the period; returns its length."""
    until = health.eject(POLICY, now)
    assert not health.tick(until - 0.001)
    assert health.tick(until)
    return until - now


def test_failures_in_a_row_put_a_node_out() -> None:
    health = Health()
    assert [health.bad(POLICY) for _ in range(3)] == [False, False, True]


def test_a_good_answer_begins_the_row_anew() -> None:
    health = Health()
    health.bad(POLICY)
    health.bad(POLICY)
    health.good(POLICY, 1.0)
    assert [health.bad(POLICY) for _ in range(3)] == [False, False, True]


def test_zero_failures_switch_ejection_off() -> None:
    health = Health()
    assert not any(health.bad(EjectionPolicy(failures=0)) for _ in range(100))


def test_periods_double_up_to_the_longest() -> None:
    health = Health()
    periods = [put_out(health, 1000.0 * number) for number in range(6)]
    assert periods == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_after_its_period_one_more_failure_puts_it_out_again() -> None:
    health = Health()
    put_out(health, 0.0)
    assert health.bad(POLICY)


def test_after_its_period_a_good_answer_ends_the_trial() -> None:
    health = Health()
    put_out(health, 0.0)
    health.good(POLICY, 5.0)
    assert not health.bad(POLICY)


def test_periods_begin_anew_when_it_was_back_as_long_as_it_was_out() -> None:
    health = Health()
    put_out(health, 0.0)
    put_out(health, 10.0)  # until 20
    health.good(POLICY, 29.9)
    assert health.ejections == 2
    health.good(POLICY, 30.0)
    assert health.ejections == 0


def test_a_node_that_is_out_is_not_put_out_again() -> None:
    health = Health()
    assert health.eject(POLICY, 0.0) == health.eject(POLICY, 3.0) == 5.0
    assert health.ejections == 1
    assert not health.bad(POLICY)


def test_an_announcement_is_believed_once() -> None:
    health = Health()
    health.eject(POLICY, 0.0)
    assert health.announced(1.0)
    health.eject(POLICY, 2.0)
    assert not health.announced(3.0)
    assert health.is_out
    assert health.tick(12.0)


def test_an_announcement_of_a_node_that_is_in_changes_nothing() -> None:
    assert not Health().announced(1.0)


@pytest.mark.parametrize(
    ("out", "count", "may"),
    [(0, 1, False), (0, 2, True), (1, 2, False), (0, 3, True), (1, 3, False)],
)
def test_a_part_of_the_nodes_always_stays(out: int, count: int, may: bool) -> None:
    assert POLICY.may_eject(out, count) is may


def look(health: Health, *looks: bool) -> list[bool]:
    """Look as often as that; returns when that put the node out or took it back."""
    return [health.looked(CheckPolicy(fall=2, rise=3), good=good) for good in looks]


def test_failed_looks_in_a_row_put_a_node_out_once() -> None:
    health = Health()
    assert look(health, False, False, False) == [False, True, False]
    assert health.is_out


def test_a_good_look_between_failed_ones_keeps_a_node_in() -> None:
    health = Health()
    assert not any(look(health, False, True, False, True, False))
    assert not health.is_out


def test_good_looks_in_a_row_take_a_node_back() -> None:
    health = Health()
    look(health, False, False)
    assert look(health, True, True, False, True, True, True) == [False] * 5 + [True]
    assert not health.is_out


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_a_node_is_out_from_fall_failed_looks_to_rise_good_ones(
    looks: list[bool], fall: int, rise: int
) -> None:
    health = Health()
    out = False
    for number, good in enumerate(looks, 1):
        health.looked(CheckPolicy(fall=fall, rise=rise), good=good)
        recent = looks[:number]
        if not out and recent[-fall:] == [False] * fall:
            out = True
        elif out and recent[-rise:] == [True] * rise:
            out = False
        assert health.is_out is out


def test_a_node_that_fails_its_checks_stays_out_whatever_it_announces() -> None:
    health = Health()
    look(health, False, False)
    assert not health.announced(1.0)
    assert health.is_out


def test_the_end_of_its_period_does_not_take_a_node_back_that_fails_its_checks() -> None:
    health = Health()
    until = health.eject(POLICY, 0.0)
    look(health, False, False)
    assert not health.tick(until)
    assert health.is_out
    look(health, True, True, True)
    assert not health.is_out


def test_a_good_look_does_not_shorten_the_period_of_bad_answers() -> None:
    health = Health()
    until = health.eject(POLICY, 0.0)
    look(health, False, False, True, True, True)
    assert health.is_out
    assert health.tick(until)


def test_savings_are_spent_one_by_one() -> None:
    budget = RetryBudget(ratio=0.2, least=0.0, window=0.0)
    assert not budget.retry(0.0)
    for _ in range(10):
        budget.request()
    assert [budget.retry(0.0) for _ in range(3)] == [True, True, False]
    assert (budget.spent, budget.refused) == (2, 2)


def test_a_few_retries_a_second_are_always_possible() -> None:
    budget = RetryBudget(ratio=0.0, least=3.0, window=1.0)
    assert [budget.retry(10.0) for _ in range(4)] == [True, True, True, False]
    assert [budget.retry(10.5) for _ in range(2)] == [True, False]


def test_a_clock_that_goes_back_pays_nothing() -> None:
    budget = RetryBudget(ratio=0.0, least=1.0, window=1.0)
    assert budget.retry(10.0)
    assert not budget.retry(9.0)
    assert not budget.retry(10.0)


@given(st.lists(st.booleans(), max_size=300))
def test_never_more_retries_than_the_ratio_and_the_savings_allow(asked: list[bool]) -> None:
    budget = RetryBudget(ratio=0.2, least=1.0, window=2.0)
    requests = 0
    for is_retry in asked:
        if is_retry:
            budget.retry(0.0)
        else:
            budget.request()
            requests += 1
    assert budget.spent <= 2.0 + 0.2 * requests + 1e-6


def test_a_quiet_hour_does_not_pay_for_a_storm() -> None:
    budget = RetryBudget(ratio=1.0, least=1.0, window=1.0, most=10.0)
    for _ in range(1000):
        budget.request()
    assert sum(budget.retry(0.0) for _ in range(1000)) == 10


def test_a_circuit_without_limits_is_closed() -> None:
    circuit = Circuit()
    assert circuit.has_room(10**6)
    assert circuit.may_wait(10**6)


def test_a_circuit_opens_at_its_limits() -> None:
    circuit = Circuit(connections=2, pending=1)
    assert [circuit.has_room(count) for count in (1, 2)] == [True, False]
    assert [circuit.may_wait(count) for count in (0, 1)] == [True, False]
