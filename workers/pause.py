"""Whether the workers of one spawner rest: they accept nothing, and finish what they run.

Two descriptors that all of them have from before the fork; one of them is readable at any time.
Workers that are forked while the others rest find it so.
"""

from __future__ import annotations

import contextlib
import os

FLAGS = os.EFD_NONBLOCK | os.EFD_CLOEXEC


class Pause:
    """``begun`` is readable while they rest, ``over`` while they do not."""

    def __init__(self) -> None:
        self.begun = os.eventfd(0, FLAGS)
        self.over = os.eventfd(1, FLAGS)

    def begin(self) -> None:
        """Rest from now on."""
        _move(self.over, self.begun)

    def end(self) -> None:
        """Accept again."""
        _move(self.begun, self.over)


def _move(source: int, target: int) -> None:
    with contextlib.suppress(BlockingIOError):  # it is so already
        os.eventfd_read(source)
        os.eventfd_write(target, 1)
