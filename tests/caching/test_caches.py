"""Names of caches, and answers to rules."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from uwgate.caching.answers import CacheAnswers
from uwgate.caching.cache import file_name
from uwgate.caching.caches import Caches
from uwgate.caching.library import library_folder
from uwgate.caching.records import NUMBER
from uwgate.caching.remote import RemoteCache
from uwgate.caching.statistics import statistics
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.cache import CacheOptions
from uwgate.conf.settings import Settings
from uwgate.routing.effects import CacheStore
from uwgate.routing.outside import LATER
from uwgate.routing.results import CacheAdd, Cached, CacheGet, CacheSum, Sum

SOURCE = str(Path(__file__).parents[2] / "src")


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Caches]:
    options = CacheOptions(cache=10, cache2=("name=b,items=10,lastmod=1",), cache_timeout=0.2)
    made = Caches(Settings(cache=options), str(tmp_path))
    yield made
    made.close()


def test_the_cache_of_the_old_option_is_the_default_one(caches: Caches) -> None:
    assert caches.find("") is caches.find("default") is caches.local["default"]


def test_a_name_with_an_address_is_a_cache_of_another_instance(caches: Caches) -> None:
    assert isinstance(caches.find("b@127.0.0.1:4000"), RemoteCache)
    assert isinstance(caches.find("@/run/other.sock"), RemoteCache)


@pytest.mark.parametrize("name", ["unknown", "b@", "b@127.0.0.1:0", "b@host:x"])
def test_other_names_are_no_caches(caches: Caches, name: str) -> None:
    assert caches.find(name) is None


def test_a_cache_that_cannot_be_opened_is_an_error_when_checked(
    caches: Caches, tmp_path: Path
) -> None:
    caches.check()
    caches.close()
    (tmp_path / "b.mdb").write_bytes(b"no store" * 1000)
    with pytest.raises(ConfigError, match="cache b: "):
        caches.check()


@pytest.mark.parametrize("names", [("a b", "a.b"), ("ü", "u"), ("a.6120", "a "), ("x", "X")])
def test_names_of_files_are_safe_and_differ(names: tuple[str, str]) -> None:
    one, two = map(file_name, names)
    assert one != two
    assert not set(one) & set("/\0 ")


# Rules


def test_rules_get_what_they_have_stored(caches: Caches) -> None:
    answers = CacheAnswers(caches)
    assert answers.store(CacheStore(b"b", b"page", b"body", 0))
    assert answers.answer(CacheGet(b"b", b"page")) == Cached(b"body", 0)
    assert answers.answer(CacheGet(b"", b"page")) is None
    assert answers.in_cache(b"b", b"page")
    assert not answers.in_cache(b"", b"page")


def test_what_is_stored_for_a_time_says_when_it_is_over(caches: Caches) -> None:
    answers = CacheAnswers(caches)
    answers.store(CacheStore(b"", b"page", b"body", 60))
    found = answers.answer(CacheGet(b"", b"page"))
    assert isinstance(found, Cached)
    assert found.expires > 1_700_000_000


def test_adding_says_whether_there_was_something(caches: Caches) -> None:
    answers = CacheAnswers(caches)
    assert answers.answer(CacheAdd(b"", b"k", b"1")) is True
    assert answers.answer(CacheAdd(b"", b"k", b"2")) is False


def test_rules_calculate(caches: Caches) -> None:
    answers = CacheAnswers(caches)
    for operation, amount in ((Sum.ADD, 10), (Sum.MULTIPLY, 3), (Sum.SUBTRACT, 2), (Sum.DIVIDE, 4)):
        assert answers.answer(CacheSum(b"", b"n", operation, amount)) is True
    assert answers.answer(CacheGet(b"", b"n")) == Cached(NUMBER.pack(7), 0)


@pytest.mark.parametrize("name", [b"unknown", b"b@/nobody/there"])
def test_without_such_a_cache_everything_is_a_miss(caches: Caches, name: bytes) -> None:
    answers = CacheAnswers(caches)
    assert answers.answer(CacheGet(name, b"k")) is None
    assert not answers.answer(CacheAdd(name, b"k", b"v"))
    assert not answers.answer(CacheSum(name, b"k", Sum.ADD, 1))
    assert not answers.store(CacheStore(name, b"k", b"v", 0))
    assert not answers.in_cache(name, b"k")


def test_without_any_caches_everything_is_a_miss() -> None:
    answers = CacheAnswers(None)
    assert answers.answer(CacheGet(b"", b"k")) is None
    assert answers.is_quick(CacheGet(b"", b"k"))


def test_only_looking_into_our_own_caches_is_quick(caches: Caches) -> None:
    answers = CacheAnswers(caches)
    assert answers.is_quick(CacheGet(b"b", b"k"))
    assert answers.is_quick(CacheGet(b"unknown", b"k"))
    assert not answers.is_quick(CacheGet(b"b@127.0.0.1:1", b"k"))
    assert not answers.is_quick(CacheAdd(b"b", b"k", b"v"))
    assert not answers.in_cache(b"b@127.0.0.1:1", b"k", may_wait=False)


def test_a_look_finds_what_our_own_caches_have(caches: Caches) -> None:
    answers = CacheAnswers(caches)
    answers.store(CacheStore(b"b", b"page", b"body", 0))
    assert answers.look_up(b"b", b"page") == Cached(b"body", 0)
    assert answers.look_up(b"", b"page") is None


@pytest.mark.parametrize("name", [b"unknown", b"b@127.0.0.1:1", b"\xff"])
def test_a_look_leaves_other_caches_to_a_question(caches: Caches, name: bytes) -> None:
    assert CacheAnswers(caches).look_up(name, b"page") is LATER
    assert CacheAnswers(None).look_up(name, b"page") is LATER


def test_statistics_have_uwsgis_fields(caches: Caches) -> None:
    caches.local["b"].add(b"k", b"v")
    caches.local["b"].get(b"k")
    caches.local["b"].get(b"j")
    (_, shown) = statistics(caches.local.values())
    assert shown.pop("last_modified_at") > 1_700_000_000
    assert shown == {
        "name": "b",
        "hash": "djb33x",
        "hashsize": 65536,
        "keysize": 2048,
        "max_items": 10,
        "blocks": 10,
        "blocksize": 65536,
        "items": 1,
        "hits": 1,
        "miss": 1,
        "full": 0,
    }


# The library, under another Python

ENSURE = "from uwgate.caching.library import ensure_library as f; f({!r}); import lmdb; lmdb.open"


def run_isolated(folder: str | None) -> subprocess.CompletedProcess[str]:
    """In a Python that has no packages installed."""
    code = f"import sys; sys.path.insert(0, {SOURCE!r}); {ENSURE.format(folder)}"
    return subprocess.run(
        [sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, check=False
    )


def test_the_library_is_found_where_uwgate_has_it() -> None:
    done = run_isolated(library_folder())
    assert done.returncode == 0, done.stderr


def test_without_the_library_the_error_says_what_to_install(tmp_path: Path) -> None:
    done = run_isolated(str(tmp_path))
    assert "ConfigError: caches need the package lmdb" in done.stderr
    assert "pip install lmdb" in done.stderr
