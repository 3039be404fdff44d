"""The spawner's workers: which run, which are due again, and when."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass, field

YOUNG = 1.0  # seconds; a worker that dies before this age may do so again at once
PAUSE_STEP = 0.1  # seconds more between two starts, for each death of a young worker
MAX_PAUSE = 5.0


@dataclass(slots=True)
class Child:
    """One place for a worker, and the process in it. Times are of the monotonic clock.

    ``pid`` is 0 while there is none; then ``due`` is the time to start one. ``report_fd`` is
    the pipe that the process tells on how its start went, -1 once it has.
    """

    number: int
    pid: int = 0
    started: float = 0.0
    due: float = 0.0
    early_deaths: int = 0
    report_fd: int = -1
    report: bytearray = field(default_factory=bytearray)
    ready: bool = False
    recycled: bool = False  # told to end because of its age

    def begin(self, pid: int, report_fd: int, now: float) -> None:
        """A process runs in this place."""
        self.pid = pid
        self.report_fd = report_fd
        self.started = now
        self.report.clear()
        self.ready = False
        self.recycled = False

    def end(self, status: int, now: float) -> None:
        """The process is gone; decide when the next one starts.

        An orderly end is followed at once. Repeated early deaths are followed later and later.
        """
        orderly = status == 0
        if orderly or now - self.started >= YOUNG:
            self.early_deaths = 0
            self.due = now
        else:
            self.due = now + min(self.early_deaths * PAUSE_STEP, MAX_PAUSE)
            self.early_deaths += 1
        self.pid = 0

    def describe_death(self, pid: int, status: int) -> str:
        """The log line, in the words that uWSGI's users search for."""
        if os.WIFSIGNALED(status):
            cause = f"died, killed by signal {os.WTERMSIG(status)} :("
        elif status:
            cause = f"died with status {os.waitstatus_to_exitcode(status)} :("
        else:
            return f"worker {self.number} killed successfully (pid: {pid})"
        return f"DAMN ! worker {self.number} (pid: {pid}) {cause} trying respawn ..."

    def kill(self, number: signal.Signals) -> None:
        """Send a signal; a process that is gone is no error."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
