"""Hooks that must run as root (``exec-as-root``): the legion process has the master run them.

What is asked for is one of the hooks of the configuration, by its number, never a command; what
the process adds are variables that begin with ``UWGATE_LEGION_``.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import trio

from uwgate.conf import control
from uwgate.legion.commands import run_command
from uwgate.legion.hooks import RunAsRoot
from uwgate.subscriptions.legion.hook import Event

if TYPE_CHECKING:  # it brings cryptography along
    from uwgate.subscriptions.legion.spec import LegionSpec

log = logging.getLogger("uwgate.legion")

PREFIX = "UWGATE_LEGION_"
MAX_VARIABLE = 1024  # characters
MAX_RUNNING = 64  # at the same time
SPARE = 2.0  # seconds that the master's answer may take

Tell = Callable[..., None]  # the type of a control message, then its fields


class RootHooks:
    """The legion process's side. ``link``: its control socket."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._count = 0
        self._asked: dict[int, trio.Event] = {}
        self._answers: dict[int, str | None] = {}

    def of(self, legion: str) -> RunAsRoot:
        """What runs the hooks of one legion; returns None or what went wrong."""

        async def run(
            event: Event, hook: int, environ: Mapping[str, str], seconds: float
        ) -> str | None:
            return await self._ask(legion, event, hook, environ, seconds)

        return run

    def answer(self, message: Mapping[str, object]) -> None:
        """The master's word of how a hook ended."""
        number, reason = message.get("number"), message.get("reason")
        if isinstance(number, int) and number in self._asked:
            self._answers[number] = None if reason is None else str(reason)
            self._asked[number].set()

    async def _ask(
        self, legion: str, event: Event, hook: int, environ: Mapping[str, str], seconds: float
    ) -> str | None:
        self._count += 1
        number = self._count
        answered = self._asked[number] = trio.Event()
        try:
            self._link.send(
                control.encode(
                    "root-hook",
                    number=number,
                    legion=legion,
                    event=event.value,
                    hook=hook,
                    environ=dict(environ),
                    seconds=seconds,
                )
            )
            with trio.move_on_after(seconds + SPARE):
                await answered.wait()
                return self._answers.pop(number)
            return "no answer of the master"
        except OSError as error:
            return f"the master cannot be asked: {error}"
        finally:
            del self._asked[number]
            self._answers.pop(number, None)
            if not answered.is_set():
                with contextlib.suppress(OSError):
                    self._link.send(control.encode("root-hook-stop", number=number))


class RootRunner:
    """The master's side: runs what the configuration has, in ``nursery``."""

    def __init__(self, specs: Mapping[str, LegionSpec], nursery: trio.Nursery) -> None:
        self._specs = specs
        self._nursery = nursery
        self._running: dict[int, trio.CancelScope] = {}

    def take(self, message: Mapping[str, object], tell: Tell) -> bool:
        """Handle a message of the legion process; False if it is none of these.

        ``tell`` sends one back.
        """
        match message:
            case {"type": "root-hook", "number": int(number)}:
                self._nursery.start_soon(self._run, number, dict(message), tell)
            case {"type": "root-hook-stop", "number": int(number)}:
                if number in self._running:
                    self._running[number].cancel()
            case _:
                return False
        return True

    async def _run(self, number: int, message: dict[str, object], tell: Tell) -> None:
        if number in self._running or len(self._running) >= MAX_RUNNING:
            tell("root-hook", number=number, reason=f"{MAX_RUNNING} run already")
            return
        reason: str | None = "stopped"
        with trio.CancelScope() as self._running[number]:
            reason = await self._obey(message)
        del self._running[number]
        tell("root-hook", number=number, reason=reason)

    async def _obey(self, message: dict[str, object]) -> str | None:
        match message:
            case {
                "legion": str(name),
                "event": str(event),
                "hook": int(hook),
                "environ": dict(environ),
                "seconds": float(seconds),
            }:
                try:
                    found = self._specs[name].hooks[Event(event)][hook]
                except (LookupError, ValueError):
                    return "there is no such hook"
                if hook < 0 or found.action != "exec-as-root":
                    return "there is no such hook"
                return await run_command(found.argument, acceptable(environ), seconds)
        return "not understood"


def acceptable(environ: Mapping[object, object]) -> dict[str, str]:
    """The variables that a process which reads foreign packets may give to one of root's."""
    return {
        name: value
        for name, value in environ.items()
        if isinstance(name, str)
        and isinstance(value, str)
        and name.startswith(PREFIX)
        and len(value) <= MAX_VARIABLE
        and value.isprintable()
    }
