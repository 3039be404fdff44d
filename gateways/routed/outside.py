"""What rules can ask of a gateway and get at once (``routing.outside``)."""

from __future__ import annotations

import contextlib
import os
import random
import time
import uuid
from collections.abc import Callable

from uwgate.caching.answers import CacheAnswers
from uwgate.conf.board import Board
from uwgate.routing.outside import FileTest, Later, Outside, Person
from uwgate.routing.results import Cached


class GatewayOutside(Outside):
    """This machine, as a gateway process sees it.

    ``mime_type`` tells that of a file's name. ``board``: who is lord of which legion, None: there
    are no legions. The worker's number of a gateway is 0. Gateways have no metrics.
    """

    def __init__(
        self,
        mime_type: Callable[[bytes], bytes | None],
        caches: CacheAnswers,
        board: Board | None = None,
    ) -> None:
        self.person = Person(0, os.getpid())
        self._board = board
        self._mime_type = mime_type
        self._caches = caches
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
        """See Outside. Each process counts for itself."""
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

    def mime_type(self, name: bytes) -> bytes:
        """See Outside."""
        return self._mime_type(name) or b""

    def is_lord(self, legion: bytes) -> bool:
        """See Outside."""
        if self._board is None:
            return False
        notice = self._board.notices.get(legion.decode("utf-8", "replace"))
        return notice is not None and notice.standing.is_lord

    def look_up(self, name: bytes, key: bytes) -> Cached | Later | None:
        """See Outside."""
        return self._caches.look_up(name, key)

    def in_cache(self, name: bytes, key: bytes) -> bool:
        """See Outside. Caches of other instances are not asked."""
        return self._caches.in_cache(name, key, may_wait=False)
