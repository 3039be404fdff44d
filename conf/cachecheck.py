"""What one option of caches alone cannot show: names that are nobody's, addresses without a use."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from uwgate.conf.caches import CacheSpec, caches_of, parse_item, parse_preload
from uwgate.conf.errors import ConfigError
from uwgate.conf.pair import Place

if TYPE_CHECKING:
    from uwgate.conf.settings import Settings

KINDS = ("http", "fastrouter", "rawrouter", "sslrouter")
# Options of the cache that the option cache makes; without it they mean nothing.
OF_DEFAULT = (
    "cache_store",
    "cache_udp_server",
    "cache_udp_node",
    "cache_sync",
    "cache_use_last_modified",
)
MIN_SECRET = 16  # bytes

Places = Mapping[tuple[str, str], list[Place]]


def check_caches(settings: Settings, places: Places) -> list[str]:
    """What is wrong with the caches, and with those who use them."""
    try:
        specs = caches_of(settings.cache)
    except ConfigError as error:
        return [f"{_place(places, 'cache2')}: cache2: {error}"]
    return list(_problems(settings, specs, places))


def _problems(settings: Settings, specs: tuple[CacheSpec, ...], places: Places) -> Iterator[str]:
    options = settings.cache
    if specs and importlib.util.find_spec("lmdb") is None:
        yield f"{_place(places, 'cache2')}: caches need the package lmdb: pip install lmdb"
    if not options.cache:
        for field in OF_DEFAULT:
            if getattr(options, field):
                name = field.replace("_", "-")
                yield f"{_place(places, field)}: {name} is of the cache that the option cache makes"
    names = [spec.name for spec in specs]
    for field, parse in (
        ("add_cache_item", parse_item),
        ("load_file_in_cache", parse_preload),
        ("load_file_in_cache_gzip", parse_preload),
    ):
        for text in getattr(options, field):
            cache = parse(text).cache
            if not names or (cache is not None and cache not in names):
                what = field.replace("_", "-")
                known = ", ".join(names) or "none"
                yield f"{_place(places, field)}: {what} = {text}: no such cache, known: {known}"
    for kind in KINDS:
        wanted = settings.corerouter(kind).use_cache
        if wanted is not None and (not names or (wanted and wanted not in names)):
            place = _place(places, "use_cache", f"{kind}_corerouter")
            known = ", ".join(names) or "none"
            yield f"{place}: {kind}-use-cache = {wanted}: no such cache, known: {known}"
    secret = options.cache_udp_key
    if secret is not None and len(secret.encode(errors="surrogateescape")) < MIN_SECRET:
        place = _place(places, "cache_udp_key")
        yield f"{place}: cache-udp-key: a secret of at least {MIN_SECRET} bytes is expected"
    stores = [spec.store for spec in specs if spec.store]
    for store in sorted({one for one in stores if stores.count(one) > 1}):
        yield f"{_place(places, 'cache2')}: two caches in the file {store}"


def _place(places: Places, field: str, group: str = "cache") -> str:
    found = places.get((group, field)) or places.get((group, "cache")) or []
    return str(found[-1]) if found else "cache"
