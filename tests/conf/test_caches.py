"""The options of caches."""

from __future__ import annotations

import pytest

from uwgate.conf.caches import Preload, parse_cache2, parse_item, parse_node, parse_preload
from uwgate.conf.errors import ConfigError
from uwgate.conf.loading import load


def test_what_is_not_said_is_as_in_uwsgi() -> None:
    spec = parse_cache2("name=c,items=100")
    assert (spec.blocksize, spec.keysize, spec.hashsize, spec.hash) == (
        65536,
        2048,
        65536,
        "djb33x",
    )
    assert (spec.room, spec.longest) == (100, 65536)
    assert spec.expires


@pytest.mark.parametrize("name", ["max_items", "maxitems", "items"])
def test_names_that_mean_the_same(name: str) -> None:
    assert parse_cache2(f"name=c,{name}=7").items == 7


def test_with_a_bitmap_a_value_may_have_all_blocks() -> None:
    assert parse_cache2("name=c,items=10,blocksize=100,blocks=20,bitmap=1").longest == 2000


@pytest.mark.parametrize(
    ("text", "is_on"), [("1", True), ("true", True), ("0", False), ("", False)]
)
def test_a_flag_can_be_off(text: str, is_on: bool) -> None:
    assert parse_cache2(f"name=c,items=1,lru={text}").purge_lru is is_on


def test_addresses_are_separated_by_semicolons() -> None:
    spec = parse_cache2("name=c,items=1,nodes=127.0.0.1:1;[::1]:2,udp=:3,sync=/run/a.sock;b:4")
    assert spec.nodes == ("127.0.0.1:1", "[::1]:2")
    assert (spec.udp, spec.sync) == ((":3",), ("/run/a.sock", "b:4"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("items=1", "name= is missing"),
        ("name=c", "items= is missing"),
        ("name=c,items=0", "items=0: expected a number from 1"),
        ("name=c,items=x", "items=x: expected a number"),
        ("name=c,items=1,items=2", "items: given twice"),
        ("name=c,items=1,max-items=2", "cache2 has no 'max-items', did you mean maxitems?"),
        ("name=c,items=1,bitmap", "bitmap: expected bitmap=VALUE"),
        ("name=c,items=10,blocks=9", "blocks=9: fewer than items=10"),
        ("name=c,items=1,keysize=65536", "keysize=65536"),
        ("name=c,items=1,hash=md5", "hash=md5: expected one of djb33x"),
        ("name=a@b,items=1", "name=a@b"),
        ("name=c,items=1,node=host", "node=host: 'host': expected HOST:PORT"),
        ("name=c,items=1,udp=;", "udp=;: expected an address"),
        ("name=c,items=99999,bitmap=1", "limit 2147483648"),
        ("name=c,items=1,math_initial=9223372036854775808", "64 bits"),
    ],
)
def test_what_cannot_be_says_why(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_cache2(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("k=v", Preload(None, "k=v")),
        ("c k=v w", Preload("c", "k=v w")),
        ("k=v w", Preload(None, "k=v w")),
    ],
)
def test_an_item_may_name_its_cache(text: str, found: Preload) -> None:
    assert parse_item(text) == found


@pytest.mark.parametrize("text", ["", "k", "k=", "=v", "c k"])
def test_what_is_no_item_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_item(text)


def test_a_file_may_name_its_cache() -> None:
    assert parse_preload("c /a file") == Preload("c", "/a file")
    assert parse_preload("/file") == Preload(None, "/file")


@pytest.mark.parametrize("text", ["/run/x.sock", "host", "host:0", "@x"])
def test_a_node_has_host_and_port(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_node(text)


BASIC = ("--http-socket=:0", "--cache2=name=c,items=1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cache2=name=c,items=2",), "two caches with the name 'c'"),
        (("--add-cache-item=d k=v",), "add-cache-item = d k=v: no such cache, known: c"),
        (("--load-file-in-cache=d /f",), "no such cache, known: c"),
        (("--fastrouter=:0", "--fastrouter-use-cache=d"), "fastrouter-use-cache = d: no such"),
        (("--cache-udp-key=short",), "at least 16 bytes"),
        (("--cache-udp-node=127.0.0.1:1",), "cache-udp-node is of the cache that the option cache"),
        (
            ("--cache2=name=d,items=2,store=/s", "--cache2=name=e,items=1,store=/s"),
            "in the file /s",
        ),
    ],
)
def test_options_that_do_not_go_together(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load([*BASIC, *arguments], {})
    assert message in str(error.value)


def test_a_gateway_that_looks_into_a_cache_needs_one() -> None:
    with pytest.raises(ConfigError, match="http-use-cache = : no such cache, known: none"):
        load(["--http=:0", "--http-use-cache"], {})


def test_options_of_the_default_cache() -> None:
    options = ["--cache=5", "--cache-blocksize=10", "--cache-no-expire", "--cache-store-sync=3"]
    (spec, second) = load([*BASIC, *options], {}).settings.caches
    assert (spec.name, spec.items, spec.blocksize, spec.store_sync) == ("default", 5, 10, 3)
    assert not spec.expires
    assert not second.expires
