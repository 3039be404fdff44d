"""Actions on caches, memcached and Redis (spec/internal-routing.md sections 6.8 and 6.9)."""

from __future__ import annotations

from collections.abc import Callable

from uwgate.routing.actions.backends import checked_address
from uwgate.routing.actions.response import checked
from uwgate.routing.conditions import number
from uwgate.routing.keyval import read_pairs
from uwgate.routing.outside import LATER
from uwgate.routing.results import (
    Answer,
    Ask,
    CacheAdd,
    Cached,
    CacheGet,
    CacheSum,
    Flow,
    Reply,
    Result,
    Store,
    StoreGet,
    Sum,
)
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import Header, Scope
from uwgate.routing.variables import digits, http_date
from uwgate.routing.workshop import Act, ActionKind, Workshop

_NO_LENGTH = ("no_cl", "nocl", "no_content_length")
_CACHE_KEYS = (
    "key",
    "name",
    "content_type",
    "content_encoding",
    "mime",
    "no_offload",
    "expires",
    *_NO_LENGTH,
)


def _gives(scope: Scope, headers: list[Header], body: bytes, *, go_on: bool) -> Result:
    """Answer with what a store held; ``go_on`` puts it before what follows instead."""
    if not go_on:
        return Answer(200, reason_of(200), tuple(headers), body)
    scope.transaction.begin_response(200, reason_of(200), headers)
    scope.transaction.send(body)
    return Flow.NEXT


def _cache(*, go_on: bool) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        pairs = read_pairs(text, _CACHE_KEYS, required=("key",))
        read_key = workshop.template(pairs["key"]).reader
        name = pairs.get("name", b"")
        content_type = checked(pairs.get("content_type", b"text/html"))
        encoding = checked(pairs.get("content_encoding", b""))
        by_extension = bool(pairs.get("mime"))
        with_length = not any(pairs.get(flag) for flag in _NO_LENGTH)

        def act(scope: Scope) -> Result:
            wanted = read_key(scope)
            found = scope.outside.look_up(name, wanted)
            if found is LATER:
                return Ask(CacheGet(name, wanted), lambda reply: give(scope, wanted, reply))
            return give(scope, wanted, found)

        def give(scope: Scope, wanted: bytes, found: Reply) -> Result:
            if not isinstance(found, Cached):
                return Flow.NEXT
            mime_type = scope.outside.mime_type(wanted) if by_extension else b""
            headers = [(b"Content-Type", mime_type or content_type)]
            if encoding:
                headers.append((b"Content-Encoding", encoding))
            if found.expires:
                headers.append((b"Expires", http_date(found.expires)))
            if with_length:
                headers.append((b"Content-Length", b"%d" % len(found.value)))
            return _gives(scope, headers, found.value, go_on=go_on)

        return act

    return make


def _cache_set(workshop: Workshop, text: bytes) -> Act:
    pairs = read_pairs(text, ("key", "value", "name", "expires"), required=("key", "value"))
    key, value = workshop.template(pairs["key"]), workshop.template(pairs["value"])
    name, expires = pairs.get("name", b""), digits(pairs.get("expires", b"0"))

    def act(scope: Scope) -> Result:
        return Ask(
            CacheAdd(name, key.expand(scope), value.expand(scope), expires),
            lambda reply: Flow.NEXT if reply else Flow.BREAK,
        )

    return act


def _cache_variable(workshop: Workshop, text: bytes) -> Act:
    pairs = read_pairs(text, ("key", "var", "name", "num", "as_num"), required=("key", "var"))
    read_key, variable = workshop.template(pairs["key"]).reader, pairs["var"]
    name = pairs.get("name", b"")
    as_number = bool(pairs.get("num") or pairs.get("as_num"))

    def act(scope: Scope) -> Result:
        key = read_key(scope)
        found = scope.outside.look_up(name, key)
        if found is LATER:
            return Ask(CacheGet(name, key), lambda reply: take(scope, reply))
        return take(scope, found)

    def take(scope: Scope, found: Reply) -> Result:
        if isinstance(found, Cached):
            value = found.value
            if as_number:
                # How uWSGI keeps numbers: 64 bits in the machine's order.
                value = b"%d" % int.from_bytes(value[:8], "little", signed=True)
            scope.transaction.set(variable, value)
        return Flow.NEXT

    return act


def _cache_sum(sum: Sum, default: bytes) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        pairs = read_pairs(text, ("key", "value", "name", "expires"), required=("key",))
        key = workshop.template(pairs["key"])
        amount = workshop.template(pairs.get("value", default))
        name, expires = pairs.get("name", b""), digits(pairs.get("expires", b"0"))

        def act(scope: Scope) -> Result:
            question = CacheSum(name, key.expand(scope), sum, number(amount.expand(scope)), expires)
            return Ask(question, lambda reply: Flow.NEXT if reply else Flow.BREAK)

        return act

    return make


def _store(store: Store, *, go_on: bool) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        pairs = read_pairs(
            text, ("addr", "key", "content_type", "no_offload"), required=("addr", "key")
        )
        address, key = workshop.template(pairs["addr"]), workshop.template(pairs["key"])
        content_type = checked(pairs.get("content_type", b"text/html"))

        def act(scope: Scope) -> Result:
            wanted = key.expand(scope)
            if not is_store_key(wanted):
                return Flow.NEXT  # such a thing cannot be there

            def then(reply: Reply) -> Result:
                if not isinstance(reply, bytes):
                    return Flow.NEXT
                headers = [
                    (b"Content-Type", content_type),
                    (b"Content-Length", b"%d" % len(reply)),
                ]
                return _gives(scope, headers, reply, go_on=go_on)

            return Ask(StoreGet(store, checked_address(address.expand(scope)), wanted), then)

        return act

    return make


def is_store_key(key: bytes) -> bool:
    """Whether a text can be a key of memcached, and an inline argument of Redis.

    White space and control characters would end the command and begin another one.
    """
    return 0 < len(key) <= 250 and not any(byte <= 32 or byte == 127 for byte in key)


_CACHE = "key=...[,name=][,content_type=][,content_encoding=][,mime=1][,no_content_length=1]"
_SUM = "key=...[,value=][,name=][,expires=seconds]"
_STORE = "addr=...,key=...[,content_type=]"

ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(("cache",), _CACHE, "answer from a cache, else go on", _cache(go_on=False)),
    ActionKind(("cache-continue",), _CACHE, "the same, but go on in any case", _cache(go_on=True)),
    ActionKind(
        ("cacheset",),
        "key=...,value=...[,name=][,expires=seconds]",
        "store a text if there is none yet; break if there is",
        _cache_set,
    ),
    ActionKind(
        ("cachevar",),
        "key=...,var=NAME[,name=][,num=1]",
        "set a variable to what a cache holds",
        _cache_variable,
    ),
    ActionKind(("cacheinc",), _SUM, "add to a number in a cache", _cache_sum(Sum.ADD, b"1")),
    ActionKind(("cachedec",), _SUM, "subtract", _cache_sum(Sum.SUBTRACT, b"1")),
    ActionKind(("cachemul",), _SUM, "multiply", _cache_sum(Sum.MULTIPLY, b"2")),
    ActionKind(("cachediv",), _SUM, "divide", _cache_sum(Sum.DIVIDE, b"2")),
    ActionKind(
        ("memcached",),
        _STORE,
        "answer from memcached, else go on",
        _store(Store.MEMCACHED, go_on=False),
    ),
    ActionKind(
        ("memcached-continue",),
        _STORE,
        "the same, but go on in any case",
        _store(Store.MEMCACHED, go_on=True),
    ),
    ActionKind(
        ("redis",), _STORE, "answer from Redis, else go on", _store(Store.REDIS, go_on=False)
    ),
    ActionKind(
        ("redis-continue",),
        _STORE,
        "the same, but go on in any case",
        _store(Store.REDIS, go_on=True),
    ),
)
