"""Heads of whole answers, put together once."""

from __future__ import annotations

import pytest

from uwgate.gateways.routed import head
from uwgate.gateways.routed.head import Heads, join_head
from uwgate.gateways.wire.lease import LENGTH, NO_BODY

TYPE = (b"Content-Type", b"text/plain")


def length(size: int) -> tuple[bytes, bytes]:
    return b"Content-Length", b"%d" % size


def test_a_head_is_the_same_when_it_is_asked_for_again() -> None:
    heads = Heads()
    first = heads.whole(200, b"OK", (TYPE, length(5)), (), 5)
    assert first == join_head(200, b"OK", (TYPE, length(5)), bodiless=False)
    assert heads.whole(200, b"OK", (TYPE, length(5)), (), 5) == first


@pytest.mark.parametrize(
    "other",
    [
        (404, b"OK", (TYPE,), (), 5),
        (200, b"Fine", (TYPE,), (), 5),
        (200, b"OK", (), (), 5),
        (200, b"OK", (TYPE,), ((b"X", b"y"),), 5),
        (200, b"OK", (TYPE,), (), None),
    ],
)
def test_each_part_of_an_answer_makes_a_head_of_its_own(
    other: tuple[int, bytes, tuple[()], tuple[()], int | None],
) -> None:
    heads = Heads()
    heads.whole(200, b"OK", (TYPE,), (), 5)
    status, reason, headers, more, size = other
    expected = join_head(status, reason, [*headers, *more], bodiless=size is None)
    assert heads.whole(*other) == expected


def test_a_length_is_that_of_the_body() -> None:
    flags, text = Heads().whole(200, b"OK", (length(99), TYPE), (), 5)
    assert flags & LENGTH
    assert text == b"200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"


def test_an_answer_without_a_body_keeps_its_length() -> None:
    flags, text = Heads().whole(200, b"OK", (length(99),), (), None)
    assert flags & NO_BODY
    assert text == b"200 OK\r\nContent-Length: 99\r\n"


def test_what_is_remembered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "MAX_KNOWN", 3)
    heads = Heads()
    for size in range(20):
        heads.whole(200, b"OK", (length(size),), (), size)
        assert len(heads._known) <= 3
    count = len(heads._known)
    heads.whole(200, b"OK", ((b"X", b"y" * 2000),), (), 5)
    assert len(heads._known) == count
