"""Whether a client wants the file as it is now (RFC 9110 section 13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.files.conditions import MAX_TAGS, Validators, check, range_applies
from uwgate.files.dates import format_date
from uwgate.files.request import Request

NOW = 1_800_000_000.0
CHANGED = 1_700_000_000
OURS = Validators(b'"v1"', CHANGED)
WEAK = Validators(b'W/"v1"', CHANGED)
BEFORE, AT, AFTER = (format_date(CHANGED + shift) for shift in (-1, 0, 1))


def result(fields: dict[bytes, bytes], ours: Validators = OURS, method: bytes = b"GET") -> object:
    return check(Request(method, fields=fields), ours, NOW)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b'"v1"', None),
        (b'"v0", "v1"', None),
        (b',, "v0" ,"v1",', None),
        (b"*", None),
        (b'"v0"', 412),
        (b'W/"v1"', 412),
        (b'"a,"v1"', 412),
        (b"v1", 412),
        (b"", 412),
    ],
)
def test_if_match_wants_the_very_same(value: bytes, status: object) -> None:
    assert result({b"if-match": value}) == status


def test_a_weak_tag_is_never_the_very_same() -> None:
    assert result({b"if-match": b'W/"v1"'}, WEAK) == 412


@pytest.mark.parametrize(
    ("value", "status"),
    [(b'"v1"', 304), (b'W/"v1"', 304), (b"*", 304), (b'"x", W/"v1"', 304), (b'"x"', None)],
)
def test_if_none_match_compares_weakly(value: bytes, status: object) -> None:
    assert result({b"if-none-match": value}) == status
    assert result({b"if-none-match": value}, WEAK) == status


def test_another_method_is_not_told_that_nothing_changed() -> None:
    assert result({b"if-none-match": b"*"}, method=b"PUT") == 412


@pytest.mark.parametrize(
    ("value", "status"), [(BEFORE, None), (AT, 304), (AFTER, 304), (b"yesterday", None)]
)
def test_if_modified_since_is_by_the_second(value: bytes, status: object) -> None:
    assert result({b"if-modified-since": value}) == status


@pytest.mark.parametrize(
    ("value", "status"), [(BEFORE, 412), (AT, None), (AFTER, None), (b"yesterday", None)]
)
def test_if_unmodified_since_is_by_the_second(value: bytes, status: object) -> None:
    assert result({b"if-unmodified-since": value}) == status


def test_tags_go_before_dates() -> None:
    assert result({b"if-none-match": b'"x"', b"if-modified-since": AFTER}) is None
    assert result({b"if-match": b'"v1"', b"if-unmodified-since": BEFORE}) is None


def test_what_must_match_goes_before_what_must_not() -> None:
    assert result({b"if-match": b'"x"', b"if-none-match": b'"v1"'}) == 412


def test_a_list_beyond_its_limit_matches_nothing() -> None:
    assert result({b"if-none-match": b'"v1",' * MAX_TAGS}) is None


@pytest.mark.parametrize(
    ("value", "ours", "applies"),
    [
        (b'"v1"', OURS, True),
        (b'"v0"', OURS, False),
        (b'W/"v1"', WEAK, False),
        (AT, OURS, True),
        (BEFORE, OURS, False),
        (AFTER, OURS, False),
        (b"yesterday", OURS, False),
        (AT, Validators(b'"v1"', CHANGED, settled=False), False),
        (AT, Validators(b'"v1"', None), False),
    ],
)
def test_if_range_wants_the_very_same(value: bytes, ours: Validators, applies: bool) -> None:
    assert range_applies(Request(fields={b"if-range": value}), ours, NOW) is applies


def test_a_range_without_a_condition_applies() -> None:
    assert range_applies(Request(), OURS, NOW)


@given(name=st.sampled_from([b"if-match", b"if-none-match", b"if-range"]), value=st.binary())
def test_any_bytes_are_read(name: bytes, value: bytes) -> None:
    request = Request(fields={name: value})
    assert check(request, OURS, NOW) in (None, 304, 412)
    assert range_applies(request, OURS, NOW) in (False, True)
