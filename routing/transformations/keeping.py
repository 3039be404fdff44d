"""Transformations that keep a copy of the body: in a cache, a store or a file.

The body itself passes by unchanged and without waiting. Only that of a complete response with
the right status is kept, and nothing of one that is empty or too long.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass

from uwgate.routing.effects import CacheStore, Effect, Log, StorePut, WriteFile
from uwgate.routing.outside import Outside
from uwgate.routing.results import Store
from uwgate.routing.transaction import Header, Transaction
from uwgate.routing.transformations.content import Remembering
from uwgate.routing.transformations.stream import MAX_BUFFER, Stream

_Keep = Callable[[bytes], list[Effect]]


class _Copying(Remembering):
    def __init__(
        self, transaction: Transaction, name: str, statuses: frozenset[int], keep: _Keep
    ) -> None:
        super().__init__()
        self._transaction = transaction
        self._name = name
        self._statuses = statuses
        self._keep = keep

    def feed(self, data: bytes) -> bytes:
        self.remember(data)
        return data

    def finish(self, headers: list[Header], *, complete: bool) -> bytes:
        del headers
        transaction, body = self._transaction, self.take()
        if self.is_too_long:
            text = f"{self._name}: a body of {self.size} bytes is not kept, limit {MAX_BUFFER}"
            transaction.effects.append(Log(text.encode(), problem=True))
        elif complete and body and transaction.status in self._statuses:
            transaction.effects += self._keep(body)
        return b""


_OK = frozenset([200])


@dataclass(frozen=True, slots=True)
class KeepInCache:
    """``cachestore:``. ``value`` is kept in place of the body; ``gzip_key`` gets a short copy."""

    cache: bytes
    key: bytes
    expires: int = 0
    gzip_key: bytes | None = None
    value: bytes | None = None
    status: int | None = None  # that is right besides 200
    name: str = "cachestore"
    buffers: bool = False

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream."""
        del outside
        statuses = _OK if self.status is None else frozenset([200, self.status])
        return _Copying(transaction, self.name, statuses, self._effects)

    def _effects(self, body: bytes) -> list[Effect]:
        value = body if self.value is None else self.value
        effects: list[Effect] = [CacheStore(self.cache, self.key, value, self.expires)]
        if self.gzip_key is not None:
            short = gzip.compress(value, mtime=0)
            effects.append(CacheStore(self.cache, self.gzip_key, short, self.expires))
        return effects


@dataclass(frozen=True, slots=True)
class KeepInStore:
    """``memcachedstore:`` and ``redisstore:``."""

    store: Store
    address: bytes
    key: bytes
    expires: int = 0
    buffers: bool = False

    @property
    def name(self) -> str:
        """The action's name."""
        return f"{self.store.value}store"

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream."""
        del outside

        def keep(body: bytes) -> list[Effect]:
            return [StorePut(self.store, self.address, self.key, body, self.expires)]

        return _Copying(transaction, self.name, _OK, keep)


@dataclass(frozen=True, slots=True)
class KeepInFile:
    """``tofile:``."""

    path: bytes
    name: str = "tofile"
    buffers: bool = False

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream."""
        del outside
        return _Copying(transaction, self.name, _OK, lambda body: [WriteFile(self.path, body)])
