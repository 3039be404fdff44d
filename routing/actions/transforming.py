"""Actions that add a transformation (spec/internal-routing.md sections 6.8, 6.9 and 7)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from uwgate.routing.actions.backends import checked_address
from uwgate.routing.actions.documents import read_params
from uwgate.routing.actions.files import checked_path, default_root
from uwgate.routing.actions.response import checked
from uwgate.routing.actions.server import literal_number
from uwgate.routing.actions.stores import is_store_key
from uwgate.routing.keyval import read_pairs
from uwgate.routing.libraries import require
from uwgate.routing.results import ApplyStylesheet, Flow, Result, Store
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.transformations.coding import LIBRARIES, Chunked, Compress
from uwgate.routing.transformations.content import Capitals, FillIn, FixLength, Flush, Offload
from uwgate.routing.transformations.keeping import KeepInCache, KeepInFile, KeepInStore
from uwgate.routing.transformations.stream import Transformation
from uwgate.routing.transformations.styling import ApplyStyle
from uwgate.routing.variables import digits
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop, no_argument

MAX_TRANSFORMATIONS = 32  # of one response


def _add(scope: Scope, transformation: Transformation) -> Result:
    kept = scope.transaction.transformations
    if len(kept) >= MAX_TRANSFORMATIONS:
        raise RuleError(f"more than {MAX_TRANSFORMATIONS} transformations")
    kept.append(transformation)
    return Flow.NEXT


def _plain(transformation: Transformation) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        del workshop
        no_argument(text)
        return lambda scope: _add(scope, transformation)

    return make


def _once(transformation: Transformation) -> Callable[[Workshop, bytes], Act]:
    """Maker of an action that does nothing where an earlier rule did the same.

    Whoever reads the response undoes a coding once.
    """

    def make(workshop: Workshop, text: bytes) -> Act:
        del workshop
        no_argument(text)

        def act(scope: Scope) -> Result:
            if transformation in scope.transaction.transformations:
                return Flow.NEXT
            return _add(scope, transformation)

        return act

    return make


def _compress(name: str) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        if importlib.util.find_spec(LIBRARIES[name]) is None:
            raise Mistake(f"{name} is not installed: pip install uwgate[{name}]")
        return _once(Compress(name))(workshop, text)

    return make


def _fill_in(workshop: Workshop, text: bytes) -> Act:
    del workshop
    no_argument(text)
    return lambda scope: _add(scope, FillIn(scope.groups))


def _offload(workshop: Workshop, text: bytes) -> Act:
    if not text:
        return _plain(Offload())(workshop, b"")
    limit = literal_number(text.removeprefix(b"limit="), 1, 1 << 40)
    return _plain(Offload(limit))(workshop, b"")


def _to_file(workshop: Workshop, text: bytes) -> Act:
    pairs = read_pairs(text, ("filename", "name", "mode"))
    filename = pairs.get("filename", pairs.get("name"))
    if filename is None:
        raise Mistake("the key 'filename' is missing")
    path = workshop.template(filename)
    return lambda scope: _add(scope, KeepInFile(checked_path(path.expand(scope))))


def _to_xslt(workshop: Workshop, text: bytes) -> Act:
    require("toxslt")
    pairs = read_pairs(text, ("stylesheet", "content_type", "params"), required=("stylesheet",))
    stylesheet = workshop.template(pairs["stylesheet"])
    params = read_params(workshop, pairs.get("params", b""))
    content_type = workshop.template(pairs.get("content_type", b"text/html"))

    def act(scope: Scope) -> Result:
        path = checked_path(stylesheet.expand(scope))
        wanted = ApplyStylesheet(path, default_root(stylesheet, path), params(scope))
        return _add(scope, ApplyStyle(wanted, checked(content_type.expand(scope))))

    return act


def _cache_store(workshop: Workshop, text: bytes) -> Act:
    pairs = read_pairs(
        text, ("key", "name", "gzip", "value", "status", "code", "expires"), required=("key",)
    )
    key, name = workshop.template(pairs["key"]), workshop.template(pairs.get("name", b""))
    short = workshop.template(pairs["gzip"]) if "gzip" in pairs else None
    value = workshop.template(pairs["value"]) if "value" in pairs else None
    status_text = pairs.get("status", pairs.get("code"))
    status = None if status_text is None else literal_number(status_text, 100, 999)
    expires = workshop.template(pairs.get("expires", b"0"))

    def act(scope: Scope) -> Result:
        return _add(
            scope,
            KeepInCache(
                cache=name.expand(scope),
                key=key.expand(scope),
                expires=digits(expires.expand(scope)),
                gzip_key=None if short is None else short.expand(scope),
                value=None if value is None else value.expand(scope),
                status=status,
            ),
        )

    return act


def _store(store: Store) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        pairs = read_pairs(text, ("addr", "key", "expires"), required=("addr", "key"))
        address, key = workshop.template(pairs["addr"]), workshop.template(pairs["key"])
        expires = digits(pairs.get("expires", b"0"))

        def act(scope: Scope) -> Result:
            wanted = key.expand(scope)
            if not is_store_key(wanted):
                return Flow.NEXT  # nothing could be found under it
            where = checked_address(address.expand(scope))
            return _add(scope, KeepInStore(store, where, wanted, expires))

        return act

    return make


_STORE = "addr=...,key=...[,expires=seconds]"

ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(("gzip",), "", "compress with gzip", _compress("gzip")),
    ActionKind(("brotli",), "", "compress with brotli", _compress("brotli"), ours=True),
    ActionKind(("zstd",), "", "compress with zstd", _compress("zstd"), ours=True),
    ActionKind(("chunked",), "", "send chunks, except to clients of HTTP/1.0", _once(Chunked())),
    ActionKind(("flush",), "", "send what came so far, whatever follows", _plain(Flush())),
    ActionKind(("fixcl",), "", "set Content-Length", _plain(FixLength(forced=False))),
    ActionKind(
        ("forcecl",), "", "the same, even if that header is removed", _plain(FixLength(forced=True))
    ),
    ActionKind(("template",), "", "fill groups and variables into the body", _fill_in),
    ActionKind(("toupper",), "", "turn letters into capitals (ASCII)", _plain(Capitals())),
    ActionKind(("offload",), "[bytes]", "free the worker, keep so much in memory", _offload),
    ActionKind(
        ("toxslt",),
        "stylesheet=...[,params=a=1&b=2][,content_type=]",
        "make of an XML document what an XSLT stylesheet says",
        _to_xslt,
    ),
    ActionKind(("tofile", "to-file"), "filename=...", "keep a copy in a file", _to_file),
    ActionKind(
        ("cachestore", "cache-store"),
        "key=...[,name=][,gzip=key][,value=][,status=][,expires=seconds]",
        "keep a copy in a cache",
        _cache_store,
    ),
    ActionKind(
        ("memcachedstore", "memcached-store"),
        _STORE,
        "keep a copy in memcached",
        _store(Store.MEMCACHED),
    ),
    ActionKind(("redisstore", "redis-store"), _STORE, "keep a copy in Redis", _store(Store.REDIS)),
)
