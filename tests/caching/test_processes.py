"""Several processes at one store, some of which are killed in the middle."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from uwgate.caching.arithmetic import Operation
from uwgate.caching.records import NUMBER
from uwgate.caching.store import Store
from uwgate.conf.caches import parse_cache2

KEYS = [b"key %d" % number for number in range(8)]
LIMIT = 60.0  # seconds; only a failing test takes them


def value_of(key: bytes, number: int, size: int) -> bytes:
    """A value that tells whether it is whole, and whose."""
    body = struct.pack("<I", number) + random.Random(number).randbytes(size)
    return body + struct.pack("<I", zlib.crc32(key + body))


def is_whole(key: bytes, value: bytes) -> bool:
    return zlib.crc32(key + value[:-4]) == int.from_bytes(value[-4:], "little")


def fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def join(pid: int) -> int:
    """The exit status of a child; it is killed if it takes too long, which is a hang."""
    ends = time.monotonic() + LIMIT
    while time.monotonic() < ends:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 99


def open_store(folder: Path, text: str) -> Store:
    spec = parse_cache2(f"name=c,{text}")
    path = spec.store or str(folder / "c.mdb")
    return Store(spec, path, str(folder / "c.tally"), patience=30.0)


@pytest.mark.parametrize(
    "text", ["items=5,lru=1,blocksize=30000", "items=100,bitmap=1,blocksize=1000,blocks=200"]
)
def test_many_writers_never_make_a_value_that_nobody_wrote(tmp_path: Path, text: str) -> None:
    store = open_store(tmp_path, text)
    store.prepare()

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for step in range(150):
            key = rng.choice(KEYS)
            match rng.randrange(4):
                case 0 | 1:
                    store.put(key, value_of(key, step, rng.choice([9, 999, 29000])), overwrite=True)
                case 2:
                    item = store.get(key)
                    assert item is None or is_whole(key, item.value)
                case _:
                    store.delete(key)

    children = [fork(lambda seed=seed: work(seed)) for seed in range(4)]  # type: ignore[misc]
    assert [join(pid) for pid in children] == [0] * 4
    assert all(is_whole(key, item.value) for key in KEYS if (item := store.peek(key)))
    store.close()


def test_no_addition_is_lost(tmp_path: Path) -> None:
    store = open_store(tmp_path, "items=10")
    store.prepare()

    def work() -> None:
        for _ in range(100):
            assert store.calculate(b"n", Operation.ADD, 1) is not None

    children = [fork(work) for _ in range(4)]
    assert [join(pid) for pid in children] == [0] * 4
    item = store.get(b"n")
    assert item is not None
    assert NUMBER.unpack(item.value) == (400,)
    store.close()


@pytest.mark.parametrize("seed", range(3))
def test_writers_that_are_killed_leave_whole_values_and_block_nobody(
    tmp_path: Path, seed: int
) -> None:
    store = open_store(tmp_path, f"items=6,lru=1,blocksize=70000,store={tmp_path}/store")
    store.prepare()
    rng = random.Random(seed)

    def work() -> None:
        number = 0
        while True:
            number += 1
            for key in KEYS:
                store.put(key, value_of(key, number, 60000 + number % 100), overwrite=True)

    for _ in range(12):
        children = [fork(work), fork(work)]
        time.sleep(rng.random() * 0.02)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for key in KEYS:
            item = store.get(key)
            assert item is None or is_whole(key, item.value)
        assert store.put(b"after", b"v", overwrite=True)
        assert store.count <= 6
    store.forget_dead()
    store.close()
