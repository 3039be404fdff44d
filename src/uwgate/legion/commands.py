"""Shell commands of hooks and alarms: each has an end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping

import trio

BURY_LIMIT = 1.0  # seconds; SIGKILL works at once, but for processes stuck in the kernel


async def run_command(
    command: str, environ: Mapping[str, str], seconds: float, *, text: str = ""
) -> str | None:
    """Run a shell command; None if it succeeded, else what went wrong.

    ``text`` is what it can read. After ``seconds``, or when cancelled, it is killed with all that
    it has started.
    """
    try:
        with memory_file(text) as stdin:
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


@contextlib.contextmanager
def memory_file(text: str) -> Iterator[int]:
    """A descriptor from which the text can be read: nobody has to wait for a reader."""
    fd = os.memfd_create("uwgate-text", os.MFD_CLOEXEC)
    try:
        content = text.encode("utf-8", "surrogateescape")
        while content:
            content = content[os.write(fd, content) :]
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
