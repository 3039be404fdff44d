"""conf/alarms.py: what an alarm does, and what is a repetition."""

from __future__ import annotations

import pytest

from uwgate.conf.alarms import AlarmSpec, Repetitions, alarms_by_name, read_alarm
from uwgate.conf.errors import ConfigError


def test_alarms_of_one_name_belong_together() -> None:
    assert alarms_by_name(("a cmd:mail -s x root", "b log:", "a log:see: here")) == {
        "a": (AlarmSpec("a", "cmd", "mail -s x root"), AlarmSpec("a", "log", "see: here")),
        "b": (AlarmSpec("b", "log", ""),),
    }


@pytest.mark.parametrize("text", ["", "a", "a cmd", "a cmd:", "a :x", "a signal:1", "a nail:x"])
def test_what_is_no_alarm_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        read_alarm(text)


def test_the_same_message_is_a_repetition_for_a_while() -> None:
    repetitions = Repetitions(3.0)
    assert not repetitions.is_one("a", "x", 10.0)
    assert repetitions.is_one("a", "x", 12.9)
    assert not repetitions.is_one("b", "x", 12.9)
    assert not repetitions.is_one("a", "x", 13.0)
    assert not repetitions.is_one("a", "y", 13.1)
    assert not repetitions.is_one("a", "x", 13.2)
