"""Which slots wait for a request: one byte each, in memory shared with the master."""

from __future__ import annotations

import mmap
import os
from typing import Self

AWAY = 0  # no worker is there, or its slot serves a request
IDLE = 1


class Scoreboard:
    """``marks`` has a byte for each slot, AWAY or IDLE; only the slot's own process writes it,
    and whoever buries that process.
    """

    def __init__(self, fd: int, slots: int) -> None:
        """Use the memory file ``fd``; -1: memory that is shared with forks only."""
        self.marks = mmap.mmap(fd, max(1, slots))

    @classmethod
    def create(cls, slots: int) -> tuple[Self, int]:
        """A new one, and the descriptor of its memory file, to be passed on and closed."""
        fd = os.memfd_create("uwgate-scoreboard", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, max(1, slots))
            return cls(fd, slots), fd
        except BaseException:
            os.close(fd)
            raise

    @property
    def idle(self) -> int:
        """How many slots wait for a request."""
        return self.marks[:].count(IDLE)

    def close(self) -> None:
        """Give the memory back; others that use it go on."""
        self.marks.close()
