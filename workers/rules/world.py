"""What rules can ask of a worker and get at once (``routing.outside``)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from uwgate.routing.machine import Machine
from uwgate.routing.outside import Later, Person

if TYPE_CHECKING:
    from uwgate.caching.answers import CacheAnswers
    from uwgate.files.mime import MimeTable
    from uwgate.routing.places import Places
    from uwgate.routing.results import Cached, Expertise, Reply
    from uwgate.workers.api import Api
    from uwgate.workers.worker import Listening

_UNACKED = struct.Struct("=24xI")  # struct tcp_info: a listener's queue (tcp(7))


class WorkerWorld(Machine):
    """This machine, seen from a worker. ``types``: of files by their names, None: unknown."""

    def __init__(
        self,
        person: Person,
        listeners: Sequence[Listening],
        api: Api,
        types: MimeTable | None,
        caches: CacheAnswers,
        places: Places | None = None,
        ask: Callable[[Expertise], Reply] | None = None,
    ) -> None:
        super().__init__(places, api.metrics, ask)
        self.person = person
        self._listeners = listeners
        self._api = api
        self._types = types
        self._caches = caches

    def listen_queue(self) -> int:
        """See Outside: those of our TCP sockets."""
        return sum(_waiting(one.sock) for one in self._listeners if one.is_tcp)

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
