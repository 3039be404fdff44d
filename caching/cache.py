"""A cache as its users see it: what goes wrong is a miss or a refusal, and a line in the log.

``LocalCache`` is a cache of this instance: its store, and those who have to hear of changes.
``caching/remote.py`` has the same methods for one of another instance.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Protocol

from uwgate.caching.arithmetic import Operation, number_of
from uwgate.caching.datagrams import Change, Removed, Stored
from uwgate.caching.records import Item
from uwgate.caching.sending import Sender
from uwgate.caching.store import Store, StoreError
from uwgate.conf.caches import CacheSpec

log = logging.getLogger("uwgate.cache")

LOG_PAUSE = 10.0  # seconds between two lines about one cache
MAX_TTL = 1 << 40  # seconds; more is for ever


class Cache(Protocol):
    """What can be done with a cache. ``ttl`` is in seconds from now on, 0: for ever."""

    def get(self, key: bytes) -> Item | None:
        """The item; None: there is none."""
        ...

    def exists(self, key: bytes) -> bool:
        """Whether there is such an item; does not count as a use."""
        ...

    def add(self, key: bytes, value: bytes, ttl: int = 0) -> bool:
        """Store what is not there yet; False: it is, or it cannot be stored."""
        ...

    def update(self, key: bytes, value: bytes, ttl: int = 0) -> bool:
        """Store over what is there; False: it cannot be stored."""
        ...

    def calculate(self, key: bytes, operation: Operation, operand: int, ttl: int = 0) -> bool:
        """Change a number; False: it cannot be done."""
        ...

    def delete(self, key: bytes) -> bool:
        """Remove an item; False: there is none."""
        ...

    def clear(self) -> bool:
        """Remove all items."""
        ...


class LocalCache:
    """A cache of this instance. ``folder`` is where its files are, but for a store's own."""

    def __init__(
        self,
        spec: CacheSpec,
        folder: str,
        *,
        secret: bytes | None = None,
        mode: int = 0o600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.spec = spec
        self._clock = clock
        self._said_at = 0.0
        stem = os.path.join(folder, file_name(spec.name))
        self.store = Store(
            spec, spec.store or f"{stem}.mdb", f"{stem}.tally", mode=mode, clock=clock
        )
        self.sender = Sender(spec.name, spec.nodes, secret)

    def get(self, key: bytes) -> Item | None:
        """See ``Cache``."""
        try:
            return self.store.get(key)
        except StoreError as error:
            self._say(error)
            return None

    def exists(self, key: bytes) -> bool:
        """See ``Cache``."""
        try:
            return self.store.peek(key) is not None
        except StoreError as error:
            self._say(error)
            return False

    def add(self, key: bytes, value: bytes, ttl: int = 0) -> bool:
        """See ``Cache``."""
        return self._put(key, value, ttl, overwrite=False)

    def update(self, key: bytes, value: bytes, ttl: int = 0) -> bool:
        """See ``Cache``."""
        return self._put(key, value, ttl, overwrite=True)

    def calculate(self, key: bytes, operation: Operation, operand: int, ttl: int = 0) -> bool:
        """See ``Cache``. Others are told the result, with the time that the item has."""
        try:
            item = self.store.calculate(key, operation, operand, self._until(ttl))
        except StoreError as error:
            self._say(error)
            return False
        if item is None:
            return False
        self.sender.send(Stored(key, *item))
        return True

    def number(self, key: bytes) -> int:
        """The number of an item; 0 if there is none."""
        item = self.get(key)
        return 0 if item is None else number_of(item.value) or 0

    def delete(self, key: bytes) -> bool:
        """See ``Cache``."""
        try:
            done = self.store.delete(key)
        except StoreError as error:
            self._say(error)
            return False
        if done:
            self.sender.send(Removed(key))
        return done

    def clear(self) -> bool:
        """See ``Cache``."""
        try:
            gone = self.store.keys() if self.spec.nodes else []
            self.store.clear()
        except StoreError as error:
            self._say(error)
            return False
        for key in gone:
            self.sender.send(Removed(key))
        return True

    def keys(self) -> list[bytes]:
        """All keys, in no order."""
        try:
            return self.store.keys()
        except StoreError as error:
            self._say(error)
            return []

    def apply(self, change: Change) -> bool:
        """Follow a change of another instance, which nobody is told; False: it cannot be done.

        Raises:
            StoreError: the store cannot be used.
        """
        match change:
            case Stored(key, value, expires):
                if expires and expires <= self._clock():
                    self.store.delete(key)
                    return True
                return self.store.put(key, value, expires, overwrite=True)
            case Removed(key):
                self.store.delete(key)
                return True

    def close(self) -> None:
        """Close files and sockets; using the cache opens them again."""
        self.store.close()
        self.sender.close()

    def _put(self, key: bytes, value: bytes, ttl: int, *, overwrite: bool) -> bool:
        until = self._until(ttl)
        try:
            done = self.store.put(key, value, until, overwrite=overwrite)
        except StoreError as error:
            self._say(error)
            return False
        if done:
            self.sender.send(Stored(key, value, until))
        return done

    def _until(self, ttl: int) -> int:
        return int(self._clock()) + int(ttl) if 0 < ttl < MAX_TTL else 0

    def _say(self, error: StoreError) -> None:
        now = time.monotonic()
        if now >= self._said_at:
            self._said_at = now + LOG_PAUSE
            log.error("%s", error)


def file_name(cache: str) -> str:
    """The name of a cache as that of a file."""
    safe = "".join(one if one.isalnum() or one in "-_" else "." for one in cache)
    # Two names may look the same then.
    return safe if safe == cache else f"{safe}.{cache.encode().hex()}"[:200]
