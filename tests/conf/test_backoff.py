"""Pauses between the starts of a child."""

from __future__ import annotations

from uwgate.conf.backoff import LONGEST_PAUSE, Backoff


def test_the_first_death_has_no_pause_and_later_ones_longer_ones() -> None:
    backoff = Backoff()
    pauses = [backoff.pause_after(0.5) for _ in range(5)]
    assert pauses == [0.0, 0.1, 0.2, 0.4, 0.8]


def test_pauses_have_a_limit() -> None:
    backoff = Backoff()
    pauses = [backoff.pause_after(0.0) for _ in range(20)]
    assert pauses[-1] == LONGEST_PAUSE


def test_a_child_that_did_work_is_replaced_at_once() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.pause_after(0.0)
    assert backoff.pause_after(10.0) == 0.0
