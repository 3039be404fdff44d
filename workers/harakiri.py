"""A time limit that a rule sets for one request (``harakiri:seconds``).

A thread of ``faulthandler`` writes where the process hangs and ends it: it needs no lock of
the interpreter, so code that never comes back cannot stop it.
"""

from __future__ import annotations

import faulthandler
import time
from threading import Lock


class Harakiri:
    """The limits of a worker's slots; the earliest one counts, and ends the whole process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._due: dict[int, float] = {}  # time.monotonic() by slot

    def begin(self, core: int, seconds: float) -> None:
        """The request that runs on a slot has so many seconds from now."""
        with self._lock:
            self._due[core] = time.monotonic() + seconds
            self._arm()

    def end(self, core: int) -> None:
        """The request is over."""
        if core in self._due:
            with self._lock:
                self._due.pop(core, None)
                self._arm()

    def _arm(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self._due:
            left = min(self._due.values()) - time.monotonic()
            faulthandler.dump_traceback_later(max(left, 0.001), exit=True, file=2)
