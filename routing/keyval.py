"""Arguments of the form ``key=value,key=value`` (spec/internal-routing.md section 2)."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from uwgate.routing.workshop import Mistake, show


def read_pairs(
    text: bytes, known: Collection[str], *, required: Collection[str] = (), separator: bytes = b","
) -> dict[str, bytes]:
    """The pairs; of repeated keys the last one counts. A backslash keeps a separator.

    Raises:
        Mistake: an unknown key, an item without ``=``, or a required key is missing.
    """
    pairs: dict[str, bytes] = {}
    for item in _items(text, separator):
        if not item:
            continue
        name, equals, value = item.partition(b"=")
        key = name.decode(errors="surrogateescape")
        if not equals:
            raise Mistake(f"{show(item)} is no key=value")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(known)}"
            raise Mistake(f"unknown key {key!r}: {hint}")
        pairs[key] = value
    for key in required:
        if key not in pairs:
            raise Mistake(f"the key {key!r} is missing")
    return pairs


def _items(text: bytes, separator: bytes) -> Iterator[bytes]:
    item = b""
    parts = text.split(separator)
    for part in parts:
        if part.endswith(b"\\"):
            item += part[:-1] + separator
            continue
        yield item + part
        item = b""
    if item:
        yield item[: -len(separator)]
