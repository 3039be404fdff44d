"""What the workers of one spawner share in memory: counters, and who is free."""

from __future__ import annotations

import mmap

from uwgate.workers.pause import Pause
from uwgate.workers.scoreboard import AWAY, Scoreboard
from uwgate.workers.signals import Signals


class Shared:
    """One place for each of ``slots`` slots; made before the fork, written by its slot only.

    ``scoreboard`` is shared with the master as well. ``pause`` says whether they rest. ``signals``
    are those of uWSGI, for so many ``workers``.
    """

    def __init__(self, slots: int, scoreboard_fd: int = -1, *, workers: int = 1) -> None:
        self.pause = Pause()
        self.signals = Signals(workers)
        self.scoreboard = Scoreboard(scoreboard_fd, slots)
        self._requests = memoryview(mmap.mmap(-1, 8 * slots)).cast("Q")
        self._free = mmap.mmap(-1, slots)

    def count(self, slot: int) -> None:
        """A slot begins a request."""
        self._requests[slot] += 1

    def total(self) -> int:
        """Requests of all slots, those of dead workers included."""
        return sum(self._requests)

    def set_free(self, slot: int, free: bool) -> None:
        """A slot waits without a connection, or stops doing so."""
        self._free[slot] = free

    def leave(self, slot: int) -> None:
        """A slot serves no more, or its process is gone."""
        self.set_free(slot, False)
        self.scoreboard.marks[slot] = AWAY

    def any_free(self) -> bool:
        """Whether some slot waits without a connection."""
        return self._free.find(b"\1") >= 0
