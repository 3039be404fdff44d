"""The files of one cache, by lmdb: the only module that knows it.

Readers take no lock and wait for nobody. Writers are one at a time; what one of them has not
finished when it is killed has not happened. No environment is open while the process forks: lmdb
keeps locks and places in its table of readers by process, and a child that closed what it has
inherited would take its parent's place away. A hook closes everything before a fork, and
whoever needs it opens it again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

import lmdb

from uwgate.caching.tally import BusyError, Tally

MAX_READERS = 1024  # processes and threads that read at the same time


class StoreError(Exception):
    """The store cannot be used now. The text says why."""


class Databases(NamedTuple):
    """Handles: records by place; by time; places by last use; last use by place; the rest."""

    items: Any
    due: Any
    order: Any
    ticks: Any
    state: Any


class Cursor(Protocol):
    """What is used of lmdb's."""

    def first(self) -> bool: ...
    def next(self) -> bool: ...
    def key(self) -> bytes: ...
    def value(self) -> bytes: ...
    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...
    def __enter__(self) -> Cursor: ...
    def __exit__(self, *error: object) -> None: ...


class Transaction(Protocol):
    """What is used of lmdb's. In one that only reads, bytes are views of the map."""

    def get(self, key: bytes, default: None = None, db: Any = None) -> bytes | None: ...
    def put(self, key: bytes, value: bytes, *, db: Any = None) -> bool: ...
    def pop(self, key: bytes, db: Any = None) -> bytes | None: ...
    def delete(self, key: bytes, value: bytes = b"", db: Any = None) -> bool: ...
    def drop(self, db: Any, delete: bool = True) -> None: ...
    def stat(self, db: Any) -> dict[str, int]: ...
    def cursor(self, db: Any = None) -> Any: ...
    def abort(self) -> None: ...


T = TypeVar("T")
Change = Callable[[Transaction], bool]


class Environment:
    """``path`` is the file, ``tally_path`` that of the counts and of the writers' lock.

    ``map_size`` is the number of bytes that the file can have, ``patience`` how many seconds a
    writer waits for others. Everything may raise StoreError: the next call begins anew then.
    """

    db: Databases

    def __init__(
        self, path: str, tally_path: str, *, map_size: int, mode: int, patience: float
    ) -> None:
        self.path = path
        self.map_size = map_size
        self.tally_path = tally_path
        self._mode = mode
        self._patience = patience
        self._gate = threading.RLock()  # held while lmdb is used: a fork waits for it
        self._env: lmdb.Environment | None = None
        self._tally: Tally | None = None
        _environments.add(self)

    def count(self, column: int) -> None:
        """Count one more in a column of the tally."""
        with self._gate:
            self._counts().add(column)

    def note(self, note: Callable[[Tally], T]) -> T:
        """Do something with the counts, which must not be kept."""
        with self._gate:
            return note(self._counts())

    def _counts(self) -> Tally:
        if self._tally is None:
            with self._translated():
                self._opened()
        assert self._tally is not None
        return self._tally

    def get(self, place: bytes, use: Callable[[bytes], object]) -> Any:
        """What ``use`` makes of a record, a view that is gone afterwards; None: there is none."""
        try:
            # The short way of nearly all requests: without context managers of ours.
            with self._gate, self._opened().begin(buffers=True) as txn:
                record: Any = txn.get(place, db=self.db.items)
                return None if record is None else use(record)
        except (lmdb.Error, OSError):
            with self.reading() as again:
                record = again.get(place, db=self.db.items)
                return None if record is None else use(record)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that sees what was there when it began."""
        with self._gate, self._translated():
            txn: Any
            try:
                txn = self._opened().begin(buffers=True)
            except (lmdb.ReadersFullError, lmdb.MapResizedError) as error:
                txn = self._recovered(error).begin(buffers=True)
            with txn:
                yield txn

    def change(self, change: Change, make_room: Change | None = None) -> bool:
        """Do something as the only writer; what returns False or fails leaves no trace.

        When the file is full although items have room, ``make_room`` is done, and ``change`` once
        more. False also if that did not help.
        """
        with self._gate, self._translated():
            env = self._opened()
            assert self._tally is not None
            with self._tally.writing(self._patience):
                try:
                    return _attempt(env, change)
                except lmdb.MapResizedError as error:
                    return _attempt(self._recovered(error), change)
                except lmdb.MapFullError:
                    env.reader_check()  # a dead reader keeps what it read
                    with contextlib.suppress(lmdb.MapFullError):
                        if make_room is not None:
                            _attempt(env, make_room)
                        return _attempt(env, change)
                    return False

    def forget_dead(self) -> int:
        """Give the places of readers free that were killed; returns how many there were."""
        with self._gate, self._translated():
            return int(self._opened().reader_check())

    def sync(self) -> None:
        """Write everything to the disk."""
        with self._gate, self._translated():
            self._opened().sync(True)

    def close(self) -> None:
        """Close the files; using them opens them again."""
        with self._gate:
            if self._env is not None:
                self._env.close()
                self._env = None
            if self._tally is not None:
                self._tally.close()
                self._tally = None

    def hold(self) -> None:
        """Close the files, and let nobody open them until ``let_go``, in the same thread."""
        self._gate.acquire()
        self.close()

    def let_go(self) -> None:
        """End ``hold``."""
        self._gate.release()

    def _opened(self) -> lmdb.Environment:
        if self._env is not None:
            return self._env
        if self._tally is None:
            self._tally = Tally(self.tally_path, self._mode)
        env = lmdb.open(
            self.path,
            subdir=False,
            map_size=self.map_size,
            mode=self._mode,
            max_dbs=len(Databases._fields),
            max_readers=MAX_READERS,
            # No disk needs to be waited for: after a crash of the machine a file is checked.
            sync=False,
            metasync=False,
            # A full tmpfs would be a SIGBUS, and a stray pointer of an application a wrong value.
            writemap=False,
            readahead=False,
        )
        try:
            self.db = Databases(*(env.open_db(name.encode()) for name in Databases._fields))
        except BaseException:
            env.close()
            raise
        self._env = env
        return env

    def _recovered(self, error: lmdb.Error) -> lmdb.Environment:
        env = self._opened()
        if isinstance(error, lmdb.ReadersFullError):
            env.reader_check()
            return env
        # Another configuration has made it larger.
        self._env = None
        env.close()
        return self._opened()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except BusyError as error:
            raise StoreError(f"{self.path}: {error}") from error
        except (lmdb.Error, OSError) as error:
            # What has gone wrong may be in the handle: the next one begins anew.
            with contextlib.suppress(lmdb.Error, OSError):
                self.close()
            raise StoreError(f"{self.path}: {error}") from error


def _attempt(env: lmdb.Environment, change: Change) -> bool:
    txn: Any = env.begin(write=True)
    try:
        done = change(txn)
    except BaseException:
        txn.abort()
        raise
    if done:
        txn.commit()
    else:
        txn.abort()
    return done


_environments: weakref.WeakSet[Environment] = weakref.WeakSet()
_held: list[Environment] = []  # by a fork


def _before_fork() -> None:
    for environment in sorted(_environments, key=id):
        environment.hold()
        _held.append(environment)


def _after_fork() -> None:
    # In the child this thread is the only one, and it is the one that has closed them.
    while _held:
        _held.pop().let_go()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
