"""conf/crontab.py: when commands run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.crontab import (
    Cron,
    read_cron,
    read_cron2,
    read_curl_cron,
    read_legion_cron,
    read_legion_curl_cron,
    read_unique_cron,
    read_unique_legion_cron,
)
from uwgate.conf.errors import ConfigError

Read = Callable[[str], Cron]


def at(text: str) -> time.struct_time:
    return time.strptime(text, "%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("times", "when", "runs"),
    [
        ("-1 -1 -1 -1 -1", "2026-11-21 20:07", True),
        ("* * * * *", "2026-11-21 20:07", True),
        ("7 20 -1 -1 -1", "2026-11-21 20:07", True),
        ("7 20 -1 -1 -1", "2026-11-21 20:08", False),
        ("7 20 -1 -1 -1", "2026-11-21 21:07", False),
        ("-5 -1 -1 -1 -1", "2026-11-21 20:10", True),
        ("-5 -1 -1 -1 -1", "2026-11-21 20:11", False),
        ("*/5 -1 -1 -1 -1", "2026-11-21 20:10", True),
        ("0 -12 -1 -1 -1", "2026-11-21 12:00", True),
        ("0 -12 -1 -1 -1", "2026-11-21 13:00", False),
        ("0 0 1 -1 -1", "2026-11-01 00:00", True),
        ("0 0 -1 11 -1", "2026-10-01 00:00", False),
        ("-1 -1 -1 -1 6", "2026-11-21 00:00", True),  # a Saturday
        ("-1 -1 -1 -1 0", "2026-11-22 00:00", True),
        ("-1 -1 -1 -1 7", "2026-11-22 00:00", True),
        ("-1 -1 -1 -1 1", "2026-11-22 00:00", False),
        # Day and weekday both name values: one is enough.
        ("-1 -1 1 -1 6", "2026-11-21 00:00", True),
        ("-1 -1 21 -1 1", "2026-11-21 00:00", True),
        ("-1 -1 1 -1 1", "2026-11-21 00:00", False),
        # Every so many days is no name of one.
        ("-1 -1 -2 -1 6", "2026-11-21 00:00", False),
        ("1-3,7 8-18/2 -1 1-3,11 -1", "2026-11-21 10:07", True),
        ("1-3,7 8-18/2 -1 1-3,11 -1", "2026-11-21 11:07", False),
        ("1-3,7 8-18/2 -1 1-3,11 -1", "2026-11-21 10:04", False),
        ("5/20 * * * *", "2026-11-21 10:45", True),
    ],
)
def test_a_command_runs_at_its_times(times: str, when: str, runs: bool) -> None:
    assert read_cron(f"{times} true").matches(at(when)) is runs


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (0, "60"),
        (0, "x"),
        (0, ""),
        (0, "-0"),
        (0, "1-"),
        (0, "3-1"),
        (0, "1,,2"),
        (0, "*/0"),
        (1, "24"),
        (2, "0"),
        (2, "32"),
        (3, "13"),
        (4, "8"),
        (4, "\u0661"),
    ],
)
def test_a_time_that_never_comes_is_an_error(field: int, text: str) -> None:
    words = ["-1"] * 5
    words[field] = text
    with pytest.raises(ConfigError):
        read_cron(" ".join([*words, "true"]))


@given(st.text(alphabet="0123456789-*/, ", max_size=30))
def test_whatever_stands_there_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        read_cron(f"{text} true")


def test_the_command_is_the_rest_of_the_line() -> None:
    cron = read_cron("0 1  2 3 4  echo  'a  b' >> /tmp/x ")
    assert cron.command == "echo  'a  b' >> /tmp/x "
    assert cron.times == ("0", "1", "2", "3", "4")


def test_other_forms_say_who_runs_it_and_how_often() -> None:
    assert read_unique_cron("0 1 2 3 4 true").is_unique
    assert read_legion_cron("ring 0 1 2 3 4 true").legion == "ring"
    both = read_unique_legion_cron("ring 0 1 2 3 4 true")
    assert (both.legion, both.is_unique, both.command) == ("ring", True, "true")


def test_cron2_has_keys() -> None:
    cron = read_cron2("minute=-2,hour=1\\,2,unique=1,harakiri=30,legion=ring echo a=b")
    assert cron.times == ("-2", "1,2", "-1", "-1", "-1")
    assert (cron.is_unique, cron.harakiri, cron.legion) == (True, 30, "ring")
    assert cron.command == "echo a=b"


def test_cron2_without_keys_runs_every_minute() -> None:
    cron = read_cron2("echo hello")
    assert (cron.command, cron.times) == ("echo hello", ("-1",) * 5)
    assert cron.harakiri is None


def test_an_address_may_be_asked_instead() -> None:
    assert read_curl_cron("0 1 2 3 4 https://[::1]/x?y").is_address
    cron = read_legion_curl_cron("ring 0 1 2 3 4 http://localhost/ ")
    assert (cron.legion, cron.command, cron.is_address) == ("ring", "http://localhost/", True)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_curl_cron, "0 1 2 3 4 file:///etc/passwd"),
        (read_curl_cron, "0 1 2 3 4 http://a b"),
        (read_cron, "0 1 2 3 4"),
        (read_cron, ""),
        (read_legion_cron, "0 1 2 3 4 true"),
        (read_cron2, "minute=1"),
        (read_cron2, "minutes=1 true"),
        (read_cron2, "minute=1,minute=2 true"),
        (read_cron2, "harakiri=x true"),
        (read_cron2, "minute=1,unique true"),
    ],
)
def test_what_has_another_form_is_an_error(read: Read, text: str) -> None:
    with pytest.raises(ConfigError):
        read(text)
