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
            count = store.count
            hits, miss, full = (store.total(column) for column in (HITS, MISSES, FULL))
            modified, *updates = store.note(
                lambda tally: (tally.modified, tally.accepted, tally.refused)
            )
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
                "hits": hits,
                "miss": miss,
                "full": full,
                "last_modified_at": modified,
            }
            | (dict(zip(("updates", "updates_refused"), updates, strict=True)) if spec.udp else {})
        )
    return found
