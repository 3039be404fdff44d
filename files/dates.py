"""Dates of HTTP (RFC 9110 section 5.6.7). Seconds since the epoch, as whole numbers."""

from __future__ import annotations

import re
from calendar import timegm
from email.utils import formatdate

LAST = 253402300799  # the last second of 9999: there is no date behind it

_MONTHS = {
    name: number
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_TIME = rb"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)"
_MONTH = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_FORMS = (
    re.compile(
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>\d\d) %b (?P<year>\d{4}) %b GMT"
        % (_MONTH, _TIME)
    ),
    re.compile(  # RFC 850
        rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d\d)-%b-(?P<year>\d\d) %b GMT"
        % (_MONTH, _TIME)
    ),
    re.compile(  # asctime
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) %b (?P<day>\d\d| \d) %b (?P<year>\d{4})"
        % (_MONTH, _TIME)
    ),
)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_date(text: bytes, now: float) -> int | None:
    """What a date says; None if it is none. ``now`` decides the century of a short year."""
    for form in _FORMS:
        match = form.fullmatch(text)
        if match:
            break
    else:
        return None
    month, day, year = _MONTHS[match["month"]], int(match["day"]), int(match["year"])
    if not 1 <= day <= _DAYS[month - 1]:
        return None
    if len(match["year"]) == 2:
        # One that seems more than 50 years ahead is the last one that ended so.
        this = 1970 + int(now / 31556952)
        year += this - this % 100
        if year > this + 50:
            year -= 100
    if month == 2 and day == 29 and (year % 4 or (year % 100 == 0 and year % 400)):
        return None
    if year < 1:
        return None
    clock = (int(match["hour"]), int(match["minute"]), int(match["second"]))
    return timegm((year, month, day, *clock))


def format_date(seconds: float) -> bytes:
    """The date as uwgate sends it; beyond 9999 and before 1970 the nearest one."""
    return formatdate(min(max(int(seconds), 0), LAST), usegmt=True).encode()
