"""Backends that a cache names."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.gateways.corerouter.routers import begin, name, router
from uwgate.gateways.corerouter.cached import Cached
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.router import Corerouter


class Value(NamedTuple):
    value: bytes


class Book:
    """A cache that is a dictionary."""

    def __init__(self, items: dict[bytes, bytes]) -> None:
        self.items = items

    def get(self, key: bytes) -> Value | None:
        value = self.items.get(key)
        return None if value is None else Value(value)


def make(**items: str) -> Corerouter:
    made = router(to=("127.0.0.1:9",))
    made.mapper = Cached(
        Book({key.encode(): text.encode() for key, text in items.items()}), made.counters
    )
    return made


def tried(made: Corerouter, key: str = "a") -> tuple[list[str | None], Outcome | None]:
    attempts = begin(made, key)
    found: list[str | None] = []
    while target := attempts.next(0.0):
        found.append(name(target))
        attempts.failed(0.0, "refused")
    attempts.end(0.0)
    return found, attempts.outcome


@pytest.mark.parametrize(
    ("value", "address", "modifier1"),
    [
        ("127.0.0.1:3031", "127.0.0.1:3031", None),
        ("/run/a.sock,5", "/run/a.sock", 5),
        ("@a", "@a", None),
    ],
)
def test_the_value_is_the_address(value: str, address: str, modifier1: int | None) -> None:
    target = begin(make(a=value)).next(0.0)
    assert target is not None
    assert (target.name, target.modifier1) == (address, modifier1)


def test_several_addresses_take_turns() -> None:
    made = make(a=":1|:2|:3")
    first = [name(begin(made).next(0.0)) for _ in range(6)]
    assert sorted(first[:3], key=str) == sorted(first[3:], key=str) == [":1", ":2", ":3"]


def test_one_that_fails_is_followed_by_the_others() -> None:
    found, outcome = tried(make(a=":1|:2|:3"))
    assert sorted(found, key=str) == [":1", ":2", ":3"]
    assert outcome is Outcome.EXHAUSTED


def test_nobody_is_there_for_a_key_that_is_not() -> None:
    assert tried(make(a=":1"), "b") == ([], Outcome.NOBODY)


@pytest.mark.parametrize("value", ["host:no", ":1,256", ":1,x", ":1|", ":1,", "\udcff:1:1"])
def test_what_is_no_address_is_counted(value: str) -> None:
    made = make(a="x")
    mapper = made.mapper
    assert isinstance(mapper, Cached)
    mapper._cache = Book({b"a": value.encode(errors="surrogateescape")})
    assert tried(made) == ([], Outcome.NOBODY)
    assert made.counters["use-cache"] == 1
