"""Answers commands of others to our caches (spec part A4.2 and A4.3).

Nothing is sent or received here, but by arguments.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from uwgate.caching import commands, dump
from uwgate.caching.commands import MAGIC, Order, Short, Success, Verb
from uwgate.gateways.wire.uwsgi import PacketError, decode_block

if TYPE_CHECKING:
    from uwgate.caching.cache import LocalCache
    from uwgate.caching.caches import Caches

PIECE = 1 << 18  # bytes of a dump that are sent at a time
NOT_FOUND = b"HTTP/1.0 404 Not Found\r\n\r\nNot Found\n"

Read = Callable[[int], bytes]  # so many bytes behind the packet


def answer(caches: Caches, modifier2: int, block: bytes, read: Read) -> Iterator[bytes]:
    """What is to be sent back, in pieces, before the connection is closed; nothing for a miss.

    Raises:
        PacketError: this is no command.
        OSError: of ``read``.
    """
    if modifier2 == MAGIC:
        yield from _order(caches, commands.decode_order(block), read)
        return
    cache = caches.find_local("")
    if cache is None:
        return
    match modifier2:
        case Short.GET:
            item = cache.get(block)
            if item is not None:
                yield commands.value_head(len(item.value), found=True)
                yield item.value
        case Short.SET:
            cache.add(*commands.split_pair(block))
        case Short.DELETE:
            cache.delete(block)
        case Short.ANSWER | Short.ANSWER_TOO:
            variables = dict(decode_block(block))
            item = cache.get(variables.get(b"key") or variables.get(b"get", b""))
            yield NOT_FOUND if item is None else item.value
        case Short.STREAM:
            item = cache.get(block)
            value = b"" if item is None else item.value
            yield commands.value_head(len(value), found=item is not None)
            yield value
        case Short.DUMP:
            named = caches.find_local(block.decode("utf-8", "replace"))
            if named is not None:
                yield from _dump(named)
        case _:
            raise PacketError(f"cache command {modifier2}")


def _dump(cache: LocalCache) -> Iterator[bytes]:
    """All of a cache, as it is now: whoever reads slowly keeps nobody from writing."""
    with tempfile.TemporaryFile() as file:
        dump.write(file.fileno(), cache.spec, cache.store.snapshot())
        yield dump.encode_shape(cache.spec)
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def _order(caches: Caches, order: Order, read: Read) -> Iterator[bytes]:
    cache = caches.find_local(order.cache)
    if cache is None:
        return
    if order.verb is Verb.GET:
        item = cache.get(order.key)
        if item is not None:
            yield commands.encode_success(Success(len(item.value), item.expires))
            yield item.value
        return
    if _do(cache, order, read):
        yield commands.encode_success(Success())


def _do(cache: LocalCache, order: Order, read: Read) -> bool:
    match order.verb:
        case Verb.EXISTS:
            return cache.exists(order.key)
        case Verb.DELETE:
            return cache.delete(order.key)
        case Verb.CLEAR:
            return cache.clear()
        case _:
            if not 0 < order.size <= cache.spec.longest:
                raise PacketError(f"value of {order.size} bytes, limit {cache.spec.longest}")
            value = read(order.size)
            store = cache.add if order.verb is Verb.SET else cache.update
            return store(order.key, value, order.expires)
