"""How busy an instance is, as its announcements say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Occupation:
    """``load`` is how many connections wait to be accepted. ``free`` is how many slots wait for
    a request, None where that is not known.
    """

    load: int = 0
    free: int | None = None
