"""What a client may send that is not a request, or that only cancels one.

Each of it costs us more than it costs the client, so each is counted: resets (CVE-2023-44487),
resets that the client provokes (CVE-2025-8671), PING, SETTINGS, PRIORITY, WINDOW_UPDATE, DATA
without data. How many CONTINUATION frames a header block may have is wire.http2's business.
"""

from __future__ import annotations

import enum

from h2.errors import ErrorCodes

from uwgate.conf.groups.http2 import Http2Options
from uwgate.gateways.wire.http2 import ConnectionFault

PERIOD = 10.0  # seconds in which the limits count
UPDATES_FOR_DATA = 8  # WINDOW_UPDATE frames that each DATA frame of ours may bring about


class Event(enum.Enum):
    """What is counted; the name of its option's field."""

    RESET = "http2_max_resets"
    PING = "http2_max_pings"
    SETTINGS = "http2_max_settings"
    EMPTY = "http2_max_empty_frames"
    PRIORITY = "http2_max_priorities"
    WINDOW_UPDATE = "http2_max_window_updates"


class FrameLimits:
    """The counts of one connection. ``now`` is trio's clock, in seconds."""

    __slots__ = ("_counts", "_end", "_options")

    def __init__(self, options: Http2Options) -> None:
        self._options = options
        self._end = 0.0  # of the period
        self._counts: dict[Event, int] = {}

    def count(self, event: Event, now: float) -> None:
        """One more.

        Raises:
            ConnectionFault: that is too many.
        """
        if now >= self._end:
            self._end = now + PERIOD
            self._counts.clear()
        count = self._counts.get(event, 0) + 1
        self._counts[event] = count
        limit: int = getattr(self._options, event.value)
        if count > limit:
            name = event.value.replace("_", "-")
            raise ConnectionFault(
                ErrorCodes.ENHANCE_YOUR_CALM, f"{name}: more than {limit} in {PERIOD:g} s"
            )

    def sent_data(self) -> None:
        """A DATA frame was sent: the client may open its window for it."""
        counts = self._counts
        counts[Event.WINDOW_UPDATE] = counts.get(Event.WINDOW_UPDATE, 0) - UPDATES_FOR_DATA
