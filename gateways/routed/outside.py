"""What rules can ask of a gateway and get at once (``routing.outside``)."""

from __future__ import annotations

import os
from collections.abc import Callable

from uwgate.caching.answers import CacheAnswers
from uwgate.conf.board import Board
from uwgate.conf.metric_file import Metrics
from uwgate.routing.machine import Machine
from uwgate.routing.outside import Later, Person
from uwgate.routing.places import Places
from uwgate.routing.results import Cached, Expertise, Reply


class GatewayOutside(Machine):
    """This machine, as a gateway process sees it.

    ``mime_type`` tells that of a file's name. ``board``: who is lord of which legion, None: there
    are no legions. The worker's number of a gateway is 0.
    """

    def __init__(
        self,
        mime_type: Callable[[bytes], bytes | None],
        caches: CacheAnswers,
        board: Board | None = None,
        places: Places | None = None,
        metrics: Metrics | None = None,
        ask: Callable[[Expertise], Reply] | None = None,
    ) -> None:
        super().__init__(places, metrics, ask)
        self.person = Person(0, os.getpid())
        self._board = board
        self._mime_type = mime_type
        self._caches = caches

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
