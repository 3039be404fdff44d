"""What the options of caches are made of (spec/cache-static-offload-websockets.md, part A)."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from uwgate.conf.address import parse_backend, parse_listen
from uwgate.conf.errors import ConfigError

if TYPE_CHECKING:
    from uwgate.conf.groups.cache import CacheOptions

DEFAULT_NAME = "default"  # of the cache that the option cache makes
MAX_KEY = 0xFFFF  # bytes; lengths of keys are 16 bits on the wire
MAX_VALUE = 1 << 31  # bytes; lmdb keeps values of less than 4 GiB
HASHES = ("djb33x", "djbx33", "murmur2", "rand", "random", "rr")
OFF = ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSpec:
    """One cache. ``blocksize`` is in bytes; with ``bitmap`` a value may have several blocks.

    ``nodes``, ``udp`` and ``sync`` are addresses as text. ``store`` None: kept in memory.
    ``hash`` and ``hashsize`` are shown in the statistics and mean nothing else.
    """

    name: str
    items: int
    blocksize: int = 65536
    blocks: int = 0
    bitmap: bool = False
    keysize: int = 2048
    hash: str = "djb33x"
    hashsize: int = 65536
    store: str | None = None
    store_sync: int = 0
    store_delete: bool = False
    nodes: tuple[str, ...] = ()
    udp: tuple[str, ...] = ()
    sync: tuple[str, ...] = ()
    lastmod: bool = False
    math_initial: int = 0
    ignore_full: bool = False
    purge_lru: bool = False
    lazy_expire: bool = False
    sweep_on_full: int = 0
    clear_on_full: bool = False
    no_expire: bool = False

    @property
    def room(self) -> int:
        """How many blocks there are."""
        return self.blocks or self.items

    @property
    def longest(self) -> int:
        """Bytes of the longest value."""
        return self.blocksize * self.room if self.bitmap else self.blocksize

    @property
    def expires(self) -> bool:
        """Whether items cease to be there when their time is over."""
        return self.lazy_expire or not self.no_expire


class Preload(NamedTuple):
    """Something to put into a cache at the start; ``cache`` None: into all of them."""

    cache: str | None
    text: str


def parse_cache2(text: str) -> CacheSpec:
    """The value of ``cache2``.

    Raises:
        ConfigError: a key is unknown, missing or given twice, or a value is out of range.
    """
    values: dict[str, object] = {}
    for pair in text.split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        field = _FIELDS.get(key)
        if field is None:
            near = difflib.get_close_matches(key, _FIELDS, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise ConfigError(f"cache2 has no {key!r}{hint}")
        if not equals:
            raise ConfigError(f"{key}: expected {key}=VALUE")
        if field in values:
            raise ConfigError(f"{key}: given twice")
        try:
            values[field] = _READERS[field](value)
        except ConfigError as error:
            raise ConfigError(f"{key}={value}: {error}") from error
    for needed in ("name", "items"):
        if needed not in values:
            raise ConfigError(f"{needed}= is missing")
    return _checked(CacheSpec(**values))  # type: ignore[arg-type]  # the readers are by field


def parse_preload(text: str) -> Preload:
    """The value of ``add-cache-item`` or ``load-file-in-cache``: ``[CACHE ]REST``.

    Raises:
        ConfigError: there is no rest.
    """
    cache, blank, rest = text.partition(" ")
    found = Preload(cache, rest.strip()) if blank else Preload(None, text)
    if not found.text or found.cache == "":
        raise ConfigError(f"{text!r}: expected CACHE and what to put into it, or only the latter")
    return found


def parse_item(text: str) -> Preload:
    """The value of ``add-cache-item``, ``[CACHE ]KEY=VALUE``.

    Raises:
        ConfigError: it is none.
    """
    key, _, _ = text.partition("=")
    found = parse_preload(text) if " " in key.strip() else Preload(None, text)
    key, equals, value = found.text.partition("=")
    if not (key and equals and value):
        raise ConfigError(f"{text!r}: expected [CACHE ]KEY=VALUE")
    return found


def parse_node(text: str) -> tuple[str, int]:
    """Host and port that datagrams are sent to.

    Raises:
        ConfigError: it is no UDP address.
    """
    address = parse_backend(text)
    if not address.port:
        raise ConfigError(f"{text!r}: expected HOST:PORT")
    return address.host or "127.0.0.1", address.port


def caches_of(options: CacheOptions) -> tuple[CacheSpec, ...]:
    """All caches, the default one first.

    Raises:
        ConfigError: two have the same name, or an option needs a cache that is not there.
    """
    specs: list[CacheSpec] = []
    if options.cache:
        specs.append(
            _checked(
                CacheSpec(
                    name=DEFAULT_NAME,
                    items=options.cache,
                    blocksize=options.cache_blocksize,
                    store=options.cache_store,
                    store_sync=options.cache_store_sync,
                    nodes=options.cache_udp_node,
                    udp=options.cache_udp_server,
                    sync=() if options.cache_sync is None else tuple(_list(options.cache_sync)),
                    lastmod=options.cache_use_last_modified,
                )
            )
        )
    specs += [parse_cache2(text) for text in options.cache2]
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"there are two caches with the name {name!r}")
    changes: dict[str, object] = {}
    if options.cache_no_expire:
        changes["no_expire"] = True
    return tuple(
        dataclasses.replace(
            spec,
            store_sync=spec.store_sync or options.cache_store_sync,
            **changes,  # type: ignore[arg-type]
        )
        for spec in specs
    )


def _checked(spec: CacheSpec) -> CacheSpec:
    if spec.blocks and spec.blocks < spec.items:
        raise ConfigError(f"blocks={spec.blocks}: fewer than items={spec.items}")
    if spec.longest > MAX_VALUE:
        raise ConfigError(f"values of {spec.longest} bytes, limit {MAX_VALUE}")
    return spec


def _list(text: str) -> list[str]:
    return [part for part in text.split(";") if part]


def _addresses(parse: Callable[[str], object]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        found = tuple(_list(text))
        if not found:
            raise ConfigError("expected an address")
        for one in found:
            parse(one)
        return found

    return read


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
            raise ConfigError(f"expected a number from {least} to {most}")
        return int(text)

    return read


def _integer(text: str) -> int:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or not -(1 << 63) <= int(text[:21]) < 1 << 63:
        raise ConfigError("expected a number of 64 bits")
    return int(text)


def _flag(text: str) -> bool:
    return text.lower() not in OFF


def _text(text: str) -> str:
    if not text:
        raise ConfigError("expected a text")
    return text


def _name(text: str) -> str:
    if not text or "@" in text or "/" in text or "\0" in text or len(text) > 200:
        raise ConfigError("a name has 1 to 200 characters, none of them @ or /")
    return text


def _hash(text: str) -> str:
    if text not in HASHES:
        raise ConfigError(f"expected one of {', '.join(HASHES)}")
    return text


_READERS: dict[str, Callable[[str], object]] = {
    "name": _name,
    "items": _number(1, 1 << 40),
    "blocksize": _number(1, MAX_VALUE),
    "blocks": _number(1, 1 << 40),
    "bitmap": _flag,
    "keysize": _number(1, MAX_KEY),
    "hash": _hash,
    "hashsize": _number(1, 1 << 40),
    "store": _text,
    "store_sync": _number(0, 1 << 31),
    "store_delete": _flag,
    "nodes": _addresses(parse_node),
    "udp": _addresses(parse_listen),
    "sync": _addresses(parse_backend),
    "lastmod": _flag,
    "math_initial": _integer,
    "ignore_full": _flag,
    "purge_lru": _flag,
    "lazy_expire": _flag,
    "sweep_on_full": _number(0, 1 << 31),
    "clear_on_full": _flag,
    "no_expire": _flag,
}
# uWSGI's names of the same thing.
_ALIASES = {
    "max_items": "items",
    "maxitems": "items",
    "key_size": "keysize",
    "hash_size": "hashsize",
    "storesync": "store_sync",
    "storedelete": "store_delete",
    "node": "nodes",
    "udp_server": "udp",
    "udp_servers": "udp",
    "udpserver": "udp",
    "udpservers": "udp",
    "use_last_modified": "lastmod",
    "lru": "purge_lru",
    "lazy": "lazy_expire",
}
_FIELDS = {**{field: field for field in _READERS}, **_ALIASES}
