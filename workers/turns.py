"""For how long a client's connection keeps its slot though others wait to be accepted.

To change over costs more than several small requests. So a connection whose client goes on at once
has a turn; behind it the next answer is its last one. A slot idles while it waits for a client that
does not go on, and then has to close the connection without having said so. After that, further
connections get no turns for a while: as long as others wait, they are told with their first answer
that it is the last one.
"""

from __future__ import annotations

from typing import Final

TURN: Final = 0.005  # seconds
PATIENCE: Final = 0.02  # seconds for the next request in a turn; busy machines take their time
LEAST: Final = 64  # connections without a turn after one that was wasted, and twice as many
MOST: Final = 4096  # after each further one, up to these


class Turns:
    """Those of one slot."""

    def __init__(self) -> None:
        self._without = 0  # connections that get none
        self._next = LEAST

    def begin(self, now: float) -> float:
        """A connection is accepted; when its turn ends, on the same clock as ``now``."""
        if self._without:
            self._without -= 1
            return now
        return now + TURN

    def used(self) -> None:
        """A client went on in its turn."""
        self._next = LEAST

    def wasted(self) -> None:
        """The slot has waited for a client that did not go on."""
        self._without = self._next
        self._next = min(2 * self._next, MOST)
