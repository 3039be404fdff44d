"""What routing rules ask of caches, and want done (``routing/results.py``, ``effects.py``).

A gateway asks ``is_quick`` first: what is not, belongs into a thread. A worker need not care.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from uwgate.caching.arithmetic import Operation
from uwgate.routing.effects import CacheStore
from uwgate.routing.outside import LATER, Later
from uwgate.routing.results import CacheAdd, Cached, CacheGet, CacheSum, Sum

if TYPE_CHECKING:
    from uwgate.caching.cache import LocalCache
    from uwgate.caching.caches import Caches
    from uwgate.caching.remote import RemoteCache

log = logging.getLogger("uwgate.cache")

CacheQuestion = CacheGet | CacheAdd | CacheSum

_OPERATIONS = {
    Sum.ADD: Operation.ADD,
    Sum.SUBTRACT: Operation.SUBTRACT,
    Sum.MULTIPLY: Operation.MULTIPLY,
    Sum.DIVIDE: Operation.DIVIDE,
    Sum.SET: Operation.SET,
}


class CacheAnswers:
    """Answers from the caches of a process; None: there are none, and everything is a miss."""

    def __init__(self, caches: Caches | None) -> None:
        self._caches = caches
        # By name as rules have it, empty for the default one.
        self._own: dict[bytes, LocalCache] = {}
        if caches is not None:
            for name, cache in caches.local.items():
                self._own.setdefault(b"", cache)
                self._own[name.encode()] = cache

    def look_up(self, name: bytes, key: bytes) -> Cached | Later | None:
        """``Outside.look_up``: what a cache of this instance has. Nobody is waited for."""
        cache = self._own.get(name)
        if cache is None:
            return LATER
        item = cache.get(key)
        return None if item is None else Cached(*item)

    def is_quick(self, question: CacheQuestion | CacheStore) -> bool:
        """Whether nobody is waited for: a look into a cache of this instance."""
        if not isinstance(question, CacheGet):
            return False
        own = self._caches and self._caches.find_local(_text(question.name))
        return own is not None or b"@" not in question.name

    def answer(self, question: CacheQuestion) -> Cached | bool | None:
        """The reply to a question, as ``routing.results`` says what it is.

        Takes as long as other writers (a second at most), or another instance (cache-timeout).
        """
        cache = self._find(question.name)
        match question:
            case CacheGet(key=key):
                item = None if cache is None else cache.get(key)
                return None if item is None else Cached(item.value, item.expires)
            case CacheAdd(key=key, value=value, expires=ttl):
                return cache is not None and cache.add(key, value, ttl)
            case CacheSum(key=key, sum=sum, amount=amount, expires=ttl):
                return cache is not None and cache.calculate(key, _OPERATIONS[sum], amount, ttl)

    def store(self, effect: CacheStore) -> bool:
        """Do what ``cachestore`` wants; False: it could not be done. As long as ``answer``."""
        cache = self._find(effect.name)
        return cache is not None and cache.update(effect.key, effect.value, effect.expires)

    def in_cache(self, name: bytes, key: bytes, *, may_wait: bool = True) -> bool:
        """``Outside.in_cache``. Without ``may_wait`` other instances are not asked: False."""
        if not may_wait and not self.is_quick(CacheGet(name, key)):
            return False
        cache = self._find(name)
        return cache is not None and cache.exists(key)

    def _find(self, name: bytes) -> LocalCache | RemoteCache | None:
        return None if self._caches is None else self._caches.find(_text(name))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
