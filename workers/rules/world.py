"""What rules can ask of a worker and get at once (``routing.outside``)."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from uwgate.routing.outside import FileTest, Later, Outside, Person

if TYPE_CHECKING:
    from uwgate.caching.answers import CacheAnswers
    from uwgate.files.mime import MimeTable
    from uwgate.routing.results import Cached
    from uwgate.workers.api import Api
    from uwgate.workers.worker import Listening

_UNACKED = struct.Struct("=24xI")  # struct tcp_info: a listener's queue (tcp(7))


class WorkerWorld(Outside):
    """This machine, seen from a worker. ``types``: of files by their names, None: unknown."""

    def __init__(
        self,
        person: Person,
        listeners: Sequence[Listening],
        api: Api,
        types: MimeTable | None,
        caches: CacheAnswers,
    ) -> None:
        self.person = person
        self._listeners = listeners
        self._api = api
        self._types = types
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
        """See Outside. Each worker has its own."""
        now = self._turn
        self._turn = 0 if now >= count else now + 1
        return now

    def listen_queue(self) -> int:
        """See Outside: those of our TCP sockets."""
        return sum(_waiting(one.sock) for one in self._listeners if one.is_tcp)

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
        try:
            return os.stat(path).st_mtime
        except (OSError, ValueError):
            return None

    def attribute(self, path: bytes, name: bytes) -> bytes:
        """See Outside."""
        try:
            return os.getxattr(path, name)
        except (OSError, ValueError):
            return b""

    def mime_type(self, name: bytes) -> bytes:
        """See Outside."""
        return (self._types.type_of(name) or b"") if self._types is not None else b""

    def is_lord(self, legion: bytes) -> bool:
        """See Outside."""
        return self._api.i_am_the_lord(legion)

    def look_up(self, name: bytes, key: bytes) -> Cached | Later | None:
        """See Outside."""
        return self._caches.look_up(name, key)

    def in_cache(self, name: bytes, key: bytes) -> bool:
        """See Outside."""
        return self._caches.in_cache(name, key)


def _waiting(listener: socket.socket) -> int:
    try:
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size)
    except OSError:
        return 0
    found: int = _UNACKED.unpack(info)[0]
    return found
