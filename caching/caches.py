"""All caches that a process can reach, by name: ``NAME``, ``NAME@ADDRESS``, ``@ADDRESS``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from uwgate.caching.cache import LocalCache
from uwgate.caching.remote import RemoteCache
from uwgate.caching.store import StoreError
from uwgate.conf.address import Address, parse_backend
from uwgate.conf.errors import ConfigError

if TYPE_CHECKING:
    from uwgate.conf.settings import Settings
    from uwgate.conf.start import Start

SHARED_MODE = 0o666  # where gateways have users of their own; the folder has a secret name
OWN_MODE = 0o600


class Caches:
    """The caches of an instance whose files are in ``folder``; the first one is the default."""

    def __init__(self, settings: Settings, folder: str) -> None:
        options = settings.cache
        secret = None if options.cache_udp_key is None else options.cache_udp_key.encode()
        mode = SHARED_MODE if settings.has_several_users else OWN_MODE
        self._limit = options.cache_timeout
        self.local = {
            spec.name: LocalCache(spec, folder, secret=secret, mode=mode)
            for spec in settings.caches
        }

    def find(self, name: str) -> LocalCache | RemoteCache | None:
        """The cache of a name, empty for the default one; None: there is none."""
        own = self.find_local(name)
        if own is not None or "@" not in name:
            return own
        cache, _, where = name.partition("@")
        address = _address(where)
        return None if address is None else RemoteCache(cache, address, self._limit)

    def find_local(self, name: str) -> LocalCache | None:
        """The cache of this instance with that name, empty for the default one."""
        if name:
            return self.local.get(name)
        return next(iter(self.local.values()), None)

    def check(self) -> None:
        """See that all caches of this instance can be used.

        Raises:
            ConfigError: one cannot.
        """
        for cache in self.local.values():
            try:
                cache.store.peek(b"?")
            except StoreError as error:
                raise ConfigError(f"cache {cache.spec.name}: {error}") from error

    def close(self) -> None:
        """Close files and sockets; using a cache opens them again."""
        for cache in self.local.values():
            cache.close()


def shared_caches(start: Start) -> Caches | None:
    """The caches of this process, the same object for all who ask; None: there are none.

    lmdb can open a file once in a process only.
    """
    if start.cache_folder is None:
        return None
    caches = _opened.get(start.cache_folder)
    if caches is None:
        caches = _opened[start.cache_folder] = Caches(start.settings, start.cache_folder)
    return caches


_opened: dict[str, Caches] = {}  # by folder: one in a process, but for tests


@lru_cache(256)
def _address(text: str) -> Address | None:
    try:
        return parse_backend(text)
    except ConfigError:
        return None
