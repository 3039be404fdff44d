"""All processes below the master: started here, reaped here and nowhere else."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import trio

from uwgate.caching.library import library_folder
from uwgate.child import Child, describe_status
from uwgate.conf.metric_file import MetricFile
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener, Start
from uwgate.workers.scoreboard import Scoreboard

log = logging.getLogger("uwgate.master")

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

Command = Callable[[Settings, int], Sequence[str]]  # argv of a child; the int is its Start


def become_subreaper() -> None:
    """Inherit the workers of a spawner that dies, instead of leaving them to init."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        log.warning("prctl(PR_SET_CHILD_SUBREAPER): %s", os.strerror(ctypes.get_errno()))


class Children:
    """Starts and reaps. ``output`` is the descriptor that children get as stdout and stderr."""

    def __init__(self, nursery: trio.Nursery, *, output: int | None = None) -> None:
        self._nursery = nursery
        self._output = output
        self._by_pid: dict[int, Child] = {}
        self._orphans: dict[int, trio.Event] = {}
        # The write end has no other use than to close when the master is gone.
        self._life_read, self._life_write = os.pipe()
        self._secret = secrets.token_hex(32)

    def start(
        self,
        name: str,
        command: Command,
        settings: Settings,
        *,
        listeners: Sequence[Listener],
        lease_address: str | None,
        instance: int,
        generation: int,
        board_fd: int | None = None,
        registry_address: str | None = None,
        minute: int = -1,
        bound: Sequence[tuple[str, str]] = (),
        is_trusted: bool = False,
        slots: int = 0,
        is_first: bool = False,
        cache_folder: str | None = None,
        metric_file: MetricFile | None = None,
    ) -> Child:
        """Start a child. It is not ready yet; ``settled`` says when.

        ``is_trusted``: it runs no application and may know the instance's secret. With
        ``slots`` it gets a scoreboard of so many.

        Raises:
            OSError: the program cannot be executed, or resources are exhausted.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        start_fd = scoreboard_fd = -1
        scoreboard: Scoreboard | None = None
        try:
            if slots:
                scoreboard, scoreboard_fd = Scoreboard.create(slots)
            start_fd = Start(
                settings=settings,
                listeners=tuple(listeners),
                control_fd=theirs.fileno(),
                life_fd=self._life_read,
                lease_address=lease_address,
                instance=instance,
                generation=generation,
                board_fd=board_fd,
                registry_address=registry_address,
                minute=minute,
                bound=tuple(bound),
                secret=self._secret if is_trusted else "",
                scoreboard_fd=scoreboard_fd,
                is_first=is_first,
                cache_folder=cache_folder,
                lmdb_folder=None if cache_folder is None else library_folder(),
                metric_file=metric_file,
            ).to_memory_file()
            passed = [theirs.fileno(), self._life_read, start_fd]
            if board_fd is not None:
                passed.append(board_fd)
            if metric_file is not None:
                passed.append(metric_file.fd)
            if scoreboard is not None:
                passed.append(scoreboard_fd)
            process = subprocess.Popen(
                command(settings, start_fd),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=passed + [one.fd for one in listeners],
                # A group of its own: Ctrl-C and Ctrl-Z of a terminal reach the master only.
                process_group=0,
            )
        except BaseException:
            ours.close()
            if scoreboard is not None:
                scoreboard.close()
            raise
        finally:
            theirs.close()
            for fd in (start_fd, scoreboard_fd):
                if fd >= 0:
                    os.close(fd)
        child = Child(name, process, ours, scoreboard)
        self._by_pid[child.pid] = child
        self._nursery.start_soon(child.read_control)
        return child

    async def reap(self, signals: AsyncIterator[int]) -> None:
        """Collect dead children at each SIGCHLD that ``signals`` brings, for ever."""
        self._reap_now()
        async for _ in signals:
            self._reap_now()

    def adopt(self, pids: Iterable[int]) -> list[int]:
        """Take over what a dead spawner or keeper has forked; returns those that still are."""
        adopted = [pid for pid in pids if pid in self._orphans or _parent_of(pid) == os.getpid()]
        for pid in adopted:
            self._orphans.setdefault(pid, trio.Event())
        return adopted

    async def dismiss(self, orphans: Sequence[int], *, mercy: float) -> None:
        """Have orphans finish their requests and exit; SIGKILL after ``mercy`` seconds.

        Workers need the SIGHUP that they get; gateways do it since their keeper died.

        If cancelled, they keep running.
        """
        self.signal_orphans(orphans, signal.SIGHUP)
        with trio.move_on_after(mercy):
            await self._wait_gone(orphans)
        left = [pid for pid in orphans if pid in self._orphans]
        if left:
            log.warning("orphaned processes %s did not finish in %g s: killed", left, mercy)
            self.signal_orphans(left, signal.SIGKILL)
            await self._wait_gone(left)

    def has_any(self, orphans: Iterable[int]) -> bool:
        """Whether one of these orphans still runs."""
        return any(pid in self._orphans for pid in orphans)

    def signal_orphans(self, orphans: Iterable[int], number: signal.Signals) -> None:
        """Send a signal to those orphans that are not yet reaped."""
        for pid in orphans:
            if pid in self._orphans:
                os.kill(pid, number)

    def kill_all(self) -> None:
        """SIGKILL for every process that is known: children, their workers, orphans."""
        workers: list[int] = []
        for child in list(self._by_pid.values()):
            workers += child.workers
            child.kill_group()
        for pid in [*workers, *self._orphans]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def wait_none(self) -> None:
        """Wait until all children and orphans are reaped."""
        for child in list(self._by_pid.values()):
            await child.exited.wait()
        await self._wait_gone(list(self._orphans))

    def close(self) -> None:
        """Close the life pipe: who is left learns that the master is gone."""
        os.close(self._life_write)
        os.close(self._life_read)

    async def _wait_gone(self, pids: Iterable[int]) -> None:
        for pid in pids:
            if pid in self._orphans:
                await self._orphans[pid].wait()

    def _reap_now(self) -> None:
        # One waitpid for all: nobody else waits in this process, so no status is stolen.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._on_exit(pid, os.waitstatus_to_exitcode(status))

    def _on_exit(self, pid: int, status: int) -> None:
        child = self._by_pid.pop(pid, None)
        if child is not None:
            child.on_exit(status)
            return
        orphan = self._orphans.pop(pid, None)
        if orphan is not None:
            orphan.set()
            log.info("orphaned process (pid: %d) %s", pid, describe_status(status))


def _parent_of(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command name in parentheses may hold anything, blanks and parentheses too.
    return int(text.rpartition(")")[2].split()[1])
