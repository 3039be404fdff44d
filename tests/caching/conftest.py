"""Caches in a folder of their own, on a clock that stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from uwgate.caching.store import Store
from uwgate.conf.caches import parse_cache2

Make = Callable[..., Store]


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Make]:
    """Makes the store of a cache; the argument is what cache2 says besides its name."""
    made: list[Store] = []

    def make(text: str = "items=100", name: str = "c") -> Store:
        spec = parse_cache2(f"name={name},{text}")
        path = spec.store or str(tmp_path / f"{name}.mdb")
        store = Store(spec, path, str(tmp_path / f"{name}.tally"), clock=clock)
        store.prepare()
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()
