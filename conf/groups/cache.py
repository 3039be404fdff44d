"""Caches: what all processes of an instance share (cache-static-offload-websockets.md, part A)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.caches import parse_cache2, parse_item, parse_node, parse_preload
from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """Caches, what is in them at the start, and which other instances follow them."""

    cache2: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=parse_cache2,
        help="A cache: name=NAME,items=N[,blocksize=N][,...] (docs/howto/cache.md).",
    )
    cache: int = option(0, kind=Kind.INT, help="A cache of so many items with the name default.")
    cache_blocksize: int = option(
        65536, kind=Kind.BYTES, minimum=1, maximum=1 << 31, help="Longest value of that cache."
    )
    cache_store: str | None = option(
        None, kind=Kind.PATH, help="Keep that cache in this file, over restarts."
    )
    cache_store_sync: int = option(
        0,
        kind=Kind.INT,
        help="Write the files of caches to the disk this often, in seconds; 0: the kernel decides.",
    )
    cache_udp_server: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, help="Take changes of that cache that other instances send here."
    )
    cache_udp_node: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=parse_node,
        help="Send changes of that cache to another instance.",
    )
    cache_udp_key: str | None = option(
        None,
        kind=Kind.TEXT,
        ours=True,
        help="Secret that all instances share: changes are signed, and without it refused.",
    )
    cache_udp_skew: float = option(
        30.0,
        kind=Kind.SECONDS,
        ours=True,
        minimum=1,
        help="How far the clocks of instances with cache-udp-key may differ.",
    )
    cache_sync: str | None = option(
        None, kind=Kind.TEXT, help="Copy that cache from this instance (uwsgi socket) at the start."
    )
    cache_use_last_modified: bool = option(
        False, kind=Kind.BOOL, help="Show in the statistics when that cache was changed."
    )
    cache_no_expire: bool = option(
        False, kind=Kind.BOOL, help="Items stay when their time is over, in all caches."
    )
    cache_expire_freq: int = option(
        3, kind=Kind.INT, minimum=1, help="Remove items that are over this often, in seconds."
    )
    cache_report_freed_items: bool = option(
        False, kind=Kind.BOOL, help="Log how many items were removed."
    )
    add_cache_item: tuple[str, ...] = option(
        (), kind=Kind.TEXT, check=parse_item, help="[CACHE ]KEY=VALUE to put into it at the start."
    )
    load_file_in_cache: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=parse_preload,
        help="[CACHE ]FILE to put into it at the start; the key is the path as it stands here.",
    )
    load_file_in_cache_gzip: tuple[str, ...] = option(
        (), kind=Kind.TEXT, check=parse_preload, help="The same, compressed."
    )
    cache_folder: str | None = option(
        None,
        kind=Kind.PATH,
        ours=True,
        help="Where caches without a file are; without it /dev/shm, else a temporary folder.",
    )
    cache_remote: bool = option(
        True,
        kind=Kind.BOOL,
        ours=True,
        help="Answer commands of others (modifier1 111) on the uwsgi sockets of the workers.",
    )
    cache_timeout: float = option(
        4.0,
        kind=Kind.SECONDS,
        ours=True,
        minimum=0.1,
        help="How long another instance may take for a command to its cache.",
    )
