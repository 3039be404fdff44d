"""``uwsgi.cache_*``: what applications do with caches (spec part A3).

Keys and values are str (UTF-8) or bytes. ``cache`` is ``name``, ``name@address`` or ``@address``;
empty, it is the first cache. What fails returns None, as in uWSGI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from uwgate.caching.arithmetic import Operation
from uwgate.workers.log import say

if TYPE_CHECKING:
    from uwgate.caching.cache import LocalCache
    from uwgate.caching.caches import Caches
    from uwgate.caching.remote import RemoteCache
    from uwgate.conf.start import Start

Text = str | bytes
Done = bool | None  # never False


class CacheServer:
    """Answers the commands of others that come in on the workers' uwsgi sockets."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches

    def answer(self, modifier2: int, block: bytes, read: Callable[[int], bytes]) -> Iterator[bytes]:
        """See ``uwgate.caching.service.answer``."""
        from uwgate.caching.service import answer  # brings lmdb along

        return answer(self._caches, modifier2, block, read)


class CacheCalls:
    """A part of the module ``uwsgi``. Without caches every call fails, as in uWSGI."""

    caches: Caches | None = None
    cache_server: CacheServer | None = None

    def use_caches(self, start: Start) -> None:
        """Use the instance's caches. Each process opens them when it needs them.

        Raises:
            ConfigError: they cannot be opened here, such as by another version of lmdb.
        """
        if start.cache_folder is not None:
            from uwgate.caching.caches import shared_caches  # brings lmdb along

            self.caches = shared_caches(start)
            assert self.caches is not None
            self.caches.check()
            self.cache_server = CacheServer(self.caches)

    def cache_get(self, key: Text, cache: Text = "") -> bytes | None:
        """The value of a key; None: there is none."""
        found = self._cache(cache)
        item = None if found is None else found.get(_bytes(key))
        return None if item is None else item.value

    def cache_exists(self, key: Text, cache: Text = "") -> Done:
        """True if there is such an item."""
        found = self._cache(cache)
        return (found is not None and found.exists(_bytes(key))) or None

    def cache_set(self, key: Text, value: Text, expires: int = 0, cache: Text = "") -> Done:
        """Store a value for so many seconds (0: for ever), unless there is one already."""
        found = self._cache(cache)
        return (found is not None and found.add(_bytes(key), _bytes(value), expires)) or None

    def cache_update(self, key: Text, value: Text, expires: int = 0, cache: Text = "") -> Done:
        """Store a value for so many seconds (0: for ever), over what is there."""
        found = self._cache(cache)
        return (found is not None and found.update(_bytes(key), _bytes(value), expires)) or None

    def cache_del(self, key: Text, cache: Text = "") -> Done:
        """Remove an item."""
        found = self._cache(cache)
        return (found is not None and found.delete(_bytes(key))) or None

    def cache_clear(self, cache: Text = "") -> Done:
        """Remove all items."""
        found = self._cache(cache)
        return (found is not None and found.clear()) or None

    def cache_inc(self, key: Text, value: int = 1, expires: int = 0, cache: Text = "") -> Done:
        """Add to the number of an item, which is made if missing, for so many seconds."""
        return self._calculate(Operation.ADD, key, value, expires, cache)

    def cache_dec(self, key: Text, value: int = 1, expires: int = 0, cache: Text = "") -> Done:
        """Subtract."""
        return self._calculate(Operation.SUBTRACT, key, value, expires, cache)

    def cache_mul(self, key: Text, value: int = 2, expires: int = 0, cache: Text = "") -> Done:
        """Multiply."""
        return self._calculate(Operation.MULTIPLY, key, value, expires, cache)

    def cache_div(self, key: Text, value: int = 2, expires: int = 0, cache: Text = "") -> Done:
        """Divide, towards 0."""
        return self._calculate(Operation.DIVIDE, key, value, expires, cache)

    def cache_num(self, key: Text, cache: Text = "") -> int:
        """The number of an item; 0 if there is none."""
        found = self._cache(cache)
        return 0 if found is None else found.number(_bytes(key))

    def cache_keys(self, cache: Text = "") -> list[bytes]:
        """All keys of a cache of this instance.

        Raises:
            ValueError: there is no such cache here.
        """
        name = _text(cache)
        found = None if self.caches is None else self.caches.find_local(name)
        if found is None:
            raise ValueError(f"no local uWSGI cache {name!r} available")
        return found.keys()

    def _cache(self, name: Text) -> LocalCache | RemoteCache | None:
        return None if self.caches is None else self.caches.find(_text(name))

    def _calculate(
        self, operation: Operation, key: Text, value: int, expires: int, cache: Text
    ) -> Done:
        found = self._cache(cache)
        if found is None:
            return None
        if not -(1 << 63) <= value < 1 << 63:
            say(f"uwsgi.cache_{operation.value}: {value} has more than 64 bits")
            return None
        return found.calculate(_bytes(key), operation, value, expires) or None


def _bytes(value: Text) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _text(name: Text) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
