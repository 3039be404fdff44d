"""The seconds that packets with uWSGI's signatures bear (subscriptions/dates.py)."""

from __future__ import annotations

from uwgate.subscriptions.dates import MAX_AHEAD, Dates
from uwgate.subscriptions.packet import Command

NOW = 1_000_000.5
SUBSCRIBE, UNSUBSCRIBE = Command.SUBSCRIBE, Command.UNSUBSCRIBE


def test_what_is_said_again_in_the_same_second_is_newer() -> None:
    dates = Dates[str]()
    assert [dates.date("a", SUBSCRIBE, NOW) for _ in range(3)] == [1e6, 1e6 + 1, 1e6 + 2]


def test_each_name_has_dates_of_its_own() -> None:
    dates = Dates[str]()
    assert dates.date("a", SUBSCRIBE, NOW) == dates.date("b", SUBSCRIBE, NOW) == 1e6


def test_an_unsubscribe_counts_the_second_that_its_command_adds() -> None:
    dates = Dates[str]()
    assert dates.date("a", UNSUBSCRIBE, NOW) == 1e6
    assert dates.date("a", SUBSCRIBE, NOW) == 1e6 + 2


def test_dates_do_not_run_away_from_the_clock() -> None:
    dates = Dates[str]()
    assert max(dates.date("a", SUBSCRIBE, NOW) for _ in range(20)) == 1e6 + MAX_AHEAD


def test_what_is_past_is_forgotten() -> None:
    dates = Dates[str]()
    dates.date("a", SUBSCRIBE, NOW)
    dates.forget(NOW + 10.0)
    assert dates.date("a", SUBSCRIBE, NOW) == 1e6
