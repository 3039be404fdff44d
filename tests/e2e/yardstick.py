"""How much longer than on a quiet machine something may take here and now."""

from __future__ import annotations

import subprocess
import sys
import time

QUIET = 0.25  # seconds; the start below takes 0.15 on a machine of 2023 with nothing else to do


def allowed(seconds: float) -> float:
    """A limit for what was just measured, from its limit on a quiet machine.

    It grows as the time does that the start of a Python program takes at this moment: what a
    test measures is mostly that, a program that starts while others use the machine.
    """
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import trio"], check=True)
    return seconds * max(1.0, (time.monotonic() - began) / QUIET)
