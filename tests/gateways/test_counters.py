"""Counting refusals without flooding the log (gateways/counters.py)."""

from __future__ import annotations

import logging

import pytest

from uwgate.gateways.counters import LINES, PERIOD, Counters


def test_refusals_are_counted_by_name() -> None:
    counters = Counters()
    counters.refuse("one", "text")
    counters.refuse("one", "text")
    counters.count("two")
    assert counters.as_dict() == {"one": 2, "two": 1}
    assert counters["three"] == 0


def test_the_log_has_some_lines_of_a_name_and_then_their_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    counters = Counters()
    for number in range(LINES + 5):
        counters.refuse("one", "%s: number %d", "client", number)
    counters.refuse("two", "another")
    assert len(caplog.messages) == LINES + 1
    assert caplog.messages[0] == "client: number 0"
    counters.tick(PERIOD - 0.1)
    assert len(caplog.messages) == LINES + 1
    counters.tick(PERIOD)
    assert caplog.messages[-1] == "one: 5 more in the last 10 s"
    counters.refuse("one", "again")
    assert caplog.messages[-1] == "again"
    counters.tick(2 * PERIOD)
    assert caplog.messages[-1] == "again"
    assert counters["one"] == LINES + 6
