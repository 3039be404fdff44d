"""Bodies that are taken in before a backend is chosen (fastrouter-post-buffering).

A slow client then keeps no backend busy, and a request whose backend cannot be connected may go
to another one until the end. All bodies of a process together have a limit; what does not fit
is sent on as it comes.
"""

from __future__ import annotations

import logging
import tempfile
from typing import IO

log = logging.getLogger("uwgate.fastrouter")

PIECE = 65536  # bytes read at a time


class Bodies:
    """The bodies of one process.

    ``memory`` is the most that is kept there of one body, in bytes; larger ones are kept in a file
    in ``folder`` (None: that of TMPDIR). ``free`` is what all may still take, in bytes.
    Files are written without waiting for the disk: the kernel does that.
    """

    def __init__(self, memory: int, folder: str | None, free: int) -> None:
        self.memory = memory
        self.folder = folder
        self.free = free


class Body:
    """One body; ``length`` is what will come of it, in bytes. ``close`` must be called."""

    __slots__ = ("_bodies", "_file", "_held", "_parts")

    def __init__(self, bodies: Bodies, length: int) -> None:
        self._bodies = bodies
        self._held = 0  # of what all may take
        self._parts: list[bytes] = []  # what follows the file
        # Without a name, so nobody has to remove it; unbuffered, so a full disk tells at once.
        self._file: IO[bytes] | None = None
        if length > bodies.memory:
            try:
                self._file = tempfile.TemporaryFile(buffering=0, dir=bodies.folder)  # noqa: SIM115
            except OSError as error:
                log.error("no file for a body, it is sent on as it comes: %s", error)

    def add(self, data: bytes) -> bool:
        """Take ``data`` in; False: but no more than that."""
        self._held += len(data)
        self._bodies.free -= len(data)
        rest = self._write(data)
        if rest:
            self._parts.append(rest)
        return self._bodies.free > 0 and (not rest or self._held <= self._bodies.memory)

    def _write(self, data: bytes) -> bytes:
        """Put ``data`` into the file; what it does not take is returned."""
        if self._file is None:
            return data
        try:
            return data[self._file.write(data) :]
        except OSError as error:
            log.error("a body does not fit, it is sent on as it comes: %s", error.strerror)
            return data

    def rewind(self) -> None:
        """It takes no more, and is read from its beginning."""
        if self._file is not None:
            self._file.seek(0)
        self._parts.reverse()

    def read(self) -> bytes:
        """The next bytes; empty when there are no more."""
        data = self._file.read(PIECE) if self._file is not None else b""
        return data or (self._parts.pop() if self._parts else b"")

    def close(self) -> None:
        """Give everything back; again does no harm."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._parts.clear()
        self._bodies.free += self._held
        self._held = 0
