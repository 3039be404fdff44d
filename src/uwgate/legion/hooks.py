"""Running hooks: one after the other, each with a time-out, never in the protocol's way."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import trio

from uwgate.conf.groups.alarm import AlarmOptions
from uwgate.legion.alarms import Alarms
from uwgate.legion.commands import run_command
from uwgate.subscriptions.legion.hook import COMMANDS, Event, Hook

log = logging.getLogger("uwgate.legion")

MAX_STRAYS = 64  # file actions whose time is over but that the kernel has not ended

RunAsRoot = Callable[[Event, int, Mapping[str, str], float], Awaitable[str | None]]
"""Has the master run a hook: event, the hook's number among its own, environment, seconds."""


class Hooks:
    """The hooks of one legion. ``timeout``: seconds that each has, unless a call says less."""

    def __init__(
        self,
        name: str,
        hooks: Mapping[Event, Sequence[Hook]],
        *,
        timeout: float,
        run_as_root: RunAsRoot,
        alarms: Alarms | None = None,
        throw: Callable[[int], str | None] = lambda number: "nobody takes signals",
    ) -> None:
        self.timeout = timeout
        self.failures = 0
        self._name = name
        self._hooks = hooks
        self._run_as_root = run_as_root
        self._throw = throw
        self._alarms = alarms or Alarms(AlarmOptions())
        self._threads = trio.CapacityLimiter(MAX_STRAYS)

    async def run(
        self,
        event: Event,
        environ: Mapping[str, str],
        *,
        still: Callable[[], bool] = lambda: True,
        stop_at_failure: bool = False,
    ) -> bool:
        """Run the hooks of an event in order; whether all succeeded.

        ``still`` is asked before each whether it should run at all. Cancelling kills the one
        that runs.
        """
        succeeded = True
        for number, hook in enumerate(self._hooks.get(event, ())):
            if not still():
                return False
            log.info("legion %s: %s %s", self._name, event.value, hook)
            reason = await self._run(event, number, hook, environ)
            if reason is not None:
                self.failures += 1
                succeeded = False
                log.error("legion %s: %s %s: %s", self._name, event.value, hook, reason)
                if stop_at_failure:
                    break
        return succeeded

    async def _run(
        self, event: Event, number: int, hook: Hook, environ: Mapping[str, str]
    ) -> str | None:
        given = {"UWGATE_LEGION_NAME": self._name, "UWGATE_LEGION_EVENT": event.value, **environ}
        if hook.action in ("log", "print"):
            log.info("legion %s: %s", self._name, hook.argument)
            return None
        if hook.action == "signal":
            return self._throw(int(hook.argument))
        if hook.action == "alarm":
            return await self._alarms.trigger(hook.argument, given, self.timeout)
        if hook.action == "exec-as-root":
            return await self._run_as_root(event, number, given, self.timeout)
        if hook.action in COMMANDS:
            return await run_command(hook.argument, given, self.timeout)
        return await self._change_file(hook)

    async def _change_file(self, hook: Hook) -> str | None:
        with trio.move_on_after(self.timeout):
            return await trio.to_thread.run_sync(
                change_file, hook, abandon_on_cancel=True, limiter=self._threads
            )
        return f"did not end in {self.timeout:g} s"


def change_file(hook: Hook) -> str | None:
    """Do what a hook of FILES says; None if it succeeded, else what went wrong."""
    path, _, text = hook.argument.partition(" ")
    try:
        match hook.action:
            case "touch":
                Path(hook.argument).touch()
            case "write":
                Path(path).write_text(f"{text}\n")
            case "append":
                with Path(path).open("a") as file:
                    file.write(f"{text}\n")
            case "unlink":
                Path(hook.argument).unlink(missing_ok=True)
    except OSError as error:
        return str(error)
    return None
