"""Waiting for what nobody tells."""

from __future__ import annotations

from collections.abc import Callable

import trio

PATIENCE = 60.0  # seconds


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)
