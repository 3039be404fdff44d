"""Which minutes have come since the last look, on a clock that may step."""

from __future__ import annotations

MINUTE = 60.0  # seconds
STEP_BACK = 60  # minutes; a clock set back further was wrong before, and starts anew
MAX_LATE = 2  # minutes that are made up for; what was missed before is left out


class Timetable:
    """``last`` is the number of the minute that was handled last, since 1970; None: none was."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.missed = 0  # minutes that were left out

    def due(self, now: float) -> range:
        """The minutes that are to be handled now; they count as handled from here on.

        ``now`` is seconds since 1970. A clock that is set back does not repeat minutes, and one
        that is set forward, or stood still, leaves out what it jumps over.
        """
        minute = int(now // MINUTE)
        if self.last is None or minute < self.last - STEP_BACK:
            self.last = minute - 1
        first = max(self.last + 1, minute - MAX_LATE + 1)
        if minute > self.last:
            self.missed += first - self.last - 1
            self.last = minute
        return range(first, minute + 1)

    def wait(self, now: float) -> float:
        """Seconds until the next minute begins; a step of the clock may make it wrong."""
        return MINUTE - now % MINUTE
