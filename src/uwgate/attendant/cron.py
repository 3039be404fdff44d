"""Runs commands at their times."""

from __future__ import annotations

import logging
import math
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import trio

from uwgate.attendant.command import Command, Start
from uwgate.attendant.timetable import MINUTE, Timetable
from uwgate.attendant.uniqueness import Claim
from uwgate.conf.board import Lords
from uwgate.conf.crontab import Cron

log = logging.getLogger("uwgate.cron")

LOOK = 5.0  # seconds between two looks at the clock, which may have been set
MAX_RUNS = 64  # of one command at the same time


class Crons:
    """All commands with times. ``harakiri``: seconds for those that do not say; 0: no limit.

    ``told`` hears the number of each minute that was handled. ``scope`` names the instance, so
    that a unique command runs once in it.
    """

    def __init__(
        self,
        crons: Sequence[Cron],
        *,
        harakiri: float,
        lords: Lords,
        timetable: Timetable,
        told: Callable[[int], None],
        scope: str,
        start: Start = Command.start,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._crons = crons
        self._harakiri = harakiri
        self._lords = lords
        self._timetable = timetable
        self._told = told
        self._scope = scope
        self._start = start
        self._wall = wall
        self._running = [0] * len(crons)
        self._ending = trio.Event()

    async def run(self) -> None:
        """Run what is due until ``stop``; returns when the last command has ended."""
        if not self._crons:
            return
        async with trio.open_nursery() as nursery:
            while not self._ending.is_set():
                for minute in self._timetable.due(self._wall()):
                    self._handle(minute, nursery)
                with trio.move_on_after(min(self._timetable.wait(self._wall()), LOOK)):
                    await self._ending.wait()

    def stop(self) -> None:
        """Start nothing any more."""
        self._ending.set()

    @property
    def running(self) -> int:
        """How many commands run."""
        return sum(self._running)

    def _handle(self, minute: int, nursery: trio.Nursery) -> None:
        when = time.localtime(minute * MINUTE)
        self._told(minute)
        for number, cron in enumerate(self._crons):
            if cron.matches(when) and (not cron.legion or self._lords.is_lord(cron.legion)):
                self._begin(number, cron, nursery)

    def _begin(self, number: int, cron: Cron, nursery: trio.Nursery) -> None:
        claim = Claim(f"{self._scope} {cron.times} {cron.command}") if cron.is_unique else None
        if claim is not None and not claim.is_held:
            log.info("%s: left out, the previous run lasts", cron.command)
            return
        if self._running[number] >= MAX_RUNS:
            log.error("%s: left out, %d runs of it last", cron.command, MAX_RUNS)
            return
        environ = self._lords.environ(cron.legion) if cron.legion else None
        try:
            command = self._start(words_of(cron), environ=environ, outlives_us=True)
        except (OSError, subprocess.SubprocessError) as error:
            log.error("%s: cannot be executed: %s", cron.command, error)
            if claim is not None:
                claim.release()
            return
        log.info("%s: runs (pid: %d)", cron.command, command.pid)
        self._running[number] += 1
        nursery.start_soon(self._watch, number, cron, command, claim)

    async def _watch(self, number: int, cron: Cron, command: Command, claim: Claim | None) -> None:
        began = trio.current_time()
        limit = self._harakiri if cron.harakiri is None else cron.harakiri
        try:
            with trio.move_on_after(limit or math.inf) as scope:
                await command.wait()
            if scope.cancelled_caught:
                log.warning("%s: still runs after %g s: killed", cron.command, limit)
                await command.end(signal.SIGKILL, 0.0)
        finally:
            ended = command.bury()
            self._running[number] -= 1
            if claim is not None:
                claim.release()
        took = trio.current_time() - began
        say = log.info if command.status == 0 else log.warning
        say("%s: ended after %.0f s, %s", cron.command, took, ended)


def words_of(cron: Cron) -> str:
    """The shell command that a cron means."""
    if not cron.is_address:
        return cron.command
    words = (sys.executable, "-P", "-m", "uwgate.attendant.fetch", cron.command)
    return shlex.join(("exec", *words))
