"""What a look into a cache and a change of it cost, beside sqlite3 and diskcache.

Usage: PYTHONPATH=src python -m benchmarks.cache_cost [--runs N]

Microseconds of CPU time of one process for a value of 1000 bytes, files in /dev/shm: the smallest
of all runs. diskcache takes part where it is installed. "lmdb" is the library by itself, in the
same settings; what stands between it and "the store" are times, limits, indexes and locks.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import lmdb

from uwgate.caching.store import Store
from uwgate.conf.caches import parse_cache2

KEYS = [b"key %d" % number for number in range(1000)]
VALUE = b"x" * 1000
OPERATIONS = 2000
Pair = tuple[Callable[[bytes], object], Callable[[bytes], object]]  # get, set


@contextlib.contextmanager
def our_store(folder: str) -> Iterator[Pair]:
    """What uwgate uses."""
    store = Store(parse_cache2("name=c,items=2000"), f"{folder}/store", f"{folder}/tally")
    yield store.get, lambda key: store.put(key, VALUE, overwrite=True)
    store.close()


@contextlib.contextmanager
def plain_lmdb(folder: str) -> Iterator[Pair]:
    """The library by itself."""
    with lmdb.open(
        f"{folder}/lmdb", subdir=False, map_size=1 << 28, sync=False, metasync=False
    ) as env:

        def get(key: bytes) -> object:
            with env.begin() as txn:
                return txn.get(key)

        def put(key: bytes) -> None:
            with env.begin(write=True) as txn:
                txn.put(key, VALUE)

        yield get, put


@contextlib.contextmanager
def plain_sqlite(folder: str) -> Iterator[Pair]:
    """A table, as fast as SQLite can: a write-ahead log, and no waiting for a disk."""
    database = sqlite3.connect(f"{folder}/sqlite", isolation_level=None)
    with contextlib.closing(database) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = off")
        connection.execute("create table t (k blob primary key, v blob) without rowid")
        select, insert = "select v from t where k = ?", "insert or replace into t values (?, ?)"
        yield (
            lambda key: connection.execute(select, (key,)).fetchone(),
            lambda key: connection.execute(insert, (key, VALUE)),
        )


@contextlib.contextmanager
def diskcache(folder: str) -> Iterator[Pair]:
    """The package, with its own settings."""
    module: Any = importlib.import_module("diskcache")
    with module.Cache(f"{folder}/diskcache") as cache:
        yield cache.get, lambda key: cache.set(key, VALUE)


def cost(operation: Callable[[bytes], object]) -> float:
    """Microseconds of CPU time."""
    began = time.process_time()
    for number in range(OPERATIONS):
        operation(KEYS[number % len(KEYS)])
    return (time.process_time() - began) / OPERATIONS * 1e6


def main() -> int:
    """Measure everybody in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    makers = {"the store": our_store, "lmdb": plain_lmdb, "sqlite3": plain_sqlite}
    with contextlib.suppress(ImportError):
        importlib.import_module("diskcache")
        makers["diskcache"] = diskcache
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    best: dict[str, tuple[float, float]] = {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=memory))
        pairs = {name: stack.enter_context(make(folder)) for name, make in makers.items()}
        for _, put in pairs.values():
            for key in KEYS:
                put(key)
        for _ in range(runs):
            for name, (get, put) in pairs.items():
                before = best.get(name, (float("inf"), float("inf")))
                best[name] = min(before[0], cost(get)), min(before[1], cost(put))
    sys.stdout.write(f"{'':12}{'get':>10}{'set':>10}\n")
    for name, (get_cost, put_cost) in best.items():
        sys.stdout.write(f"{name:12}{get_cost:8.1f} µs{put_cost:7.1f} µs\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
