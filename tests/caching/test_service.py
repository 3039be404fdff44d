"""Commands of others, and how a client of ours takes the answers."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from uwgate.caching import commands
from uwgate.caching.arithmetic import Operation
from uwgate.caching.caches import Caches
from uwgate.caching.commands import MAGIC, Order, Short, Success, Verb
from uwgate.caching.records import NUMBER, Item
from uwgate.caching.remote import RemoteCache
from uwgate.caching.service import NOT_FOUND, answer
from uwgate.conf.address import parse_backend
from uwgate.conf.groups.cache import CacheOptions
from uwgate.conf.settings import Settings
from uwgate.gateways.wire.uwsgi import PacketError, encode

OK = commands.encode_success(Success())


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Caches]:
    cache2 = ("name=a,items=10,blocksize=100000", "name=b,items=10")
    made = Caches(Settings(cache=CacheOptions(cache2=cache2)), str(tmp_path))
    yield made
    made.close()


def told(caches: Caches, modifier2: int, block: bytes, value: bytes = b"") -> bytes:
    """What is answered; ``value`` stands behind the packet."""
    return b"".join(answer(caches, modifier2, block, lambda size: value[:size]))


def ordered(caches: Caches, order: Order, value: bytes = b"") -> bytes:
    return told(caches, MAGIC, commands.encode_order(order)[4:], value)


def value_of(caches: Caches, name: str, key: bytes) -> bytes | None:
    cache = caches.find(name)
    assert cache is not None
    item = cache.get(key)
    return None if item is None else item.value


def test_a_value_comes_behind_its_length(caches: Caches) -> None:
    told(caches, Short.SET, b"\x01\x00k\x05\x00value")
    assert told(caches, Short.GET, b"k") == b"\x6f\x05\x00\x01value"
    assert told(caches, Short.STREAM, b"k") == b"\x6f\x05\x00\x01value"


def test_a_miss_is_a_close_or_a_head_that_says_so(caches: Caches) -> None:
    assert told(caches, Short.GET, b"k") == b""
    assert told(caches, Short.STREAM, b"k") == b"\x6f\x00\x00\x00"


def test_setting_does_not_overwrite_and_deleting_deletes(caches: Caches) -> None:
    told(caches, Short.SET, b"\x01\x00k\x01\x001")
    told(caches, Short.SET, b"\x01\x00k\x01\x002")
    assert value_of(caches, "a", b"k") == b"1"
    told(caches, Short.DELETE, b"k")
    assert value_of(caches, "a", b"k") is None


@pytest.mark.parametrize("name", [b"key", b"get"])
def test_a_web_server_gets_the_stored_response(caches: Caches, name: bytes) -> None:
    block = encode([(name, b"/page")])[4:]
    assert told(caches, Short.ANSWER, block) == NOT_FOUND
    caches.local["a"].update(b"/page", b"HTTP/1.0 200 OK\r\n\r\npage")
    assert told(caches, Short.ANSWER, block) == b"HTTP/1.0 200 OK\r\n\r\npage"


def test_orders_name_their_cache(caches: Caches) -> None:
    assert ordered(caches, Order(Verb.SET, b"k", 5, 0, "b"), b"value") == OK
    assert value_of(caches, "b", b"k") == b"value"
    assert value_of(caches, "", b"k") is None
    assert ordered(caches, Order(Verb.SET, b"k", 5, 0, "unknown"), b"value") == b""


def test_orders_that_fail_get_no_answer(caches: Caches) -> None:
    assert ordered(caches, Order(Verb.SET, b"k", 5), b"first") == OK
    assert ordered(caches, Order(Verb.SET, b"k", 5), b"again") == b""
    assert ordered(caches, Order(Verb.UPDATE, b"k", 5), b"again") == OK
    assert ordered(caches, Order(Verb.EXISTS, b"k")) == OK
    assert ordered(caches, Order(Verb.DELETE, b"k")) == OK
    assert ordered(caches, Order(Verb.DELETE, b"k")) == b""
    assert ordered(caches, Order(Verb.EXISTS, b"k")) == b""
    assert ordered(caches, Order(Verb.GET, b"k")) == b""


def test_clearing_clears_the_cache_that_is_named(caches: Caches) -> None:
    for name in ("a", "b"):
        caches.local[name].add(b"k", b"v")
    assert ordered(caches, Order(Verb.CLEAR, cache="b")) == OK
    assert value_of(caches, "a", b"k") == b"v"
    assert value_of(caches, "b", b"k") is None


@pytest.mark.parametrize("size", [0, 100_001])
def test_a_size_that_cannot_be_is_refused_before_anything_is_read(
    caches: Caches, size: int
) -> None:
    with pytest.raises(PacketError, match="limit 100000"):
        ordered(caches, Order(Verb.SET, b"k", size))


@pytest.mark.parametrize("modifier2", [7, 16, 18, 255])
def test_an_unknown_command_is_refused(caches: Caches, modifier2: int) -> None:
    with pytest.raises(PacketError):
        told(caches, modifier2, b"k")


# The client

Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve) -> Iterator[RemoteCache]:
    """A client of a server that does ``serve`` with its one connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listener.accept()[0] as sock:
            sock.settimeout(30)
            serve(sock)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        port = listener.getsockname()[1]
        yield RemoteCache("c", parse_backend(f"127.0.0.1:{port}"), 0.5)
    finally:
        thread.join(30)
        listener.close()


def saying(answered: bytes) -> Serve:
    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(answered)

    return serve


def test_an_item_comes_with_its_time() -> None:
    found = commands.encode_success(Success(5, 1795208181)) + b"value"
    with server(saying(found)) as cache:
        assert cache.get(b"k") == Item(b"value", 1795208181)


@pytest.mark.parametrize("cut", range(4, 26))
def test_an_answer_cut_short_is_a_miss(cut: int) -> None:
    found = commands.encode_success(Success(5)) + b"value"
    with server(saying(found[:cut])) as cache:
        assert cache.get(b"k") is None


@pytest.mark.parametrize(
    "answered",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        commands.encode_success(Success(1 << 40)),
        commands.encode_success(Success(status=b"notfound")),
        struct.pack("<BHB", 111, 3, 17) + b"\x09\x00a",
    ],
)
def test_any_other_answer_is_a_miss(answered: bytes) -> None:
    with server(saying(answered)) as cache:
        assert cache.get(b"k") is None


def test_a_server_that_says_nothing_is_a_miss_in_time() -> None:
    released = threading.Event()

    def serve(sock: socket.socket) -> None:
        released.wait(30)

    with server(serve) as cache:
        assert cache.get(b"k") is None
        released.set()


def test_nobody_there_is_a_failure(tmp_path: Path) -> None:
    cache = RemoteCache("c", parse_backend(str(tmp_path / "nobody")), 0.5)
    assert cache.get(b"k") is None
    assert not cache.update(b"k", b"v")
    assert not cache.delete(b"k")
    assert not cache.clear()
    assert cache.number(b"k") == 0


def test_calculating_elsewhere_fails_and_sends_nothing(tmp_path: Path) -> None:
    cache = RemoteCache("c", parse_backend(str(tmp_path / "nobody")), 0.5)
    assert not cache.calculate(b"k", Operation.ADD, 1)


def test_numbers_of_others_can_be_read() -> None:
    found = commands.encode_success(Success(8)) + NUMBER.pack(42)
    with server(saying(found)) as cache:
        assert cache.number(b"k") == 42
