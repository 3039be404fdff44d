"""Threads for work that may take too long, and a limit for how long it is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class OverdueError(Exception):
    """The work is not done within its limit."""


class FullError(Exception):
    """Too much work waits already."""


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None
        self.is_wanted = True
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # it is whose who waits
            self._error = error
        finally:
            self.done.set()

    def take(self) -> T:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # else it would hold itself, and all that the work had open
        return self._results[0]


class Bench:
    """Runs jobs in threads of its own, at most ``threads`` at a time.

    ``waiting``: jobs that may wait for a thread; more are refused. Threads start when there
    is work for them, stay, and end with the process whatever they do. A job that nobody waits
    for any more runs to its end, and keeps its thread until then; one that has not begun is
    not begun.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._name = name
        self._threads = threads
        self._limit = threads + waiting
        self._lock = threading.Lock()
        self._running = 0  # threads
        self._jobs = 0  # that wait, run, or were given up and not seen since
        self._queue: SimpleQueue[_Job[Any]] = SimpleQueue()

    def run(self, work: Callable[[], T], limit: float) -> T:
        """The result of ``work``, within ``limit`` seconds, waiting for a thread included.

        Raises:
            OverdueError: it takes longer.
            FullError: too many wait already.
            Exception: what the work raises.
        """
        job = _Job(work)
        with self._lock:
            if self._jobs >= self._limit:
                raise FullError(f"{self._name}: {self._jobs} wait already")
            self._jobs += 1
            if self._running < min(self._threads, self._jobs):
                self._running += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        self._queue.put(job)
        if not job.done.wait(limit):
            job.is_wanted = False
            raise OverdueError(f"{self._name}: not done within {limit:g} s")
        return job.take()

    def _serve(self) -> None:
        while True:
            job = self._queue.get()
            if job.is_wanted:
                job.run()
            del job
            with self._lock:
                self._jobs -= 1
