"""Pauses between the starts of a child."""

from __future__ import annotations

from uwgate.conf.backoff import LONGEST_PAUSE, Backoff


def test_the_first_death_has_no_pause_and_later_ones_longer_ones() -> None:
    backoff = Backoff()
    pauses = [backoff.pause_after(0.5, was_ready=True) for _ in range(5)]
    assert pauses == [0.0, 0.1, 0.2, 0.4, 0.8]


def test_pauses_have_a_limit() -> None:
    backoff = Backoff()
    pauses = [backoff.pause_after(0.0, was_ready=False) for _ in range(20)]
    assert pauses[-1] == LONGEST_PAUSE


def test_a_child_that_did_work_is_replaced_at_once() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.pause_after(0.0, was_ready=False)
    assert backoff.pause_after(10.0, was_ready=True) == 0.0


def test_a_long_start_that_failed_is_no_work() -> None:
    backoff = Backoff()
    backoff.pause_after(30.0, was_ready=False)
    assert backoff.pause_after(30.0, was_ready=False) == 0.1
