"""Files that rules name, and that must not be anywhere else."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass


class UnreadableError(Exception):
    """A file cannot be read. ``status`` is what a client gets who asked for it."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was when it was read. ``state`` is another one if the file is."""

    path: bytes  # without links
    data: bytes
    state: tuple[int, ...]


def read_file(path: bytes, root: bytes | None, limit: int) -> File:
    """Read a regular file of at most ``limit`` bytes.

    ``root``: the directory that it has to be in when all links are followed, None: anywhere.

    Raises:
        UnreadableError: it is none, somewhere else, or too long.
    """
    shown = path.decode("utf-8", "backslashreplace")
    try:
        # Whatever is at the other end, it is not waited for; the descriptor tells where it is.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no path"
        status = 403 if isinstance(error, PermissionError) else 404
        raise UnreadableError(f"{shown}: {reason}", status) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise UnreadableError(f"{shown}: no file", 404)
    with open(descriptor, "rb") as file:
        try:
            real = os.readlink(b"/proc/self/fd/%d" % descriptor)
        except OSError as error:
            raise UnreadableError(f"{shown}: /proc: {error.strerror}", 500) from error
        if root is not None and not is_inside(real, os.path.realpath(root)):
            where = root.decode("utf-8", "backslashreplace")
            raise UnreadableError(f"{shown}: not in {where}", 403)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UnreadableError(f"{shown}: more than {limit} bytes", 500)
    return File(real, data, state_of(found))


def is_inside(path: bytes, root: bytes) -> bool:
    """Whether a path leads into a directory; both are without links."""
    return path.startswith(root.rstrip(b"/") + b"/")


def state_of(found: os.stat_result) -> tuple[int, ...]:
    """What changes when a file does."""
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)
