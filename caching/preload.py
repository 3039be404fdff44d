"""What stands in caches from the start: items, files, and the content of another instance."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence

from uwgate.caching import dump
from uwgate.caching.cache import LocalCache
from uwgate.caching.caches import Caches
from uwgate.caching.dump import DumpError
from uwgate.caching.remote import Connection
from uwgate.caching.store import StoreError
from uwgate.conf.address import parse_backend
from uwgate.conf.caches import parse_item, parse_preload
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.cache import CacheOptions
from uwgate.gateways.wire.uwsgi import HEADER

log = logging.getLogger("uwgate.cache")

SYNC_LIMIT = 40.0  # seconds that one instance has for all of its cache
MAX_NEWS = 1 << 20  # bytes of another instance that are received at once


def preload(caches: Caches, options: CacheOptions, *, is_first: bool) -> None:
    """Put into the caches what the options name. ``is_first``: the instance has only just begun.

    Raises:
        ConfigError: something cannot be read, or does not fit.
    """
    if is_first:
        for cache in caches.local.values():
            if cache.spec.sync:
                synchronise(cache)
    for text in options.add_cache_item:
        item = parse_item(text)
        key, _, value = item.text.partition("=")
        for cache in _meant(caches, item.cache):
            if cache.exists(key.encode()):
                log.info("cache %s: %s is there already", cache.spec.name, key)
            else:
                _put(cache, key, value.encode(errors="surrogateescape"), "add-cache-item")
    for option, texts, compressed in (
        ("load-file-in-cache", options.load_file_in_cache, False),
        ("load-file-in-cache-gzip", options.load_file_in_cache_gzip, True),
    ):
        for file in map(parse_preload, texts):
            data = _read(file.text, option)
            if compressed:
                data = gzip.compress(data, mtime=0)
            for cache in _meant(caches, file.cache):
                _put(cache, file.text, data, option)


def synchronise(cache: LocalCache) -> None:
    """Copy the cache of the first instance that answers.

    Raises:
        ConfigError: none does.
    """
    problems: list[str] = []
    for text in cache.spec.sync:
        try:
            count = _copy(cache, text)
        except (OSError, DumpError, StoreError) as error:
            problems.append(f"{text}: {error}")
        else:
            log.info("cache %s: %d items from %s", cache.spec.name, count, text)
            return
    raise ConfigError(f"cache {cache.spec.name}: sync: {'; '.join(problems)}")


def _copy(cache: LocalCache, text: str) -> int:
    spec = cache.spec
    with (
        contextlib.closing(Connection(parse_backend(text), SYNC_LIMIT)) as connection,
        tempfile.TemporaryFile() as file,
    ):
        # Instances of uWSGI answer for their default cache if they know no such name.
        connection.send(dump.encode_question(spec.name))
        head = connection.receive_exactly(HEADER.size)
        if head is None:
            raise DumpError("it does not answer: no cache there, or none of that name")
        block = connection.receive_exactly(HEADER.unpack(head)[1])
        if block is None:
            raise DumpError("cut short")
        dump.check_shape(spec, dump.decode_shape(head, block))
        left = dump.size_of(spec)
        while left:
            data = connection.receive(min(left, MAX_NEWS))
            if not data:
                raise DumpError("cut short")
            file.write(data)
            left -= len(data)
        file.flush()
        count = 0
        for change in dump.read(file.fileno(), spec):
            count += cache.apply(change)
        return count


def import_store(path: str, cache: LocalCache) -> bool:
    """Make a store of a file of uWSGI's; False: it is none. The old one stays beside it.

    Raises:
        ConfigError: there is no place for that.
    """
    spec = cache.spec
    try:
        if os.path.getsize(path) != dump.size_of(spec):
            return False
        kept = f"{path}.uwsgi"
        with open(path, "rb") as file:
            if any(file.read(dump.ITEM.size)):  # uWSGI's first item is never used
                return False
            found = list(dump.read(file.fileno(), spec))
        shutil.copyfile(path, kept)
        os.unlink(path)
    except DumpError:
        return False
    except OSError as error:
        raise ConfigError(f"cache {spec.name}: {path}: {error.strerror}") from error
    cache.store.prepare()
    count = sum(cache.apply(change) for change in found)
    log.info("cache %s: %d items of uWSGI's store; it is kept as %s", spec.name, count, kept)
    return True


def _meant(caches: Caches, name: str | None) -> Sequence[LocalCache]:
    if name is None:
        return list(caches.local.values())
    return [caches.local[name]]


def _put(cache: LocalCache, key: str, value: bytes, option: str) -> None:
    if not cache.update(os.fsencode(key), value):
        spec = cache.spec
        raise ConfigError(
            f"{option}: {key}: a value of {len(value)} bytes does not fit into the cache"
            f" {spec.name} (1 to {spec.longest} bytes, {spec.items} items)"
        )


def _read(path: str, option: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"{option} = {path}: {error.strerror}") from error
