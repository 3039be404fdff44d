"""Pipes through which the kernel moves bytes from socket to socket (splice(2)).

A pipe costs two descriptors and, while there is something in it, memory that no process can see.
So there are only so many of them, and a connection has one only while bytes move.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

SIZE = 1 << 18  # bytes; the kernel allows a user 64 MiB in all (pipe(7), pipe-user-pages-soft)
KEPT = 16  # pipes that stay open while nobody uses them
DESCRIPTORS = 2  # of each


class Pipe:
    """One of them, which does not block."""

    __slots__ = ("reader", "writer")

    def __init__(self) -> None:
        """Raises OSError when descriptors or memory have run out."""
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # beyond the user's limit it stays as small as it is
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, SIZE)

    def close(self) -> None:
        """Close both ends, and lose what is in it."""
        os.close(self.reader)
        os.close(self.writer)


class Pipes:
    """The pipes of one process, ``most`` at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._free: list[Pipe] = []
        self.used = 0

    def take(self) -> Pipe | None:
        """An empty pipe; None: there is none left, so bytes have to be copied."""
        if self._free:
            pipe = self._free.pop()
        elif self.used >= self._most:
            return None
        else:
            try:
                pipe = Pipe()
            except OSError:
                return None
        self.used += 1
        return pipe

    def give_back(self, pipe: Pipe, *, is_empty: bool) -> None:
        """Nobody uses it any more. What is still in it is lost."""
        self.used -= 1
        if is_empty and len(self._free) < KEPT:
            self._free.append(pipe)
        else:
            pipe.close()

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._free:
            self._free.pop().close()
