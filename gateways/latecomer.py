"""Whether a process was stopped for a while: then it hears what came before it ends waits.

A machine that is suspended, moved or overloaded, or a debugger, takes seconds from a process. When
it goes on, deadlines are over although the bytes that they wait for have arrived.
"""

from __future__ import annotations

import math


class Latecomer:
    """Looks at the clock each ``period`` seconds, and knows when it came much too late."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._due = math.inf

    def is_late(self, now: float) -> bool:
        """Whether nobody's time should be over at this look.

        Never twice in a row: who is always late is busy, and has to end sessions all the same.
        """
        late = now > self._due + self._period
        self._due = math.inf if late else now + self._period
        return late
