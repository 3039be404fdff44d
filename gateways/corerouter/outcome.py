"""Why there is no backend for a request."""

from __future__ import annotations

import enum


class Outcome(enum.Enum):
    """What is to be said of a request that nobody takes; all of them are answered with 503."""

    NOBODY = "nobody serves it"
    FULL = "everybody who serves it is busy"
    EXHAUSTED = "nobody could be connected"
