"""The store of one cache: items that all processes of an instance share."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from uwgate.caching import records
from uwgate.caching.arithmetic import Operation, compute, number_of
from uwgate.caching.datagrams import Stored
from uwgate.caching.environment import Environment, StoreError, Transaction
from uwgate.caching.records import NUMBER, DamagedError, Item, place_of
from uwgate.caching.shelf import Shelf
from uwgate.caching.tally import FULL, HITS, MISSES, Tally
from uwgate.conf.caches import CacheSpec

log = logging.getLogger("uwgate.cache")

PATIENCE = 1.0  # seconds that a writer waits for others
LONG_RECORD = 2000  # bytes; longer ones have pages of their own
PAGE = 4096
SPARE = 16 << 20  # bytes of map beyond what items need
MAX_KEY_COST = 600  # bytes of a key in all indexes
MADE_ROOM = 16  # items that are evicted at least when the memory is full, not the count
FULL_LOG_PAUSE = 10.0  # seconds between two lines about a full cache

T = TypeVar("T")

__all__ = ["Store", "StoreError"]


class Store:
    """The items of one cache. ``path`` is the file; ``tally`` that of the counts.

    Each record of a file that outlives the machine's memory has a checksum. ``clock`` gives
    seconds since the epoch. Everything may raise StoreError: the store cannot be used now.
    """

    def __init__(
        self,
        spec: CacheSpec,
        path: str,
        tally: str,
        *,
        mode: int = 0o600,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.spec = spec
        self.path = path
        self._env = Environment(path, tally, map_size=map_size(spec), mode=mode, patience=patience)
        self._clock = clock
        self._checked = spec.store is not None
        self._full_logged = 0.0

    # Reading

    def get(self, key: bytes) -> Item | None:
        """The item of a key; None: there is none, or its time is over."""
        item = self.peek(key)
        self._env.count(MISSES if item is None else HITS)
        if item is not None and self.spec.purge_lru:
            self._touch(place_of(key))
        return item

    def peek(self, key: bytes) -> Item | None:
        """The same, without a trace in counts and order."""
        if not key:
            return None
        place = place_of(key)
        try:
            item: Item | None = self._env.get(place, lambda record: records.decode(key, record))
        except DamagedError as error:
            log.error("cache %s: an item is damaged (%s): removed", self.spec.name, error)
            with contextlib.suppress(StoreError):
                self._change(lambda shelf: shelf.remove(place))
            return None
        if item is not None and item.expires and self.spec.expires and item.expires <= self._now():
            return None
        return item

    def keys(self) -> list[bytes]:
        """All keys whose time is not over."""
        found: list[bytes] = []
        with self._env.reading() as txn:
            shelf = self._shelf(txn)
            with txn.cursor(db=self._env.db.items) as cursor:
                for place, record in cursor:
                    with contextlib.suppress(DamagedError):
                        if not shelf.is_over(records.expires_of(record)):
                            found.append(records.key_of(place, record))
        return found

    @property
    def count(self) -> int:
        """How many items there are, those included whose time is over."""
        with self._env.reading() as txn:
            return self._shelf(txn).entries

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all files that are the instance's own."""
        if self.spec.store:
            return (self._env.tally_path,)
        return self.path, f"{self.path}-lock", self._env.tally_path

    def snapshot(self) -> Iterator[Stored]:
        """All items, as they are at this moment. Nobody of this process writes meanwhile."""
        with self._env.reading() as txn:
            shelf = self._shelf(txn)
            with txn.cursor(db=self._env.db.items) as cursor:
                for place, record in cursor:
                    with contextlib.suppress(DamagedError):
                        key = records.key_of(place, record)
                        item = records.decode(key, record)
                        if not shelf.is_over(item.expires):
                            yield Stored(key, *item)

    def note(self, note: Callable[[Tally], T]) -> T:
        """Do something with the counts, which must not be kept."""
        return self._env.note(note)

    def total(self, column: int) -> int:
        """What all processes have counted in a column of the tally."""
        return self.note(lambda tally: tally.total(column))

    # Writing

    def put(self, key: bytes, value: bytes, expires: int = 0, *, overwrite: bool) -> bool:
        """Store a value until ``expires`` (seconds since the epoch, 0: for ever).

        False: key or value are empty or too long, the cache is full, or there is such an item
        already and ``overwrite`` is not set.
        """
        if not self._fits(key, value):
            return False

        def put(shelf: Shelf) -> bool:
            if not overwrite and shelf.find(key) is not None:
                return False
            return self._write(shelf, key, value, expires)

        return self._change(put)

    def calculate(
        self, key: bytes, operation: Operation, operand: int, expires: int = 0
    ) -> Item | None:
        """Change a number, and return it. A missing one begins with ``math_initial``.

        None: the cache is full, or what is there is no number. One that is there keeps its time.
        """
        if not self._fits(key, NUMBER.pack(0)):
            return None
        result = Item(b"")

        def calculate(shelf: Shelf) -> bool:
            nonlocal result
            found = shelf.find(key)
            number = self.spec.math_initial if found is None else number_of(found.value)
            if number is None:
                return False
            until = expires if found is None else found.expires
            result = Item(NUMBER.pack(compute(operation, number, operand)), until)
            return self._write(shelf, key, *result)

        return result if self._change(calculate) else None

    def delete(self, key: bytes) -> bool:
        """Remove an item; False: there was none."""
        was_there = False

        def delete(shelf: Shelf) -> bool:
            nonlocal was_there
            was_there = shelf.find(key) is not None
            return shelf.remove(place_of(key))

        return bool(key) and self._change(delete) and was_there

    def clear(self) -> None:
        """Remove all items."""

        def clear(shelf: Shelf) -> bool:
            shelf.clear()
            return True

        self._change(clear)

    # Care, by the process that looks after all caches

    def prepare(self) -> None:
        """Open the store, and make good what another configuration has left in it."""
        self._env.change(lambda txn: self._shelf(txn).adopt())

    def sweep(self) -> int:
        """Remove items whose time is over; returns how many there were."""
        removed = count = 0

        def sweep(txn: Transaction) -> bool:
            nonlocal count
            count = self._shelf(txn).sweep()
            return count > 0

        while True:
            with self._env.reading() as txn:  # most often nothing is to be done
                if self._shelf(txn).first_due() is None:
                    return removed
            self._env.change(sweep)
            removed += count

    def forget_dead(self) -> int:
        """Give the places of readers free that were killed; returns how many there were."""
        return self._env.forget_dead()

    def sync(self) -> None:
        """Write everything to the disk."""
        self._env.sync()

    def close(self) -> None:
        """Close the files; using the store opens them again."""
        self._env.close()

    # Inside

    def _shelf(self, txn: Transaction) -> Shelf:
        return Shelf(txn, self._env.db, self.spec, self._now(), self._count_full)

    def _change(self, change: Callable[[Shelf], bool]) -> bool:
        def make_room(txn: Transaction) -> bool:
            self._count_full()
            shelf = self._shelf(txn)
            removed = shelf.sweep()
            if self.spec.purge_lru:
                removed += shelf.evict(max(MADE_ROOM, shelf.entries // 16))
            return removed > 0

        done = self._env.change(lambda txn: change(self._shelf(txn)), make_room)
        if done and self.spec.lastmod:
            now = self._now()
            self._env.note(lambda tally: tally.set_modified(now))
        return done

    def _write(self, shelf: Shelf, key: bytes, value: bytes, expires: int) -> bool:
        done = shelf.write(key, value, expires, checked=self._checked)
        if not done:
            self._say_full()
        return done

    def _touch(self, place: bytes) -> None:
        # Where an item stands matters less than an answer.
        with contextlib.suppress(StoreError):
            with self._env.reading() as txn:
                if not self._shelf(txn).is_old(place):
                    return
            self._env.change(lambda txn: self._shelf(txn).touch(place))

    def _fits(self, key: bytes, value: bytes) -> bool:
        return 0 < len(key) <= self.spec.keysize and 0 < len(value) <= self.spec.longest

    def _now(self) -> int:
        return int(self._clock())

    def _count_full(self) -> None:
        self._env.count(FULL)

    def _say_full(self) -> None:
        now = time.monotonic()
        if not self.spec.ignore_full and now >= self._full_logged:
            self._full_logged = now + FULL_LOG_PAUSE
            log.warning("*** cache %s is FULL (%d items) ***", self.spec.name, self.spec.items)


def map_size(spec: CacheSpec) -> int:
    """Bytes of address space: twice what all items need, for pages are used again only later."""
    key = min(spec.keysize, MAX_KEY_COST) + 100
    own_pages = spec.bitmap or spec.blocksize + spec.keysize > LONG_RECORD
    each = 2 * key + (2 * PAGE + spec.keysize if own_pages else 2 * spec.blocksize)
    need = 2 * (spec.items * each + spec.room * spec.blocksize) + SPARE
    return 1 << (need - 1).bit_length()
