"""What a gateway process refused, by name, and a log of it that no client can flood."""

from __future__ import annotations

import logging
from collections import Counter

log = logging.getLogger("uwgate.http")

LINES = 10  # of one name in the log, in each
PERIOD = 10.0  # seconds


class Counters:
    """Counts by name. Names are the program's own, never a client's: there are few.

    ``lines`` of one name are logged in each ``period`` (seconds). ``tick`` brings the time;
    without it the log's first period never ends.
    """

    def __init__(
        self, log: logging.Logger = log, *, lines: int = LINES, period: float = PERIOD
    ) -> None:
        self._log = log
        self._limit = lines
        self._period = period
        self._counts: Counter[str] = Counter()
        self._lines: Counter[str] = Counter()  # asked for in this period
        self._ends = period

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def as_dict(self) -> dict[str, int]:
        """All counts since the process began."""
        return dict(self._counts)

    def count(self, name: str) -> None:
        """Count without a word in the log."""
        self._counts[name] += 1

    def refuse(self, name: str, text: str, *arguments: object, level: int = logging.INFO) -> None:
        """Count, and log ``text % arguments`` unless there was too much of that already."""
        self._counts[name] += 1
        self._lines[name] = lines = self._lines[name] + 1
        if lines <= self._limit:
            self._log.log(level, text, *arguments)

    def tick(self, now: float) -> None:
        """The time, in seconds of any clock; to be called about once a second."""
        if now < self._ends:
            return
        self._ends = now + self._period
        for name, lines in self._lines.items():
            if lines > self._limit:
                more = lines - self._limit
                self._log.warning("%s: %d more in the last %g s", name, more, self._period)
        self._lines.clear()
