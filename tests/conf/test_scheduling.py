"""Scheduling."""

from __future__ import annotations

import os
import subprocess
import sys

CHILD = "import os; print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)"
PARENT = f"""
import subprocess, sys
from uwgate.conf.scheduling import prefer_throughput
prefer_throughput()
{CHILD}
sys.stdout.flush()
subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
"""


def test_a_process_is_scheduled_as_batch_but_not_its_children() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.split() == [str(os.SCHED_BATCH), str(os.SCHED_OTHER)]
