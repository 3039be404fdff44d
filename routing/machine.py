"""The machine that rules run on, for their ``Outside``: its clock, its files, chance.

The one module of this folder that asks an operating system for anything.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
import uuid

from uwgate.routing.outside import FileTest, Outside


class Machine(Outside):
    """What every process knows. Turns are counted by each for itself."""

    def __init__(self) -> None:
        self._turn = 0

    def now(self) -> float:
        """See Outside."""
        return time.time()

    def new_uuid(self) -> bytes:
        """See Outside."""
        return str(uuid.uuid4()).encode()

    def choose(self, count: int) -> int:
        """See Outside."""
        return random.randrange(count)

    def turn(self, count: int) -> int:
        """See Outside."""
        now = self._turn
        self._turn = 0 if now >= count else now + 1
        return now

    def check_file(self, path: bytes, test: FileTest) -> bool:
        """See Outside."""
        if b"\0" in path:
            return False
        match test:
            case FileTest.EXISTS:
                return os.path.exists(path)
            case FileTest.FILE:
                return os.path.isfile(path)
            case FileTest.DIRECTORY:
                return os.path.isdir(path)
            case FileTest.LINK:
                return os.path.islink(path)
            case FileTest.EXECUTABLE:
                return os.access(path, os.X_OK)

    def modified(self, path: bytes) -> float | None:
        """See Outside."""
        with contextlib.suppress(OSError, ValueError):
            return os.stat(path).st_mtime
        return None

    def attribute(self, path: bytes, name: bytes) -> bytes:
        """See Outside."""
        with contextlib.suppress(OSError, ValueError):
            return os.getxattr(path, name)
        return b""
