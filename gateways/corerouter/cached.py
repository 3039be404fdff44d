"""Backends that a cache names (``use-cache``; spec/gateways.md section 3).

The value of the key is ``ADDRESS[|ADDRESS...][,MODIFIER1]``. Several addresses take turns; in each
process by itself, while uWSGI counts the uses of the item.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from uwgate.conf.address import Address
from uwgate.gateways.corerouter.derived import MAX_KNOWN, address_of
from uwgate.gateways.corerouter.mapper import Mapper
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.counters import Counters

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts

log = logging.getLogger("uwgate.corerouter")


class Backend(NamedTuple):
    """What one part of a value says; modifier1 None: the packet's own."""

    address: Address
    modifier1: int | None


class Found(Protocol):
    """An item."""

    @property
    def value(self) -> bytes: ...


class Book(Protocol):
    """A cache: looking into it waits for nobody."""

    def get(self, key: bytes) -> Found | None: ...


class Cached(Mapper):
    """See the module. Where a backend fails, the next one of the value is tried."""

    def __init__(self, cache: Book, counters: Counters, *, speaks_http: bool = False) -> None:
        self._cache = cache
        self._counters = counters
        self._speaks_http = speaks_http
        self._turn = 0

    def choose(self, attempts: Attempts, now: float) -> Target | Outcome:
        untried, is_known = self._untried(attempts)
        if not untried:
            return Outcome.EXHAUSTED if is_known and attempts.tried else Outcome.NOBODY
        self._turn += 1
        chosen = untried[self._turn % len(untried)]
        modifier2 = None if chosen.modifier1 is None else 0
        return Target(chosen.address, chosen.modifier1, modifier2, self._speaks_http)

    def has_other(self, attempts: Attempts, now: float) -> bool:
        return bool(self._untried(attempts)[0])

    def _untried(self, attempts: Attempts) -> tuple[list[Backend], bool]:
        key = attempts.asked.key.encode(errors="surrogateescape")
        item = self._cache.get(key)
        if item is None:
            return [], False
        backends = read_value(item.value)
        if backends is None:
            self._counters.refuse(
                "use-cache",
                "%s: the cache says %.200r, expected ADDRESS[|ADDRESS...][,MODIFIER1]",
                attempts.asked.name,
                item.value,
                level=logging.ERROR,
            )
            return [], False
        tried = {target.address for target in attempts.tried}
        return [one for one in backends if one.address not in tried], True


@lru_cache(MAX_KNOWN)
def read_value(value: bytes) -> tuple[Backend, ...] | None:
    """The backends that a value names; None: it is malformed."""
    found: list[Backend] = []
    for part in value.decode(errors="surrogateescape").split("|"):
        text, comma, modifier = part.partition(",")
        address = address_of(text)
        is_modifier = modifier.isascii() and modifier.isdigit() and len(modifier) <= 3
        if address is None or (comma and not (is_modifier and int(modifier) <= 255)):
            return None
        found.append(Backend(address, int(modifier) if comma else None))
    return tuple(found)
