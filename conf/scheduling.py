"""How the kernel schedules processes that hand requests to each other."""

from __future__ import annotations

import contextlib
import os


def prefer_throughput() -> None:
    """Do not preempt whoever wakes this thread (SCHED_BATCH, sched(7)).

    A gateway that wakes a worker has more to do, and a worker that answers has more to read:
    let each finish its turn. That makes up to a third of the speed (docs/design.md). Programs
    that an application starts inherit it. Where it is forbidden, nothing changes.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
