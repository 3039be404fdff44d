"""Scheduling."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os
from uwgate.conf.scheduling import prefer_throughput
print(os.sched_getscheduler(0))
prefer_throughput()
print(os.sched_getscheduler(0))
"""


def test_a_process_is_scheduled_as_batch_when_it_asks_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == [str(os.SCHED_OTHER), str(os.SCHED_BATCH)]
