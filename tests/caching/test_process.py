"""The process that looks after caches: what it takes, what it loads, what it finds unsound."""

from __future__ import annotations

import gzip
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from uwgate.caching.arithmetic import Operation
from uwgate.caching.cache import LocalCache
from uwgate.caching.caches import Caches
from uwgate.caching.datagrams import Removed, Stored, encode
from uwgate.caching.preload import preload
from uwgate.caching.process import Receiver
from uwgate.caching.records import NUMBER, Item
from uwgate.caching.sealing import Opener, seal
from uwgate.caching.sending import Sender
from uwgate.caching.verification import look, verify
from uwgate.conf.caches import parse_cache2
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.cache import CacheOptions
from uwgate.conf.settings import Settings
from uwgate.gateways.counters import Counters

SECRET = b"a secret of 24 bytes ..."


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[LocalCache]:
    spec = parse_cache2("name=c,items=5,blocksize=1000,udp=127.0.0.1:0")
    made = LocalCache(spec, str(tmp_path))
    yield made
    made.close()


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(30)
        yield made


def counts(cache: LocalCache) -> tuple[int, int]:
    return cache.store.note(lambda tally: (tally.accepted, tally.refused))


def test_changes_are_followed_and_counted(cache: LocalCache, sock: socket.socket) -> None:
    receiver = Receiver(sock, cache, None, Counters())
    receiver.take(encode(Stored(b"k", b"v")) or b"", "sender")
    assert cache.get(b"k") == Item(b"v")
    receiver.take(encode(Removed(b"k")) or b"", "sender")
    assert cache.get(b"k") is None
    assert counts(cache) == (2, 0)


def test_a_change_whose_time_is_over_removes_the_item(
    cache: LocalCache, sock: socket.socket
) -> None:
    cache.add(b"k", b"v")
    Receiver(sock, cache, None, Counters()).take(encode(Stored(b"k", b"w", 1000)) or b"", "")
    assert cache.get(b"k") is None


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "too short"),
        (encode(Stored(b"k", b"v" * 1001)), "does not fit"),
        (encode(Stored(b"k" * 3000, b"v")), "does not fit"),
    ],
)
def test_what_cannot_be_followed_is_counted_by_its_reason(
    cache: LocalCache, sock: socket.socket, datagram: bytes, reason: str
) -> None:
    counters = Counters()
    Receiver(sock, cache, None, counters).take(datagram, "sender")
    assert counters[f"cache c: {reason}"] == 1
    assert counts(cache) == (0, 1)


def test_a_receiver_with_a_key_takes_only_what_is_sealed(
    cache: LocalCache, sock: socket.socket
) -> None:
    plain = encode(Stored(b"k", b"v")) or b""
    opener = Opener(SECRET, "c", skew=30, since=0.0)
    receiver = Receiver(sock, cache, opener, Counters())
    receiver.take(plain, "")
    assert cache.get(b"k") is None
    receiver.take(seal(SECRET, "c", plain, now=time.time(), nonce=bytes(16)) or b"", "")
    assert cache.get(b"k") == Item(b"v")
    assert counts(cache) == (1, 1)


# Sending


def node(sock: socket.socket) -> str:
    return f"127.0.0.1:{sock.getsockname()[1]}"


def test_changes_are_sent_as_they_turned_out(tmp_path: Path, sock: socket.socket) -> None:
    spec = parse_cache2(f"name=c,items=5,node={node(sock)},math_initial=40")
    cache = LocalCache(spec, str(tmp_path), clock=lambda: 1000.0)
    cache.add(b"k", b"v", 60)
    cache.add(b"k", b"again")  # fails, and is not sent
    cache.delete(b"nothing")
    cache.calculate(b"n", Operation.ADD, 2)
    cache.clear()
    cache.close()
    found = [sock.recv(65536) for _ in range(4)]
    assert found[:2] == [
        encode(Stored(b"k", b"v", 1060)),
        encode(Stored(b"n", NUMBER.pack(42))),
    ]
    assert sorted(found[2:]) == sorted(
        one for one in (encode(Removed(b"k")), encode(Removed(b"n"))) if one
    )


def test_with_a_key_changes_are_sealed(sock: socket.socket) -> None:
    sender = Sender("c", [node(sock)], SECRET)
    sender.send(Removed(b"k"))
    opener = Opener(SECRET, "c", skew=30, since=0.0)
    assert opener.open(sock.recv(65536), time.time()) == encode(Removed(b"k"))
    sender.close()


def test_what_cannot_be_sent_is_counted_and_said(
    sock: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender("c", [node(sock), "nobody.invalid:1"], None)
    sender.send(Stored(b"k", b"v" * 66000))
    assert sender.lost == 1
    assert "too long for a datagram" in caplog.text
    sender.send(Removed(b"k"))
    assert sock.recv(100) == encode(Removed(b"k"))
    assert "nobody.invalid:1: unknown host" in caplog.text
    sender.close()


# From the start


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Caches]:
    cache2 = ("name=a,items=5,blocksize=100", "name=b,items=5")
    made = Caches(Settings(cache=CacheOptions(cache2=cache2)), str(tmp_path))
    yield made
    made.close()


def test_files_and_items_go_where_they_are_meant(caches: Caches, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_bytes(b"content")
    options = CacheOptions(
        add_cache_item=("b k=v",),
        load_file_in_cache=(f"a {file}",),
        load_file_in_cache_gzip=(f"b {file}",),
    )
    preload(caches, options, is_first=True)
    a, b = caches.local["a"], caches.local["b"]
    assert (a.keys(), sorted(b.keys())) == ([str(file).encode()], [str(file).encode(), b"k"])
    item = b.get(str(file).encode())
    assert item is not None
    assert gzip.decompress(item.value) == b"content"


def test_a_reload_reads_files_again_and_leaves_items(caches: Caches, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    options = CacheOptions(add_cache_item=("b k=v",), load_file_in_cache=(f"b {file}",))
    preload(caches, options, is_first=True)
    b = caches.local["b"]
    file.write_bytes(b"new")
    b.update(b"k", b"changed")
    preload(caches, options, is_first=False)
    assert (b.get(str(file).encode()), b.get(b"k")) == (Item(b"new"), Item(b"changed"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (CacheOptions(load_file_in_cache=("/nothing/there",)), "No such file"),
        (CacheOptions(add_cache_item=(f"a k={'v' * 101}",)), "101 bytes does not fit"),
    ],
)
def test_what_cannot_be_loaded_says_so(caches: Caches, options: CacheOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        preload(caches, options, is_first=True)


def test_nobody_to_copy_from_is_an_error(tmp_path: Path) -> None:
    cache2 = (f"name=a,items=5,sync={tmp_path}/one;{tmp_path}/two",)
    caches = Caches(Settings(cache=CacheOptions(cache2=cache2)), str(tmp_path))
    with pytest.raises(ConfigError, match=r"sync: .*/one: .*; .*/two: "):
        preload(caches, CacheOptions(), is_first=True)
    caches.close()


# Unsound files


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The file of a store with some items in it."""
    path = tmp_path / "store"
    cache = LocalCache(parse_cache2(f"name=c,items=50,store={path}"), str(tmp_path))
    for number in range(50):
        cache.add(b"key %d" % number, b"value %d " % number * 1000)
    cache.store.sync()
    cache.close()
    return path


def test_a_sound_store_is_sound(store: Path) -> None:
    assert look(str(store)) is None
    assert verify(str(store)) is None


def test_a_store_that_was_cut_off_is_unsound(store: Path) -> None:
    os.truncate(store, store.stat().st_size // 2)
    assert verify(str(store)) == "cut off"


def test_a_store_with_another_value_is_unsound(store: Path) -> None:
    data = store.read_bytes()
    store.write_bytes(data.replace(b"value 7 ", b"value 8 "))
    assert "damaged" in str(verify(str(store)))


def test_what_was_never_a_store_is_unsound(store: Path) -> None:
    store.write_bytes(b"something else" * 1000)
    assert verify(str(store)) is not None


def test_what_nobody_can_read_is_no_reason_to_remove_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        verify(str(tmp_path / "nothing"))


@pytest.mark.parametrize("first", range(2, 7))
def test_noise_in_a_fifth_of_all_pages_is_found_by_whoever_looks(store: Path, first: int) -> None:
    data = bytearray(store.read_bytes())
    noise = bytes((first * 31 + number * 7) % 256 for number in range(4096))
    for page in range(first, len(data) // 4096, 5):
        data[page * 4096 : (page + 1) * 4096] = noise
    store.write_bytes(data)
    assert verify(str(store)) is not None
