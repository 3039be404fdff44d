"""Dates of HTTP (RFC 9110 section 5.6.7)."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.files.dates import LAST, format_date, parse_date

NOW = 1_800_000_000.0  # 2027


@pytest.mark.parametrize(
    "text",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
)
def test_three_forms_are_understood(text: bytes) -> None:
    assert parse_date(text, NOW) == 784111777


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"now",
        b"0",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 CET",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Sun, 29 Feb 1900 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:49:37 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT\n",
        b" Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun Nov   08:49:37 1994",
    ],
)
def test_anything_else_is_no_date(text: bytes) -> None:
    assert parse_date(text, NOW) is None


@pytest.mark.parametrize(("short", "year"), [(b"77", 2077), (b"78", 1978), (b"27", 2027)])
def test_a_short_year_is_at_most_fifty_years_ahead(short: bytes, year: int) -> None:
    found = parse_date(b"Sunday, 06-Nov-%b 08:49:37 GMT" % short, NOW)
    assert found == parse_date(b"Sun, 06 Nov %d 08:49:37 GMT" % year, NOW)


@given(st.integers(0, LAST))
def test_what_is_written_is_read(seconds: int) -> None:
    assert parse_date(format_date(seconds), NOW) == seconds
    assert format_date(seconds) == formatdate(seconds, usegmt=True).encode()


@pytest.mark.parametrize(("seconds", "nearest"), [(-5, 0), (LAST + 1, LAST), (1e30, LAST)])
def test_what_has_no_date_gets_the_nearest(seconds: float, nearest: int) -> None:
    assert format_date(seconds) == format_date(nearest)


@given(st.binary(max_size=60))
def test_any_bytes_are_read(text: bytes) -> None:
    parse_date(text, NOW)
