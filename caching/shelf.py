"""The items of a cache inside one transaction: where they stand, and who has to go.

items   place -> record
due     time + place -> nothing      in the order in which they are over
order   tick -> place                with purge_lru: in the order of their last use
ticks   place -> tick
state   shape, used (blocks, with bitmap), tick
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from uwgate.caching import records
from uwgate.caching.environment import Databases, Transaction
from uwgate.caching.records import STAMP, DamagedError, Item, place_of
from uwgate.conf.caches import CacheSpec

SWEPT = 1000  # items that are removed in one transaction


class Shelf:
    """``now`` is in whole seconds since the epoch; ``on_full`` is called when there is no room."""

    def __init__(
        self,
        txn: Transaction,
        db: Databases,
        spec: CacheSpec,
        now: int,
        on_full: Callable[[], None] | None = None,
    ) -> None:
        self._txn = txn
        self._db = db
        self._spec = spec
        self._now = now
        self._on_full = on_full

    @property
    def entries(self) -> int:
        """How many items there are, also those whose time is over."""
        return int(self._txn.stat(self._db.items)["entries"])

    def is_over(self, expires: int) -> bool:
        """Whether an item with that time is not there any more."""
        return 0 < expires <= self._now and self._spec.expires

    def find(self, key: bytes) -> Item | None:
        """The item of a key; None: there is none, or its record is damaged."""
        record = self._txn.get(place_of(key), db=self._db.items)
        if record is None:
            return None
        try:
            item = records.decode(key, record)
        except DamagedError:
            return None
        return None if self.is_over(item.expires) else item

    def write(self, key: bytes, value: bytes, expires: int, *, checked: bool) -> bool:
        """Put an item in its place, over what is there; False: there is no room."""
        place = place_of(key)
        blocks = self._blocks(len(value))
        if not self._make_room(place, blocks):
            return False
        self.remove(place)
        record = records.encode(place, key, value, expires, checked=checked)
        self._txn.put(place, record, db=self._db.items)
        if expires:
            self._txn.put(STAMP.pack(expires) + place, b"", db=self._db.due)
        if blocks:
            self._set_number(b"used", self._number(b"used") + blocks)
        if self._spec.purge_lru:
            self._put_last(place)
        return True

    def remove(self, place: bytes) -> bool:
        """Remove what is in a place; False: nothing."""
        record = self._txn.pop(place, db=self._db.items)
        if record is None:
            return False
        with contextlib.suppress(DamagedError):
            expires = records.expires_of(record)
            if expires:
                self._txn.delete(STAMP.pack(expires) + place, db=self._db.due)
            blocks = self._blocks(records.value_size(record))
            if blocks:
                self._set_number(b"used", max(0, self._number(b"used") - blocks))
        tick = self._txn.pop(place, db=self._db.ticks)
        if tick is not None:
            self._txn.delete(tick, db=self._db.order)
        return True

    def clear(self) -> None:
        """Remove everything."""
        for database in (self._db.items, self._db.due, self._db.order, self._db.ticks):
            self._txn.drop(database, delete=False)
        if self._spec.bitmap:
            self._set_number(b"used", 0)

    def sweep(self) -> int:
        """Remove items whose time is over, at most ``SWEPT``; returns how many."""
        removed = 0
        while removed < SWEPT:
            due = self.first_due()
            if due is None:
                break
            if not self.remove(due[STAMP.size :]):
                self._txn.delete(due, db=self._db.due)
            removed += 1
        return removed

    def first_due(self) -> bytes | None:
        """The first entry of ``due``, if its time is over."""
        if not self._spec.expires:
            return None
        with self._txn.cursor(db=self._db.due) as cursor:
            if not cursor.first():
                return None
            entry = bytes(cursor.key())
        return entry if self.is_over(STAMP.unpack_from(entry)[0]) else None

    def evict(self, count: int, spare: bytes = b"") -> int:
        """Remove the items that were not used for longest, but never the one in ``spare``.

        Those from before there was ``purge_lru`` come last. Returns how many.
        """
        removed = 0
        while removed < count:
            found = self._oldest(spare)
            if found is None:
                break
            tick, place = found
            if not self.remove(place) and tick is not None:
                self._txn.delete(tick, db=self._db.order)
            removed += 1
        return removed

    def touch(self, place: bytes) -> bool:
        """An item was used; False: it stays where it is."""
        if not self.is_old(place) or self._txn.get(place, db=self._db.items) is None:
            return False
        self._put_last(place)
        return True

    def is_old(self, place: bytes) -> bool:
        """Whether an item is not among the last eighth: reading those is to be cheap."""
        tick = self._txn.get(place, db=self._db.ticks)
        if tick is None:
            return True
        age = self._number(b"tick") - int(STAMP.unpack(tick)[0])
        return age > self._spec.items // 8

    def adopt(self) -> bool:
        """Make good what another configuration has left; False: nothing."""
        shape = b"%d" % (self._spec.blocksize if self._spec.bitmap else 0)
        if self._txn.get(b"shape", db=self._db.state) == shape:
            return False
        self._txn.put(b"shape", shape, db=self._db.state)
        with self._txn.cursor(db=self._db.items) as cursor:
            used = sum(self._blocks(records.value_size(record)) for _, record in cursor)
        self._set_number(b"used", used)
        return True

    def _make_room(self, place: bytes, blocks: int) -> bool:
        old = self._txn.get(place, db=self._db.items)
        freed = 0 if old is None else self._blocks(records.value_size(old))
        new = int(old is None)

        def has_room() -> bool:
            if self.entries + new > self._spec.items:
                return False
            return not blocks or self._number(b"used") + blocks - freed <= self._spec.room

        if has_room():
            return True
        if self._on_full is not None:
            self._on_full()
        while self.sweep():
            if self._txn.get(place, db=self._db.items) is None:
                new, freed = 1, 0  # its own time was over
            if has_room():
                return True
        if self._spec.purge_lru:
            while not has_room() and self.evict(1, place):
                pass
        elif self._spec.clear_on_full:
            self.clear()
            new, freed = 1, 0
        return has_room()

    def _oldest(self, spare: bytes) -> tuple[bytes | None, bytes] | None:
        for database in (self._db.order, self._db.items):
            is_order = database is self._db.order
            with self._txn.cursor(db=database) as cursor:
                found = cursor.first()
                while found:
                    entry = bytes(cursor.key())
                    place = bytes(cursor.value()) if is_order else entry
                    if place != spare:
                        return entry if is_order else None, place
                    found = cursor.next()
        return None

    def _put_last(self, place: bytes) -> None:
        old = self._txn.get(place, db=self._db.ticks)
        if old is not None:
            self._txn.delete(bytes(old), db=self._db.order)
        self._set_number(b"tick", self._number(b"tick") + 1)
        tick = STAMP.pack(self._number(b"tick"))
        self._txn.put(tick, place, db=self._db.order)
        self._txn.put(place, tick, db=self._db.ticks)

    def _number(self, name: bytes) -> int:
        found = self._txn.get(name, db=self._db.state)
        return 0 if found is None else int(STAMP.unpack(found)[0])

    def _set_number(self, name: bytes, number: int) -> None:
        self._txn.put(name, STAMP.pack(number), db=self._db.state)

    def _blocks(self, size: int) -> int:
        """Blocks of a value; 0 where they are not counted."""
        return -(-size // self._spec.blocksize) if self._spec.bitmap else 0
