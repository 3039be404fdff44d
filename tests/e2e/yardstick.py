"""How much longer than on a quiet machine something may take here and now."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET = 0.25  # seconds; the start below takes 0.15 on a machine of 2023 with nothing else to do


TRIES = 3


def is_done_within(seconds: float, attempt: Callable[[], float]) -> bool:
    """Whether an attempt, which returns how long it took, was as quick as on a quiet machine.

    One of several has to be: a machine that stands still for a moment makes one of them slow, and
    a slow program all of them.
    """
    return any(attempt() < allowed(seconds) for _ in range(TRIES))


def allowed(seconds: float) -> float:
    """A limit for what was just measured, from its limit on a quiet machine.

    It grows as the time does that the start of a Python program takes at this moment: what a
    test measures is mostly that, a program that starts while others use the machine.
    """
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import trio"], check=True)
    return seconds * max(1.0, (time.monotonic() - began) / QUIET)
