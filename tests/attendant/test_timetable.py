"""attendant/timetable.py: every minute once, whatever the clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uwgate.attendant.timetable import MINUTE, STEP_BACK, Timetable

HOUR = 60  # minutes


def due(timetable: Timetable, minute: float) -> list[int]:
    return list(timetable.due(minute * MINUTE))


def test_the_minute_of_the_start_is_due_and_then_each_once() -> None:
    timetable = Timetable()
    assert due(timetable, 100.9) == [100]
    assert due(timetable, 100.99) == []
    assert due(timetable, 101.0) == [101]
    assert due(timetable, 101.5) == []


def test_what_another_process_has_handled_is_not_due_again() -> None:
    assert due(Timetable(100), 100.5) == []
    assert due(Timetable(100), 101.5) == [101]


def test_a_minute_that_passed_a_moment_ago_is_made_up_for_and_others_are_left_out() -> None:
    timetable = Timetable(100)
    assert due(timetable, 102.1) == [101, 102]
    assert due(timetable, 110.1) == [109, 110]
    assert timetable.missed == 6


def test_a_clock_set_back_a_little_repeats_nothing() -> None:
    timetable = Timetable(100)
    assert due(timetable, 95) == []
    assert due(timetable, 100.5) == []
    assert due(timetable, 101) == [101]


def test_a_clock_that_was_far_ahead_does_not_stop_everything() -> None:
    timetable = Timetable(1_000_000)
    assert due(timetable, 1_000_000 - STEP_BACK - 1) == [1_000_000 - STEP_BACK - 1]


@given(st.lists(st.floats(0, STEP_BACK - 1), max_size=30))
def test_within_an_hour_no_minute_comes_twice(moments: list[float]) -> None:
    timetable = Timetable(0)
    found = [minute for moment in moments for minute in due(timetable, moment)]
    assert found == sorted(set(found))


def test_the_next_look_is_when_the_next_minute_begins() -> None:
    assert Timetable().wait(90.0) == 30.0
    assert Timetable().wait(120.0) == 60.0
