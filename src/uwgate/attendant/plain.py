"""A daemon whose end we see: a child of ours, which does not outlive us."""

from __future__ import annotations

import signal

import trio

from uwgate.attendant.command import Command
from uwgate.attendant.daemon import SHORT_LIFE, Daemon, log


class PlainDaemon(Daemon):
    """``attach-daemon`` and its like."""

    _has_to_restart = False

    def reload(self) -> None:
        """End it, and begin it again, as a reload of uWSGI does."""
        self.is_reload = True
        self._has_to_restart = True
        self.tell()

    async def keep(self) -> None:
        self._has_to_restart = self.is_reload = False
        command = await self.start(outlives_us=False)
        if command is None:
            return
        began = trio.current_time()
        self.around.on_start(command.pid)
        try:
            await self._wait_end_or_wish(command)
            was_ended = not command.is_dead
            await command.end(*self.farewell)
        finally:
            command.signal(signal.SIGKILL)  # what its group has left behind
            ended = command.bury()
            self.around.on_end(command.pid)
        if was_ended:
            log.info("%s: ended, %s", self.spec.command, ended)
            return
        lived = trio.current_time() - began
        if self.spec.is_control:
            self.around.on_control(f"{self.spec.command}: ended, {ended}")
            while not self.is_ending:
                await self.wait_news()
            return
        log.warning("%s: died after %.0f s, %s", self.spec.command, lived, ended)
        if lived > SHORT_LIFE:
            self.forget_deaths()
        else:
            await self.rest()

    async def _wait_end_or_wish(self, command: Command) -> None:
        """Wait until it is dead, or has to end."""

        async def tell_end() -> None:
            await command.wait()
            self.tell()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell_end)
            while self.may_run and not command.is_dead and not self._has_to_restart:
                if self.was_touched():
                    self._has_to_restart = True
                else:
                    await self.wait_news()
            nursery.cancel_scope.cancel()
