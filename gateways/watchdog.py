"""``-harakiri`` of gateways: a process that stands still is ended, so that the master replaces it.

An event loop stands still only through a bug, or a function of the operator's that does not
return (``-use-code-string``). Nothing in the process could say so any more but a thread of C.
"""

from __future__ import annotations

import faulthandler

import trio

LONGEST_PAUSE = 1.0  # seconds between two signs of life


async def watch(limit: float) -> None:
    """Until cancelled: one turn of the event loop must not take longer than ``limit`` seconds.

    Else the process writes where each of its threads is to standard error, and exits with
    status 1. That comes up to a quarter of ``limit`` later, never sooner.
    """
    pause = min(limit / 4, LONGEST_PAUSE)
    try:
        while True:
            faulthandler.dump_traceback_later(limit + pause, exit=True)
            await trio.sleep(pause)
    finally:
        faulthandler.cancel_dump_traceback_later()
