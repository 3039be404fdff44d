"""The store of one cache, on lmdb: the only module that knows it.

Readers take no lock and wait for nobody. Writers are one at a time; what one of them has not
finished when it is killed has not happened. No environment is open while the process forks: lmdb
keeps locks and places in its table of readers by process, and a child that closed what it has
inherited would take its parent's place away. A hook closes everything before a fork, and
whoever needs it opens it again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import lmdb

from uwgate.caching import records
from uwgate.caching.arithmetic import Operation, compute, number_of
from uwgate.caching.records import NUMBER, STAMP, DamagedError, Item, place_of
from uwgate.caching.tally import FULL, HITS, MISSES, BusyError, Tally
from uwgate.conf.caches import CacheSpec

log = logging.getLogger("uwgate.cache")

MAX_READERS = 1024  # processes and threads that read at the same time
PATIENCE = 1.0  # seconds that a writer waits for others
LONG_RECORD = 2000  # bytes; longer ones have pages of their own
PAGE = 4096
SPARE = 16 << 20  # bytes of map beyond what items need
MAX_KEY_COST = 600  # bytes of a key in all indexes
SWEPT = 1000  # items that are removed in one transaction
MADE_ROOM = 16  # items that are evicted at least when the memory is full, not the count
FULL_LOG_PAUSE = 10.0  # seconds between two lines about a full cache


class StoreError(Exception):
    """The store cannot be used now. The text says why."""


class Store:
    """The items of one cache. ``path`` is the file; ``tally`` that of the counts.

    ``checked``: each record has a checksum, for files that outlive the machine's memory.
    ``clock`` gives seconds since the epoch.
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
        self._tally_path = tally
        self._mode = mode
        self._patience = patience
        self._clock = clock
        self._checked = spec.store is not None
        self._full_logged = 0.0
        self._gate = threading.RLock()  # held while lmdb is used: a fork waits for it
        self._env: lmdb.Environment | None = None
        self._tally: Tally | None = None
        _open_stores.add(self)

    # Reading

    def get(self, key: bytes) -> Item | None:
        """The item of a key; None: there is none, or its time is over.

        Raises:
            StoreError: the store cannot be used.
        """
        if not key:
            return None
        item = self._look_up(key)
        tally = self._tally
        if tally is not None:
            tally.add(MISSES if item is None else HITS)
        if item is not None and self.spec.purge_lru:
            self._touch(key)
        return item

    def peek(self, key: bytes) -> Item | None:
        """The same, without a trace in counts and order.

        Raises:
            StoreError: the store cannot be used.
        """
        return self._look_up(key) if key else None

    def keys(self) -> list[bytes]:
        """All keys whose time is not over.

        Raises:
            StoreError: the store cannot be used.
        """
        now = self._now()
        with self._reading() as txn, txn.cursor(db=self._items) as cursor:
            return [
                records.key_of(place, record)
                for place, record in cursor
                if not self._is_over(records.expires_of(record), now)
            ]

    @property
    def count(self) -> int:
        """How many items there are, those included whose time is over.

        Raises:
            StoreError: the store cannot be used.
        """
        with self._reading() as txn:
            return self._entries(txn)

    # Writing

    def put(self, key: bytes, value: bytes, expires: int = 0, *, overwrite: bool) -> bool:
        """Store a value until ``expires`` (seconds since the epoch, 0: for ever).

        False: key or value are empty or too long, the cache is full, or there is such an item
        already and ``overwrite`` is not set.

        Raises:
            StoreError: the store cannot be used.
        """
        if not self._fits(key, value):
            return False

        def put(txn: lmdb.Transaction) -> bool:
            found = self._alive(txn, key)
            if found is not None and not overwrite:
                return False
            return self._write(txn, key, value, expires)

        return self._change(put)

    def calculate(
        self, key: bytes, operation: Operation, operand: int, expires: int = 0
    ) -> int | None:
        """Change a number, and return it. A missing one begins with ``math_initial``.

        None: the cache is full, or what is there is no number. One that is there keeps its time.

        Raises:
            StoreError: the store cannot be used.
        """
        if not self._fits(key, NUMBER.pack(0)):
            return None
        result: list[int] = []

        def calculate(txn: lmdb.Transaction) -> bool:
            result.clear()
            found = self._alive(txn, key)
            number = self.spec.math_initial if found is None else number_of(found.value)
            if number is None:
                return False
            result.append(compute(operation, number, operand))
            until = expires if found is None else found.expires
            return self._write(txn, key, NUMBER.pack(result[0]), until)

        return result[0] if self._change(calculate) else None

    def delete(self, key: bytes) -> bool:
        """Remove an item; False: there was none.

        Raises:
            StoreError: the store cannot be used.
        """
        if not key:
            return False

        def delete(txn: lmdb.Transaction) -> bool:
            was_alive = self._alive(txn, key) is not None
            self._remove(txn, place_of(key))
            return was_alive

        return self._change(delete)

    def clear(self) -> None:
        """Remove all items.

        Raises:
            StoreError: the store cannot be used.
        """

        def clear(txn: lmdb.Transaction) -> bool:
            self._drop_all(txn)
            return True

        self._change(clear)

    # Care, by the process that looks after all caches

    def sweep(self) -> int:
        """Remove items whose time is over; returns how many there were.

        Raises:
            StoreError: the store cannot be used.
        """
        removed = 0
        while self.spec.expires:
            count = 0

            def sweep(txn: lmdb.Transaction) -> bool:
                nonlocal count
                count = self._sweep(txn, SWEPT)
                return count > 0

            with self._reading() as txn:
                if self._first_due(txn) is None:
                    break
            self._change(sweep)
            removed += count
            if not count:
                break
        return removed

    def forget_dead(self) -> int:
        """Give the places of readers free that were killed; returns how many there were.

        Raises:
            StoreError: the store cannot be used.
        """
        with self._gate, self._translated():
            return int(self._opened().reader_check())

    def sync(self) -> None:
        """Write everything to the disk.

        Raises:
            StoreError: the store cannot be used.
        """
        with self._gate, self._translated():
            self._opened().sync(True)

    def prepare(self) -> None:
        """Open the store, and make good what another configuration has left in it.

        Raises:
            StoreError: it cannot be opened.
        """

        def prepare(txn: lmdb.Transaction) -> bool:
            shape = b"%d" % (self.spec.blocksize if self.spec.bitmap else 0)
            if txn.get(b"shape", db=self._state) == shape:
                return False
            txn.put(b"shape", shape, db=self._state)
            with txn.cursor(db=self._items) as cursor:
                used = sum(self._blocks(records.value_size(record)) for _, record in cursor)
            self._set_used(txn, used)
            return True

        self._change(prepare, is_care=True)

    def close(self) -> None:
        """Close the files; using the store opens them again."""
        with self._gate:
            if self._env is not None:
                self._env.close()
                self._env = None
            if self._tally is not None:
                self._tally.close()
                self._tally = None

    @property
    def tally(self) -> Tally:
        """The counts.

        Raises:
            StoreError: the store cannot be used.
        """
        with self._gate:
            self._opened()
            assert self._tally is not None
            return self._tally

    # Transactions

    def _look_up(self, key: bytes) -> Item | None:
        place = place_of(key)
        try:
            try:
                # The short way of nearly all requests: without two context managers.
                with self._gate, self._opened().begin(buffers=True) as txn:
                    record = txn.get(place, db=self._items)
                    item = None if record is None else records.decode(key, record)
            except (lmdb.Error, OSError):
                with self._reading() as txn:
                    record = txn.get(place, db=self._items)
                    item = None if record is None else records.decode(key, record)
        except DamagedError as error:
            log.error("cache %s: an item is damaged (%s): removed", self.spec.name, error)
            with contextlib.suppress(StoreError):
                self._change(lambda txn: self._remove(txn, place))
            return None
        if item is not None and item.expires and self._is_over(item.expires, self._now()):
            return None
        return item

    @contextlib.contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction]:
        with self._gate, self._translated():
            try:
                txn = self._opened().begin(buffers=True)
            except (lmdb.ReadersFullError, lmdb.MapResizedError) as error:
                txn = self._recovered(error).begin(buffers=True)
            with txn:
                yield txn

    def _change(self, change: Callable[[lmdb.Transaction], bool], *, is_care: bool = False) -> bool:
        """Do something as the only writer. What returns False or fails leaves no trace."""
        with self._gate, self._translated():
            env = self._opened()
            assert self._tally is not None
            with self._tally.writing(self._patience):
                try:
                    done = self._attempt(env, change)
                except lmdb.MapResizedError as error:
                    done = self._attempt(self._recovered(error), change)
                except lmdb.MapFullError:
                    done = self._attempt_again(env, change)
            if done and self.spec.lastmod and not is_care:
                self._tally.modified = self._now()
            return done

    def _attempt(self, env: lmdb.Environment, change: Callable[[lmdb.Transaction], bool]) -> bool:
        with env.begin(write=True) as txn:
            if change(txn):
                return True
            txn.abort()
            return False

    def _attempt_again(
        self, env: lmdb.Environment, change: Callable[[lmdb.Transaction], bool]
    ) -> bool:
        """The memory is full, though the number of items is not."""
        env.reader_check()  # a dead reader keeps what it read
        with contextlib.suppress(lmdb.MapFullError), env.begin(write=True) as txn:
            self._sweep(txn, SWEPT)
            if self.spec.purge_lru:
                self._evict(txn, max(MADE_ROOM, self._entries(txn) // 16))
        try:
            return self._attempt(env, change)
        except lmdb.MapFullError:
            self._say_full("its memory")
            return False

    def _recovered(self, error: lmdb.Error) -> lmdb.Environment:
        env = self._opened()
        if isinstance(error, lmdb.ReadersFullError):
            env.reader_check()
            return env
        # A newer configuration has made it larger.
        self._env = None
        env.close()
        return self._opened()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except BusyError as error:
            raise StoreError(f"cache {self.spec.name}: {error}") from error
        except (lmdb.Error, OSError) as error:
            # What has gone wrong may be in the handle: the next one begins anew.
            with contextlib.suppress(lmdb.Error, OSError):
                self.close()
            raise StoreError(f"cache {self.spec.name}: {self.path}: {error}") from error

    def _opened(self) -> lmdb.Environment:
        if self._env is not None:
            return self._env
        if self._tally is None:
            self._tally = Tally(self._tally_path, self._mode)
        env = lmdb.open(
            self.path,
            subdir=False,
            map_size=self.map_size,
            mode=self._mode,
            max_dbs=5,
            max_readers=MAX_READERS,
            # No disk needs to be waited for: after a crash of the machine a file is checked.
            sync=False,
            metasync=False,
            # A full tmpfs would be a SIGBUS, and a stray pointer of an application a wrong value.
            writemap=False,
            readahead=False,
        )
        try:
            # In one transaction of its own, as lmdb wants it.
            self._items = env.open_db(b"items")
            self._due = env.open_db(b"due")
            self._order = env.open_db(b"order")
            self._ticks = env.open_db(b"ticks")
            self._state = env.open_db(b"state")
        except BaseException:
            env.close()
            raise
        self._env = env
        return env

    @property
    def map_size(self) -> int:
        """Bytes of address space: twice what all items need, for pages are used again later."""
        spec = self.spec
        key = min(spec.keysize, MAX_KEY_COST) + 100
        own_pages = spec.bitmap or spec.blocksize + spec.keysize > LONG_RECORD
        each = 2 * key + (2 * PAGE + spec.keysize if own_pages else 2 * spec.blocksize)
        need = 2 * (spec.items * each + spec.room * spec.blocksize) + SPARE
        return 1 << (need - 1).bit_length()

    # Inside a transaction

    def _alive(self, txn: lmdb.Transaction, key: bytes) -> Item | None:
        record = txn.get(place_of(key), db=self._items)
        if record is None:
            return None
        try:
            item = records.decode(key, record)
        except DamagedError:
            return None
        return None if self._is_over(item.expires, self._now()) else item

    def _write(self, txn: lmdb.Transaction, key: bytes, value: bytes, expires: int) -> bool:
        place = place_of(key)
        blocks = self._blocks(len(value))
        if not self._make_room(txn, place, blocks):
            return False
        self._remove(txn, place)
        record = records.encode(place, key, value, expires, checked=self._checked)
        txn.put(place, record, db=self._items)
        if expires:
            txn.put(STAMP.pack(expires) + place, b"", db=self._due)
        if blocks:
            self._set_used(txn, self._used(txn) + blocks)
        if self.spec.purge_lru:
            self._put_last(txn, place)
        return True

    def _make_room(self, txn: lmdb.Transaction, place: bytes, blocks: int) -> bool:
        old = txn.get(place, db=self._items)
        freed = 0 if old is None else self._blocks(records.value_size(old))
        new = int(old is None)

        def has_room() -> bool:
            if self._entries(txn) + new > self.spec.items:
                return False
            return not blocks or self._used(txn) + blocks - freed <= self.spec.room

        if has_room():
            return True
        assert self._tally is not None
        self._tally.add(FULL)
        while self._sweep(txn, SWEPT):
            if has_room():
                return True
        if self.spec.purge_lru:
            while not has_room():
                if not self._evict(txn, 1, keep=place):
                    break
        elif self.spec.clear_on_full:
            self._drop_all(txn)
        if has_room():
            return True
        self._say_full(f"{self.spec.items} items")
        return False

    def _remove(self, txn: lmdb.Transaction, place: bytes) -> bool:
        record = txn.pop(place, db=self._items)
        if record is None:
            return False
        with contextlib.suppress(DamagedError):
            expires = records.expires_of(record)
            if expires:
                txn.delete(STAMP.pack(expires) + place, db=self._due)
            blocks = self._blocks(records.value_size(record))
            if blocks:
                self._set_used(txn, max(0, self._used(txn) - blocks))
        tick = txn.pop(place, db=self._ticks)
        if tick is not None:
            txn.delete(tick, db=self._order)
        return True

    def _drop_all(self, txn: lmdb.Transaction) -> None:
        for database in (self._items, self._due, self._order, self._ticks):
            txn.drop(database, delete=False)
        self._set_used(txn, 0)

    def _sweep(self, txn: lmdb.Transaction, limit: int) -> int:
        """Remove at most so many items whose time is over."""
        if not self.spec.expires:
            return 0
        removed = 0
        while removed < limit:
            due = self._first_due(txn)
            if due is None:
                break
            if not self._remove(txn, due[STAMP.size :]):
                txn.delete(due, db=self._due)
            removed += 1
        return removed

    def _first_due(self, txn: lmdb.Transaction) -> bytes | None:
        """The first entry by time, if that time is over."""
        with txn.cursor(db=self._due) as cursor:
            if not cursor.first():
                return None
            entry = bytes(cursor.key())
        return entry if self._is_over(STAMP.unpack_from(entry)[0], self._now()) else None

    def _evict(self, txn: lmdb.Transaction, count: int, keep: bytes = b"") -> int:
        """Remove the items that were not used for longest; ``keep`` is the place of one to spare."""
        removed = 0
        for database, is_order in ((self._order, True), (self._items, False)):
            while removed < count:
                with txn.cursor(db=database) as cursor:
                    found = cursor.first()
                    if found and bytes(cursor.value() if is_order else cursor.key()) == keep:
                        found = cursor.next()
                    if not found:
                        break
                    entry = bytes(cursor.key())
                    place = bytes(cursor.value()) if is_order else entry
                if not self._remove(txn, place):
                    txn.delete(entry, db=database)
                removed += 1
        return removed

    def _put_last(self, txn: lmdb.Transaction, place: bytes) -> None:
        old = txn.get(place, db=self._ticks)
        if old is not None:
            txn.delete(old, db=self._order)
        tick = STAMP.pack(self._tick(txn) + 1)
        txn.put(b"tick", tick, db=self._state)
        txn.put(tick, place, db=self._order)
        txn.put(place, tick, db=self._ticks)

    def _touch(self, key: bytes) -> None:
        """An item was used. One among the last eighth stays where it is: reading is to be cheap."""
        place = place_of(key)
        with self._reading() as txn:
            old = txn.get(place, db=self._ticks)
            if old is not None and self._tick(txn) - STAMP.unpack(old)[0] <= self.spec.items // 8:
                return

        def touch(txn: lmdb.Transaction) -> bool:
            if txn.get(place, db=self._items) is None:
                return False
            self._put_last(txn, place)
            return True

        # Where it stands matters less than an answer.
        with contextlib.suppress(StoreError):
            self._change(touch, is_care=True)

    def _tick(self, txn: lmdb.Transaction) -> int:
        found = txn.get(b"tick", db=self._state)
        return 0 if found is None else int(STAMP.unpack(found)[0])

    def _used(self, txn: lmdb.Transaction) -> int:
        found = txn.get(b"used", db=self._state)
        return 0 if found is None else int(STAMP.unpack(found)[0])

    def _set_used(self, txn: lmdb.Transaction, blocks: int) -> None:
        if self.spec.bitmap:
            txn.put(b"used", STAMP.pack(blocks), db=self._state)

    def _blocks(self, size: int) -> int:
        """Blocks of a value; 0 where they are not counted."""
        return -(-size // self.spec.blocksize) if self.spec.bitmap else 0

    def _entries(self, txn: lmdb.Transaction) -> int:
        return int(txn.stat(db=self._items)["entries"])

    # Small things

    def _fits(self, key: bytes, value: bytes) -> bool:
        return 0 < len(key) <= self.spec.keysize and 0 < len(value) <= self.spec.longest

    def _now(self) -> int:
        return int(self._clock())

    def _is_over(self, expires: int, now: int) -> bool:
        return bool(expires) and expires <= now and self.spec.expires

    def _say_full(self, what: str) -> None:
        now = time.monotonic()
        if not self.spec.ignore_full and now >= self._full_logged + FULL_LOG_PAUSE:
            self._full_logged = now
            log.warning("*** cache %s is FULL: %s ***", self.spec.name, what)


_open_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_held: list[Store] = []  # by a fork


def _before_fork() -> None:
    for store in sorted(_open_stores, key=id):
        store._gate.acquire()
        _held.append(store)
        store.close()


def _after_fork() -> None:
    # In the child it is the only thread, and it is the one that has acquired them.
    while _held:
        _held.pop()._gate.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
