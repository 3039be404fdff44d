"""What a node does when it becomes lord, and when it stops being one.

Addresses come first and go first: hooks find them there, and no hook can delay their removal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import trio

from uwgate.legion.hooks import Hooks
from uwgate.subscriptions.legion.hook import Event

log = logging.getLogger("uwgate.legion")


class Holding(Protocol):
    """Something that only the lord has, such as a service address."""

    async def take(self, still: Callable[[], bool]) -> bool:
        """Get it; whether that succeeded. ``still``: whether it should be had at all."""

    def drop(self) -> None:
        """Give it back, at once."""

    def renew(self, seconds: float) -> bool:
        """Keep it for that long at least, if it is had; False: it is lost."""

    def announce(self) -> None:
        """Tell the neighbours again that it is here, if it is had."""

    async def run(self) -> None:
        """What it takes meanwhile, for ever."""


class Lordship:
    """See the module."""

    def __init__(self, name: str, hooks: Hooks, holdings: tuple[Holding, ...]) -> None:
        self._name = name
        self._hooks = hooks
        self._holdings = holdings

    async def take(
        self, environ: Mapping[str, str], still: Callable[[], bool], *, stop_at_failure: bool
    ) -> bool:
        """Take the holdings and run the lord hooks; whether all of that succeeded."""
        taken = True
        for holding in self._holdings:
            if not still():
                return False
            taken = await holding.take(still) and taken
            if not taken and stop_at_failure:
                return False
        hooked = await self._hooks.run(
            Event.LORD, environ, still=still, stop_at_failure=stop_at_failure
        )
        return taken and hooked

    async def run(self) -> None:
        """Care for the holdings, for ever."""
        async with trio.open_nursery() as nursery:
            for holding in self._holdings:
                nursery.start_soon(holding.run)

    def drop(self) -> None:
        """Give the holdings back, at once."""
        for holding in self._holdings:
            holding.drop()

    def renew(self, seconds: float) -> bool:
        """Keep the holdings for that long at least; False: one is lost."""
        kept = [holding.renew(seconds) for holding in self._holdings]
        return all(kept)

    def announce(self) -> None:
        """Tell the neighbours again where the holdings are."""
        for holding in self._holdings:
            holding.announce()

    async def end(self, environ: Mapping[str, str], seconds: float) -> None:
        """Run the unlord hooks; those that have not ended after ``seconds`` are killed."""
        with trio.move_on_after(seconds) as scope:
            await self._hooks.run(Event.UNLORD, environ)
        if scope.cancelled_caught:
            log.error("legion %s: the unlord hooks took longer than legion-release", self._name)
