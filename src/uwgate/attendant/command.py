"""Programs beside the application: those that we start, and those that pid files name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping

import trio

PR_SET_PDEATHSIG = 1  # prctl(2)
BURY_LIMIT = 1.0  # seconds; SIGKILL works at once, but for processes stuck in the kernel
NUDGE = 1.0  # seconds between two signals to a program that has to end

_libc = ctypes.CDLL(None)


class Running:
    """A process, ours or not. Close it, or wait for its end."""

    def __init__(self, pid: int) -> None:
        """Watch a process.

        Raises:
            OSError: there is none with this number.
        """
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    @property
    def is_dead(self) -> bool:
        """Whether it has ended."""
        return self._pidfd < 0 or bool(select.select([self._pidfd], [], [], 0)[0])

    async def wait(self) -> None:
        """Wait until it is dead."""
        if self._pidfd >= 0:
            await trio.lowlevel.wait_readable(self._pidfd)

    def signal(self, number: int) -> None:
        """Send a signal, to its whole group if it leads one."""
        # A group may outlive its leader, whose number is not given to others then.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.is_dead or os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    async def end(self, number: int, mercy: float) -> None:
        """Send this signal each second; SIGKILL after ``mercy`` seconds. Returns when it is dead.

        Cancelling kills it at once.
        """
        try:
            with trio.move_on_after(mercy):
                while not self.is_dead:
                    self.signal(number)
                    with trio.move_on_after(NUDGE):
                        await self.wait()
        finally:
            if not self.is_dead:
                self.signal(signal.SIGKILL)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + BURY_LIMIT):
                await self.wait()

    def close(self) -> None:
        """Watch it no longer."""
        if self._pidfd >= 0:
            trio.lowlevel.notify_closing(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


class Command(Running):
    """A shell command of ours: a process group, whose first process is a shell."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process.pid)
        self._process = process

    @property
    def status(self) -> int | None:
        """Its exit code, or minus a signal, when it is dead; None before."""
        return self._process.poll()

    @classmethod
    def start(
        cls,
        command: str,
        *,
        environ: Mapping[str, str] | None = None,
        directory: str | None = None,
        user: int | None = None,
        group: int | None = None,
        become: Callable[[], object] | None = None,
        outlives_us: bool,
    ) -> Command:
        """Start it. Its output goes where ours goes.

        Without a ``user`` and a ``group`` it calls ``become`` first, which makes it the user that
        it has to be. Unless ``outlives_us`` the kernel kills the shell when we die: most often it
        is the program itself by then, for shells replace themselves by the last thing they do.

        Raises:
            OSError, subprocess.SubprocessError: it cannot be executed.
        """
        has_own = user is not None or group is not None

        def prepare() -> None:
            if become is not None and not has_own:
                become()
            # Behind the change of the user, which would take it back.
            if not outlives_us:
                die_with_parent()

        # Not by a thread of trio's: the kernel would take that thread's end for our death.
        return cls(
            subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environ or {})},
                cwd=directory,
                user=user,
                group=group,
                extra_groups=[] if has_own else None,
                start_new_session=True,
                preexec_fn=None if outlives_us and become is None else prepare,
            )
        )

    def bury(self) -> str:
        """Reap it, and close it; how it ended, in words."""
        self.close()
        status = self.status
        if status is None:
            return "cannot be killed"
        return f"killed by signal {-status}" if status < 0 else f"status {status}"


def die_with_parent() -> None:
    """In a child before its program begins: be killed when the parent dies."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


Start = Callable[..., Command]
