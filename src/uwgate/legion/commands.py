"""Shell commands of hooks and alarms: each has an end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping

import trio

from uwgate.conf.memory_file import memory_file

BURY_LIMIT = 1.0  # seconds; SIGKILL works at once, but for processes stuck in the kernel


async def run_command(
    command: str, environ: Mapping[str, str], seconds: float, *, text: str = ""
) -> str | None:
    """Run a shell command; None if it succeeded, else what went wrong.

    ``text`` is what it can read. After ``seconds``, or when cancelled, it is killed with all that
    it has started.
    """
    try:
        with memory_file(text.encode("utf-8", "surrogateescape")) as stdin:
            process = await trio.lowlevel.open_process(
                ["/bin/sh", "-c", command],
                stdin=stdin,
                env={**os.environ, **environ},
                start_new_session=True,
            )
    except OSError as error:
        return f"cannot be executed: {error}"
    try:
        with trio.move_on_after(seconds):
            await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + BURY_LIMIT):
                await process.wait()
            status = None
        else:
            status = process.returncode
    if status is None:
        return f"did not end in {seconds:g} s: killed"
    if status < 0:
        return f"killed by signal {-status}"
    return f"ended with status {status}" if status else None
