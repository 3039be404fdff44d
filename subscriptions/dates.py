"""The times that packets with uWSGI's signatures bear."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from uwgate.subscriptions.packet import Command

MAX_AHEAD = 3  # seconds that a date may be in the future

Name = TypeVar("Name", bound=Hashable)


class Dates(Generic[Name]):
    """Dates what is said of several names.

    These signatures have no smaller unit than the second, and an unsubscribe is dated one second
    ahead; but what is not newer than what was said last is refused as a replay.
    """

    def __init__(self) -> None:
        self._last: dict[Name, int] = {}  # what was said in this second or ahead of it

    def date(self, name: Name, command: Command, now: float) -> float:
        """What the next packet about ``name`` bears; both are seconds since 1970."""
        last = self._last.get(name, 0)
        date = min(max(int(now), last + 1 - command), int(now) + MAX_AHEAD)
        self._last[name] = date + command
        return float(date)

    def forget(self, now: float) -> None:
        """Forget what is past; now and again."""
        past = int(now)
        self._last = {name: date for name, date in self._last.items() if date >= past}
