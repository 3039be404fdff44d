"""Who listens on a TCP port already: an answer for the message "address in use"."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LISTEN_STATE = "0A"  # TCP_LISTEN of the kernel's include/net/tcp_states.h


def find_holder(port: int) -> str | None:
    """The process that listens on ``port``, such as ``nginx (pid 812)``.

    None if /proc does not tell: the process is another user's, or is gone.
    """
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _holds(process, inodes):
            return f"{_command(process)} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> list[str]:
    found: list[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                local_port = int(fields[1].rpartition(":")[2], 16)
                if local_port == port and fields[3] == LISTEN_STATE:
                    found.append(fields[9])
    return found


def _holds(process: Path, links: set[str]) -> bool:
    # A process may end, or be another user's, at any point of this walk.
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) in links:
                    return True
    return False


def _command(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "comm").read_text().strip()
    return "a process"
