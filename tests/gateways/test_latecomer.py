"""Looks at the clock that come too late (gateways/latecomer.py)."""

from __future__ import annotations

from uwgate.gateways.latecomer import Latecomer


def test_who_looks_in_time_is_not_late() -> None:
    latecomer = Latecomer(0.5)
    assert not any(latecomer.is_late(now) for now in (7.0, 7.5, 8.1, 9.0, 10.0))


def test_who_was_stopped_is_late_once() -> None:
    latecomer = Latecomer(0.5)
    assert [latecomer.is_late(now) for now in (7.0, 12.0, 12.5, 13.0)] == [
        False,
        True,
        False,
        False,
    ]


def test_who_is_always_late_is_late_every_second_time_at_most() -> None:
    latecomer = Latecomer(0.5)
    looks = [latecomer.is_late(now) for now in range(0, 20, 2)]
    assert looks == [False, True] * 5
