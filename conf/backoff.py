"""How long to wait before a dead child is started again."""

from __future__ import annotations

SHORT_LIFE = 1.0  # seconds; who served longer did work, so its successor starts at once
FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 5.0  # seconds


class Backoff:
    """Pauses between starts: none for the first death, then doubling up to a limit."""

    def __init__(self) -> None:
        self._pause = 0.0

    def pause_after(self, served: float) -> float:
        """Seconds to wait after a child that died ``served`` seconds after it was ready.

        0: it never was. How long its start took is no work, and on a full machine long.
        """
        if served >= SHORT_LIFE:
            self._pause = 0.0
        pause = self._pause
        self._pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
        return pause
