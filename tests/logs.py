"""Logs of the processes that a test has started, to be shown if it fails (tests/conftest.py)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

SHOWN = 20_000  # characters of a log, counted from its end


@dataclass(frozen=True)
class Log:
    """The log of one process. ``read`` raises OSError when it is no longer there."""

    name: str
    popen: subprocess.Popen[bytes]
    read: Callable[[], str]


_known: list[Log] = []


def keep(name: str, popen: subprocess.Popen[bytes], read: Callable[[], str]) -> None:
    """Show this log if the running test fails, or a later one while the process runs."""
    _known.append(Log(name, popen, read))


def forget_the_ended() -> None:
    """Another test begins: what has ended by now says nothing of it."""
    _known[:] = [log for log in _known if log.popen.poll() is None]


def sections() -> list[tuple[str, str]]:
    """Title and text of each log."""
    found = []
    for log in _known:
        try:
            text = log.read()
        except (OSError, ValueError):  # removed, or its file is closed
            continue
        status = log.popen.poll()
        state = "running" if status is None else f"exited with {status}"
        found.append((f"log of {log.name} (pid {log.popen.pid}, {state})", text[-SHOWN:]))
    return found
