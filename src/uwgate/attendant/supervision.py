"""The master's side of the attendant: it runs as long as there is something to attend to.

A reload that changes nothing of what it was started with leaves it alone, but tells it: daemons
begin anew, commands that run go on. Otherwise the old one ends its daemons, another one begins,
and the old one stays until the last of its commands has ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping

import trio

from uwgate.child import Child
from uwgate.children import Children
from uwgate.conf.backoff import Backoff
from uwgate.conf.settings import Settings

log = logging.getLogger("uwgate.master")

START_LIMIT = 60.0  # seconds
SPARE = 2.0  # seconds on top of the mercy that the process itself keeps


def attendant_command(settings: Settings, fd: int) -> list[str]:
    """The words that start an attendant whose ``Start`` is in the memory file ``fd``."""
    return [sys.executable, "-P", "-m", "uwgate.attendant.process", str(fd)]


def essence(settings: Settings, board: int | None) -> tuple[object, ...]:
    """What an attendant is started with; it has to be another one if this changes."""
    master, application = settings.master, settings.application
    return (
        settings.attendant,
        settings.legion.legion_release,
        *(master.uid, master.gid, master.add_gid, master.no_initgroups, master.reload_mercy),
        *(application.env, application.unenv, application.chdir, settings.sockets.umask),
        board,
    )


class Supervision:
    """Keeps the attendant running. ``on_control``: a program has ended without which the instance
    has to stop.
    """

    def __init__(self, on_control: Callable[[str], None]) -> None:
        self._on_control = on_control
        self._settings: Settings | None = None
        self._board: int | None = None
        self._minute = -1  # the last one whose commands were run
        self._child: Child | None = None
        self._rested = trio.Event()  # its daemons have ended
        self._ending = trio.Event()
        self._gone = trio.Event()
        self._gone.set()

    async def start(
        self, settings: Settings, board: int | None, children: Children, nursery: trio.Nursery
    ) -> str | None:
        """Start it; returns when it runs, or why it cannot (it is tried again then)."""
        self._settings, self._board = settings, board
        if not settings.attendant.has_work:
            return None
        self._ending, self._gone = trio.Event(), trio.Event()
        await nursery.start(self._keep_running, children, nursery)
        child = self._child
        if child is None:
            return "the attendant cannot be executed"
        if child.failure is not None:
            return child.failure.reason
        return None if child.is_ready else f"attendant {child.describe_exit()} before it was ready"

    async def reload(
        self, settings: Settings, board: int | None, children: Children, nursery: trio.Nursery
    ) -> None:
        """Go on with another configuration."""
        assert self._settings is not None
        if essence(settings, board) == essence(self._settings, self._board):
            if self._child is not None:
                self._child.send("reload")
            self._settings = settings
            return
        await self.leave(is_reload=True)
        reason = await self.start(settings, board, children, nursery)
        if reason is not None:
            log.error("attendant: %s", reason)

    async def leave(self, *, is_reload: bool) -> None:
        """Let it end its daemons; returns when they are gone. Its commands may run on."""
        self._ending.set()
        child, settings = self._child, self._settings
        if child is None or settings is None or self._gone.is_set():
            return
        child.send("drain", is_reload=is_reload)
        limit = settings.master.reload_mercy + SPARE
        with trio.move_on_after(limit):
            await self._rested.wait()
            return
        log.error("%s (pid: %d) did not end in %g s", child.name, child.pid, limit)
        child.kill_group()
        await self._gone.wait()

    async def leave_after(self, drained: trio.Event) -> None:
        """``leave`` when the running requests are done, which may need the daemons."""
        await drained.wait()
        await self.leave(is_reload=False)

    async def _keep_running(
        self,
        children: Children,
        nursery: trio.Nursery,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        backoff = Backoff()
        ending, gone = self._ending, self._gone
        started = False
        try:
            while not ending.is_set():
                rested = self._rested = trio.Event()
                child = self._child = self._launch(children, rested)
                if child is not None:
                    with trio.move_on_after(START_LIMIT):
                        await child.settled.wait()
                    if not child.settled.is_set():
                        log.error("%s was not ready after %g s", child.name, START_LIMIT)
                        child.kill_group()
                if not started:
                    task_status.started()
                    started = True
                served = 0.0
                if child is not None:
                    await child.exited.wait()
                    end_groups(child.workers)
                    served = child.served
                    if ending.is_set():
                        rested.set()
                        return
                    log.error(
                        "DAMN ! %s (pid: %d) died, %s :( trying respawn ...",
                        child.name,
                        child.pid,
                        child.describe_exit(),
                    )
                rested.set()
                with trio.move_on_after(backoff.pause_after(served)):
                    await ending.wait()
        finally:
            gone.set()

    def _launch(self, children: Children, rested: trio.Event) -> Child | None:
        assert self._settings is not None
        try:
            child = children.start(
                "attendant",
                attendant_command,
                self._settings,
                listeners=(),
                lease_address=None,
                instance=1,
                generation=0,
                board_fd=self._board,
                is_trusted=True,
                minute=self._minute,
            )
        except OSError as error:
            log.error("attendant: cannot be executed: %s", error)
            return None

        def take(message: Mapping[str, object]) -> bool:
            match message:
                case {"type": "minute", "minute": int(minute)}:
                    self._minute = minute
                case {"type": "rested"}:
                    rested.set()
                case {"type": "control", "reason": str(reason)}:
                    self._on_control(reason)
                case _:
                    return False
            return True

        child.on_other = take
        log.info("spawned uWSGI attendant (pid: %d)", child.pid)
        return child


def end_groups(groups: Mapping[int, int]) -> None:
    """Kill what the daemons of a dead attendant have started; they themselves died with it."""
    for pid in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
