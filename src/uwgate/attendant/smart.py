"""A daemon that a pid file tells of: it outlives reloads and stops of the instance."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import trio

from uwgate.attendant.command import Running
from uwgate.attendant.daemon import LOOK, Daemon, log

MAX_SIZE = 64  # bytes of a pid file that are looked at


class SmartDaemon(Daemon):
    """``smart-attach-daemon`` and its like. What belongs to a legion ends with the lordship."""

    def reload(self) -> None:
        """Tell it, if it wants to know."""
        if self.spec.notify:
            self._tell_it(self.spec.reload_signal or signal.SIGHUP)

    async def keep(self) -> None:
        async with trio.open_nursery() as nursery:
            await self._look_after(nursery)
            nursery.cancel_scope.cancel()
        if self.spec.legion:
            await self._end()
        elif self.spec.notify:
            number = self.spec.reload_signal or signal.SIGHUP
            self._tell_it(number if self.is_reload else self.spec.stop_signal)

    async def _look_after(self, nursery: trio.Nursery) -> None:
        failures = self.spec.checks  # if nobody is there at first it is started at once
        next_look = trio.current_time()
        while self.may_run:
            if trio.current_time() >= next_look:
                next_look += LOOK
                failures = 0 if self._process() is not None else failures + 1
                if not failures and self.was_touched():
                    self._tell_it(self.spec.stop_signal)
                if failures > self.spec.checks:
                    failures = 0
                    await self._begin(nursery)
            await self.wait_news()

    async def _begin(self, nursery: trio.Nursery) -> None:
        command = await self.start(outlives_us=True)
        if command is None:
            return
        if self.spec.daemonize:
            try:
                write_pid(self._path, command.pid)
            except OSError as error:
                log.error("%s: pid file: %s", self.spec.command, error)
                await command.end(*self.farewell)
                command.bury()
                await self.rest()
                return

        async def reap() -> None:
            try:
                await command.wait()
            finally:
                ended = command.bury()
            if self.spec.daemonize or not ended.endswith(" 0"):
                log.warning("%s: ended, %s", self.spec.command, ended)

        # Who puts itself into the background ends soon, who is put there should not.
        nursery.start_soon(reap)

    async def _end(self) -> None:
        pid = self._process()
        if pid is None:
            return
        with contextlib.suppress(OSError):
            program = Running(pid)
            log.info("%s: ends (pid: %d)", self.spec.command, pid)
            try:
                await program.end(*self.farewell)
            finally:
                program.close()

    def _tell_it(self, number: int) -> None:
        pid = self._process()
        if pid is not None:
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    @property
    def _path(self) -> str:
        return self.path(self.spec.pidfile or "")

    def _process(self) -> int | None:
        return read_pid(self._path)


def read_pid(path: str) -> int | None:
    """The living process that a pid file names; None if there is none."""
    try:
        with open(path, "rb") as file:
            words = file.read(MAX_SIZE).split()
    except OSError:
        return None
    if not words or not words[0].isdigit() or not 1 < int(words[0]) < 1 << 31:
        return None
    pid = int(words[0])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # somebody else's, but it lives
    return pid


def write_pid(path: str, pid: int) -> None:
    """Write a pid file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    other = Path(f"{path}.{os.getpid()}")
    try:
        other.write_text(f"{pid}\n")
        other.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            other.unlink()
        raise
