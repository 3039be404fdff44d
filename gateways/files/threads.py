"""Work in a thread whose result has to be put away if nobody waits for it any longer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


async def run(
    work: Callable[[], T], put_away: Callable[[T], None], limiter: trio.CapacityLimiter
) -> T:
    """What ``work`` returns. Cancelling returns at once; the thread goes on until it is done, and
    its result goes to ``put_away``."""
    box = _Box(work, put_away)
    try:
        return await trio.to_thread.run_sync(box.run, abandon_on_cancel=True, limiter=limiter)
    except trio.Cancelled:
        box.abandon()
        raise


class _Box(Generic[T]):
    """A result, between the thread that makes it and the task that may have gone."""

    def __init__(self, work: Callable[[], T], put_away: Callable[[T], None]) -> None:
        self._work = work
        self._put_away = put_away
        self._lock = threading.Lock()
        self._abandoned = False
        self._results: list[T] = []

    def run(self) -> T:
        result = self._work()
        with self._lock:
            self._results.append(result)
            abandoned = self._abandoned
        if abandoned:
            self.abandon()
        return result

    def abandon(self) -> None:
        """Nobody waits any longer."""
        with self._lock:
            self._abandoned = True
            results, self._results = self._results, []
        for result in results:
            self._put_away(result)
