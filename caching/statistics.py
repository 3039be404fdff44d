"""What stats servers show of caches: uWSGI's fields in its order (spec part A6), then ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uwgate.caching.cache import LocalCache
from uwgate.caching.store import StoreError
from uwgate.caching.tally import FULL, HITS, MISSES


def statistics(caches: Iterable[LocalCache]) -> list[dict[str, Any]]:
    """An entry for each cache that can be looked into."""
    found: list[dict[str, Any]] = []
    for cache in caches:
        spec, store = cache.spec, cache.store
        try:
            count, tally = store.count, store.tally
        except StoreError:
            continue
        found.append(
            {
                "name": spec.name,
                "hash": spec.hash,
                "hashsize": spec.hashsize,
                "keysize": spec.keysize,
                "max_items": spec.items,
                "blocks": spec.room,
                "blocksize": spec.blocksize,
                "items": count,
                "hits": tally.total(HITS),
                "miss": tally.total(MISSES),
                "full": tally.total(FULL),
                "last_modified_at": tally.modified,
            }
            | ({"updates": tally.accepted, "updates_refused": tally.refused} if spec.udp else {})
        )
    return found
