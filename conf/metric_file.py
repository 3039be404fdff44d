"""The values of metrics, in memory that the master and all its children share.

A value is eight bytes. Whoever changes one locks these bytes (fcntl(2), "Advisory record
locking"), reads, calculates and writes: no change of another process is lost. The kernel ends the
lock of a process that is killed, and as eight bytes are written at once, its change is there or
is not, and nothing else. Reading takes no lock.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from uwgate.conf.arithmetic import calculate
from uwgate.conf.errors import ConfigError
from uwgate.conf.metrics import TYPES, Metric

SIZE: Final = 8  # bytes of a value
MOST: Final = 65536  # metrics of all configurations that a master has had
PATIENCE: Final = 1.0  # seconds for a lock, which others hold for microseconds
PAUSE: Final = 1  # milliseconds between two attempts


@dataclass(frozen=True, slots=True)
class MetricFile:
    """What a child is told: the descriptor, and where in the file each metric of ``metric`` is."""

    fd: int
    places: tuple[int, ...]


class Ledger:
    """The master's side. Names keep their places as long as it lives, whatever reloads do."""

    def __init__(self) -> None:
        self._fd = -1
        self._places: dict[str, int] = {}

    def provide(self, metrics: Sequence[Metric]) -> MetricFile | None:
        """Places for these metrics, new ones with their first values; None if there are none.

        Raises:
            ConfigError: there are too many, or no memory for them.
        """
        if not metrics:
            return None
        new = [one for one in metrics if one.name not in self._places]
        if len(self._places) + len(new) > MOST:
            raise ConfigError(f"metric: more than {MOST}, those before reloads included")
        try:
            if self._fd < 0:
                self._fd = os.memfd_create("uwgate-metrics", os.MFD_CLOEXEC)
            os.ftruncate(self._fd, SIZE * (len(self._places) + len(new)))
        except OSError as error:
            raise ConfigError(f"metric: no memory: {error.strerror}") from error
        for one in new:
            place = self._places[one.name] = len(self._places)
            os.pwrite(self._fd, one.initial.to_bytes(SIZE, "little", signed=True), SIZE * place)
        return MetricFile(self._fd, tuple(self._places[one.name] for one in metrics))

    def close(self) -> None:
        """Give the memory back, as far as nobody uses it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._places.clear()


class Metrics:
    """The metrics as a process sees them. Threads may share it, and forks inherit it.

    ``file`` None: there are none.
    """

    def __init__(self, metrics: Sequence[Metric] = (), file: MetricFile | None = None) -> None:
        self.all = tuple(metrics) if file is not None else ()
        self._places: dict[str, int] = {}
        if file is not None:
            self._fd = file.fd
            self._places = dict(zip((one.name for one in metrics), file.places, strict=True))
            memory = mmap.mmap(file.fd, SIZE * (max(file.places) + 1))
            self._values = memoryview(memory).cast("q")
            os.register_at_fork(after_in_child=self._begin)
        self._begin()

    def _begin(self) -> None:
        # Record locks are between processes. Another thread's lock would be locked for ever in a
        # fork, which does not have that thread.
        self._lock = threading.Lock()

    def get(self, name: str) -> int | None:
        """The value of a metric; None: there is none of that name."""
        place = self._places.get(name)
        return None if place is None else self._values[place]

    def initial(self, name: str) -> int:
        """The first value of a metric; 0 if there is none of that name."""
        return next((one.initial for one in self.all if one.name == name), 0)

    def change(self, name: str, operation: str, amount: int) -> bool:
        """Calculate with a metric (``arithmetic.calculate``); False if that was not possible.

        It is not if there is no such metric, if ``amount`` is 0 in a division, or if somebody who
        was stopped in the middle keeps the lock for longer than ``PATIENCE``.

        Raises:
            OSError: the descriptor was closed by somebody else.
        """
        place = self._places.get(name)
        if place is None or not self._lock.acquire(timeout=PATIENCE):
            return False
        try:
            if not self._lock_record(place):
                return False
            try:
                self._values[place] = calculate(operation, self._values[place], amount)
            except ZeroDivisionError:
                return False
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, SIZE, SIZE * place)
            return True
        finally:
            self._lock.release()

    def _lock_record(self, place: int) -> bool:
        deadline: float | None = None
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, SIZE, SIZE * place)
            except (BlockingIOError, PermissionError):
                now = time.monotonic()
                deadline = deadline or now + PATIENCE
                if now >= deadline:
                    return False
                select.poll().poll(PAUSE)
            else:
                return True

    def statistics(self) -> dict[str, dict[str, object]]:
        """What a stats server says of them (spec/observability.md section 2.5)."""
        return {
            one.name: {"type": TYPES.index(one.kind), "oid": one.oid, "value": self.get(one.name)}
            for one in self.all
        }
