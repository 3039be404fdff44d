"""Waiting for what other processes and threads do."""

from __future__ import annotations

from collections.abc import Callable

import trio


async def wait_until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds; fail if that takes half a minute."""
    with trio.fail_after(120):
        while not condition():  # noqa: ASYNC110  nothing tells when the other side is done
            await trio.sleep(0.01)
