"""Keeps a program running beside the application: what all kinds of them have in common."""

from __future__ import annotations

import abc
import logging
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import trio

from uwgate.attendant.command import Command, Start
from uwgate.attendant.touched import Touched
from uwgate.conf.board import Lords
from uwgate.conf.daemons import DaemonSpec

log = logging.getLogger("uwgate.daemons")

LOOK = 1.0  # seconds between two looks at pid files and touched files
LORD_LOOK = 0.1  # seconds between two looks at the lordship
SHORT_LIFE = 3.0  # seconds; uWSGI's. Who dies sooner is started again after a pause
FIRST_PAUSE = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all daemons have in common.

    ``mercy`` is the seconds that one has to end, ``release`` those that it has on a lord that is
    none any more. ``on_start`` and ``on_end`` hear of the process groups that must not outlive
    us, ``on_control`` of the end of a program without which the instance has to stop.
    """

    lords: Lords
    mercy: float
    release: float
    on_start: Callable[[int], None]
    on_end: Callable[[int], None]
    on_control: Callable[[str], None]
    start: Start = Command.start


class Daemon(abc.ABC):
    """One of them."""

    def __init__(self, spec: DaemonSpec, around: Surroundings) -> None:
        self.spec = spec
        self.around = around
        self.is_ending = False
        self.is_reload = False  # it ends because of one
        self._news = trio.Event()  # whoever waits has to look again
        self._touched = Touched([self.path(one) for one in spec.touch])
        self._pause = 0.0

    async def run(self) -> None:
        """Keep it running until ``stop``."""
        while await self._wait_until_it_may():
            await self.keep()

    def stop(self, *, is_reload: bool) -> None:
        """Let ``run`` return: end the program, unless it goes on without us."""
        self.is_reload = is_reload
        self.is_ending = True
        self.tell()

    @abc.abstractmethod
    def reload(self) -> None:
        """The instance was reloaded."""

    @abc.abstractmethod
    async def keep(self) -> None:
        """Look after it for one life; it may run. Returns soon after it should no more."""

    @property
    def may_run(self) -> bool:
        """Whether this is the node to run it on, and nobody said stop."""
        legion = self.spec.legion
        return not self.is_ending and (not legion or self.around.lords.is_lord(legion))

    @property
    def farewell(self) -> tuple[int, float]:
        """The signal that ends it, and the seconds that it then has."""
        spec, around = self.spec, self.around
        number = spec.reload_signal if self.is_reload else 0
        fell = bool(spec.legion) and not around.lords.is_lord(spec.legion)
        return number or spec.stop_signal, around.release if fell else around.mercy

    def path(self, name: str) -> str:
        """A file of the program's."""
        return os.path.join(self.spec.directory or "", name)

    def was_touched(self) -> bool:
        """Whether a file was changed whose change ends it."""
        if not self._touched.look():
            return False
        log.info("%s: ends, a file was touched", self.spec.command)
        return True

    async def start(self, *, outlives_us: bool) -> Command | None:
        """Start it; None if that cannot be done, after a pause."""
        spec, around = self.spec, self.around
        self._touched.look()
        try:
            command = around.start(
                spec.command,
                environ=around.lords.environ(spec.legion) if spec.legion else None,
                directory=spec.directory,
                user=spec.user,
                group=spec.group,
                outlives_us=outlives_us,
            )
        except (OSError, subprocess.SubprocessError) as error:
            log.error("%s: cannot be executed: %s", spec.command, error)
            await self.rest()
            return None
        log.info("%s: runs (pid: %d)", spec.command, command.pid)
        return command

    def tell(self) -> None:
        """Something has changed: whoever waits looks again."""
        self._news.set()
        self._news = trio.Event()

    async def wait_news(self, seconds: float | None = None) -> None:
        """Wait for ``tell``, but no longer than until the next look is due."""
        limit = LORD_LOOK if self.spec.legion else LOOK
        with trio.move_on_after(limit if seconds is None else seconds):
            await self._news.wait()

    async def rest(self) -> None:
        """Wait before the next start: the longer, the more often it died at once."""
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), self.spec.longest_pause)
        await self.wait_news(self._pause)

    def forget_deaths(self) -> None:
        """It lived long enough."""
        self._pause = 0.0

    async def _wait_until_it_may(self) -> bool:
        """Wait until it may run; False if it is to end."""
        while not self.may_run:
            if self.is_ending:
                return False
            await self.wait_news()
        return True
