"""memcached and Redis as rules ask them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.backends import backend
from tests.workers.visits import Ruled
from uwgate.routing.results import Store
from uwgate.workers.rules.stores import StoreError, get, put

PATIENCE = 60.0  # seconds
KINDS = {
    Store.MEMCACHED: (b"get k\r\n", b"VALUE k 0 3\r\nabc\r\nEND\r\n", b"END\r\n"),
    Store.REDIS: (b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", b"$3\r\nabc\r\n", b"$-1\r\n"),
}


@pytest.mark.parametrize("store", KINDS)
def test_a_value_is_got(tmp_path: Path, store: Store) -> None:
    asked, found, _ = KINDS[store]
    with backend(tmp_path, found) as there:
        assert get(store, there.address.encode(), b"k", PATIENCE) == b"abc"
        assert there.received == asked


@pytest.mark.parametrize("store", KINDS)
def test_nothing_is_got(tmp_path: Path, store: Store) -> None:
    with backend(tmp_path, KINDS[store][2]) as there:
        assert get(store, there.address.encode(), b"k", PATIENCE) is None


@pytest.mark.parametrize("store", KINDS)
@pytest.mark.parametrize(
    "reply", [b"", b"-ERR no\r\n", b"x" * 5000, b"$99999999999\r\n", b"$5\r\nab"]
)
def test_what_is_no_answer_is_an_error(tmp_path: Path, store: Store, reply: bytes) -> None:
    with backend(tmp_path, reply) as there, pytest.raises(StoreError):
        get(store, there.address.encode(), b"k", PATIENCE)


def test_a_value_is_put(tmp_path: Path) -> None:
    with backend(tmp_path, b"STORED\r\n", until=b"v\r\n") as there:
        put(Store.MEMCACHED, there.address.encode(), b"k", b"v", 9, PATIENCE)
        assert there.received == b"set k 0 9 1\r\nv\r\n"
    (tmp_path / "backend.sock").unlink()
    with backend(tmp_path, b"+OK\r\n", until=b"9\r\n") as there:
        put(Store.REDIS, there.address.encode(), b"k", b"v", 9, PATIENCE)
        assert there.received.endswith(b"$1\r\nv\r\n$2\r\nEX\r\n$1\r\n9\r\n")


@pytest.mark.parametrize("key", [b"", b"a b", b"a\r\nflush_all", b"x" * 300])
def test_no_key_is_a_command(tmp_path: Path, key: bytes) -> None:
    with backend(tmp_path, b"END\r\n") as there:
        with pytest.raises(StoreError, match="no key"):
            get(Store.MEMCACHED, there.address.encode(), key, PATIENCE)
        assert there.received == b""


def test_a_page_comes_out_of_a_store_or_goes_into_it(tmp_path: Path) -> None:
    with backend(tmp_path, KINDS[Store.MEMCACHED][1]) as there:
        ruled = Ruled([f"route-run = memcached:addr={there.address},key=k"])
        assert ruled.get("/").body == b"abc"
        assert not ruled.called
    assert b"PATH_INFO=/" in ruled.get("/").body  # the store is gone: the application is asked
