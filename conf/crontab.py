"""When commands run: the values of ``cron`` and its like (spec/workers.md section 25).

``-1`` is any value, ``-N`` every N. What crontab(5) writes is understood as well: ``*``, ``*/N``,
``A-B`` and lists of all these with commas. If both day and weekday name values, one of them is
enough. Out of range is an error; in uWSGI such a command never runs.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from uwgate.conf.errors import ConfigError
from uwgate.conf.keyval import read_keyval

NAMES = ("minute", "hour", "day", "month", "week")
RANGES = {
    "minute": range(60),
    "hour": range(24),
    "day": range(1, 32),
    "month": range(1, 13),
    "week": range(8),
}
SUNDAY = 7  # as well as 0
ITEM = re.compile(r"(?:\*|(?P<first>\d{1,2})(?:-(?P<last>\d{1,2}))?)(?:/(?P<step>\d{1,2}))?", re.A)
EVERY = re.compile(r"-(\d{1,2})", re.A)
CRON2_KEYS = (*NAMES, "unique", "harakiri", "legion")


@dataclass(frozen=True, slots=True)
class Field:
    """The values at which a command runs. ``is_open``: it names none, but any or every so many."""

    values: frozenset[int]
    is_open: bool


@dataclass(frozen=True, slots=True)
class Cron:
    """A command and its times.

    ``times`` is how they are written, five words. ``is_address``: the command is a web address,
    which is asked. ``harakiri``: seconds that a run may take, 0
    without a limit, None for what ``cron-harakiri`` says. ``legion``: only its lord runs it; empty:
    every node does. ``is_unique``: not while the previous run lasts.
    """

    fields: tuple[Field, Field, Field, Field, Field]
    times: tuple[str, str, str, str, str]
    command: str
    is_unique: bool = False
    harakiri: int | None = None
    legion: str = ""
    is_address: bool = False

    def matches(self, when: time.struct_time) -> bool:
        """Whether it runs in this minute."""
        minute, hour, day, month, week = self.fields
        fits_day = when.tm_mday in day.values
        fits_week = (when.tm_wday + 1) % 7 in week.values
        one_is_enough = not day.is_open and not week.is_open
        return (
            when.tm_min in minute.values
            and when.tm_hour in hour.values
            and when.tm_mon in month.values
            and (fits_day or fits_week if one_is_enough else fits_day and fits_week)
        )


def read_cron(text: str) -> Cron:
    """``MINUTE HOUR DAY MONTH WEEKDAY COMMAND``.

    Raises:
        ConfigError: it is something else.
    """
    words = text.split(None, len(NAMES))
    if len(words) <= len(NAMES):
        raise ConfigError(f"{text!r}: expected MINUTE HOUR DAY MONTH WEEKDAY COMMAND")
    return _cron(dict(zip(NAMES, words, strict=False)), words[-1])


def read_unique_cron(text: str) -> Cron:
    """The same, not while the previous run lasts.

    Raises:
        ConfigError: it is something else.
    """
    return _unique(read_cron(text))


def read_legion_cron(text: str) -> Cron:
    """``LEGION MINUTE HOUR DAY MONTH WEEKDAY COMMAND``.

    Raises:
        ConfigError: it is something else.
    """
    legion, _, rest = text.strip().partition(" ")
    try:
        cron = read_cron(rest)
    except ConfigError:
        raise ConfigError(
            f"{text!r}: expected LEGION MINUTE HOUR DAY MONTH WEEKDAY COMMAND"
        ) from None
    return Cron(cron.fields, cron.times, cron.command, legion=legion)


def read_unique_legion_cron(text: str) -> Cron:
    """The same, not while the previous run lasts.

    Raises:
        ConfigError: it is something else.
    """
    return _unique(read_legion_cron(text))


def read_curl_cron(text: str) -> Cron:
    """``MINUTE HOUR DAY MONTH WEEKDAY URL``.

    Raises:
        ConfigError: it is something else.
    """
    return _of_address(read_cron(text))


def read_legion_curl_cron(text: str) -> Cron:
    """``LEGION MINUTE HOUR DAY MONTH WEEKDAY URL``.

    Raises:
        ConfigError: it is something else.
    """
    return _of_address(read_legion_cron(text))


def read_cron2(text: str) -> Cron:
    """``KEY=VALUE,KEY=VALUE COMMAND``; without such a list the command runs every minute.

    Raises:
        ConfigError: it is something else.
    """
    first, _, rest = text.strip().partition(" ")
    if "=" not in first:
        first, rest = "", text
    given = read_keyval(first) if first else {}
    for key in given:
        if key not in CRON2_KEYS:
            raise ConfigError(f"{key}: expected one of {', '.join(CRON2_KEYS)}")
    if not rest.strip():
        raise ConfigError(f"{text!r}: expected KEY=VALUE,... COMMAND")
    cron = _cron({name: given.get(name, "-1") for name in NAMES}, rest.strip())
    limit = given.get("harakiri")
    if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) < 9):
        raise ConfigError(f"harakiri={limit}: expected seconds")
    return Cron(
        cron.fields,
        cron.times,
        cron.command,
        is_unique=given.get("unique", "0") not in ("", "0"),
        harakiri=None if limit is None else int(limit),
        legion=given.get("legion", ""),
    )


def _cron(words: dict[str, str], command: str) -> Cron:
    minute, hour, day, month, week = (_field(name, words[name]) for name in NAMES)
    times = words["minute"], words["hour"], words["day"], words["month"], words["week"]
    return Cron((minute, hour, day, month, week), times, command)


def _unique(cron: Cron) -> Cron:
    return Cron(cron.fields, cron.times, cron.command, is_unique=True, legion=cron.legion)


def _of_address(cron: Cron) -> Cron:
    address = cron.command.strip()
    if not address.lower().startswith(("http://", "https://")) or len(address.split()) > 1:
        raise ConfigError(f"{address!r}: expected an address that begins with http:// or https://")
    return Cron(cron.fields, cron.times, address, legion=cron.legion, is_address=True)


def _field(name: str, text: str) -> Field:
    """The values that one word names.

    Raises:
        ConfigError: it names none.
    """
    allowed = RANGES[name]
    every = EVERY.fullmatch(text)
    if every is not None and int(every[1]):
        found = {value for value in allowed if value % int(every[1]) == 0}
        return Field(_weekdays(name, found), True)
    found = set()
    is_open = True
    for item in text.split(","):
        match = ITEM.fullmatch(item)
        if match is None:
            raise ConfigError(f"{name} {text!r}: expected a number, -N for every N, A-B, * or */N")
        step = int(match["step"] or 1)
        first = allowed[0] if match["first"] is None else int(match["first"])
        last = allowed[-1]
        if match["first"] is not None:
            is_open = False
            last = int(match["last"] or (last if match["step"] else first))
        if first not in allowed or last not in allowed or first > last or not step:
            raise ConfigError(f"{name} {text!r}: expected {allowed[0]} to {allowed[-1]}")
        found.update(range(first, last + 1, step))
    return Field(_weekdays(name, found), is_open)


def _weekdays(name: str, values: set[int]) -> frozenset[int]:
    if name == "week" and SUNDAY in values:
        values = values - {SUNDAY} | {0}
    return frozenset(values)
