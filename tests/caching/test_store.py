"""The store of one cache."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.caching.conftest import Clock, Make
from uwgate.caching.arithmetic import Operation
from uwgate.caching.records import MAX_PLAIN_KEY, NUMBER, Item
from uwgate.caching.store import Store, StoreError
from uwgate.caching.tally import FULL, HITS, MISSES
from uwgate.conf.caches import parse_cache2


def put(store: Store, key: bytes, value: bytes = b"v", expires: int = 0) -> bool:
    return store.put(key, value, expires, overwrite=True)


def test_what_was_put_is_got(make: Make) -> None:
    store = make()
    assert put(store, b"k", b"value", 2_000_000)
    assert store.get(b"k") == Item(b"value", 2_000_000)


def test_what_was_not_put_is_missed(make: Make) -> None:
    assert make().get(b"k") is None


def test_adding_does_not_overwrite(make: Make) -> None:
    store = make()
    assert store.put(b"k", b"1", overwrite=False)
    assert not store.put(b"k", b"2", overwrite=False)
    assert store.get(b"k") == Item(b"1")


def test_updating_replaces_value_and_time(make: Make) -> None:
    store = make()
    put(store, b"k", b"1", 2_000_000)
    put(store, b"k", b"22", 0)
    assert store.get(b"k") == Item(b"22", 0)


@pytest.mark.parametrize(
    ("key", "value"), [(b"", b"v"), (b"k", b""), (b"k" * 9, b"v"), (b"k", b"v" * 101)]
)
def test_what_is_empty_or_too_long_is_refused(make: Make, key: bytes, value: bytes) -> None:
    store = make("items=10,keysize=8,blocksize=100")
    assert not put(store, key, value)
    assert store.count == 0


def test_a_value_as_long_as_a_block_fits(make: Make) -> None:
    assert put(make("items=10,keysize=8,blocksize=100"), b"k" * 8, b"v" * 100)


def test_long_keys_are_told_apart(make: Make) -> None:
    store = make("items=10,keysize=65535")
    one, two = b"x" * 60_000 + b"1", b"x" * 60_000 + b"2"
    put(store, one, b"1")
    put(store, two, b"2")
    assert (store.get(one), store.get(two)) == (Item(b"1"), Item(b"2"))
    assert sorted(store.keys()) == [one, two]


@pytest.mark.parametrize("size", [MAX_PLAIN_KEY - 1, MAX_PLAIN_KEY, MAX_PLAIN_KEY + 1])
def test_keys_around_the_longest_plain_one_are_kept_with_their_time(make: Make, size: int) -> None:
    store = make("items=10,lru=1")
    assert put(store, b"k" * size, b"v", 2_000_000)
    assert store.keys() == [b"k" * size]
    assert store.delete(b"k" * size)
    assert store.count == 0


def test_deleting_says_whether_there_was_something(make: Make) -> None:
    store = make()
    put(store, b"k")
    assert store.delete(b"k")
    assert not store.delete(b"k")


def test_clearing_removes_all(make: Make) -> None:
    store = make("items=10,bitmap=1,blocksize=1,blocks=10")
    put(store, b"a", b"12345", 2_000_000)
    put(store, b"b", b"12345")
    store.clear()
    assert store.keys() == []
    assert put(store, b"c", b"1234567890")


# Time


def test_an_item_is_gone_when_its_time_has_come(make: Make, clock: Clock) -> None:
    store = make()
    put(store, b"k", b"v", 1_000_010)
    clock.now += 9.9
    assert store.get(b"k") is not None
    clock.now += 0.1
    assert store.get(b"k") is None
    assert store.keys() == []
    assert store.put(b"k", b"new", overwrite=False)


def test_sweeping_removes_what_is_over_and_nothing_else(make: Make, clock: Clock) -> None:
    store = make("items=5000")
    for number in range(2500):
        put(store, b"%d" % number, b"v", 1_000_010 + number % 2 * 100)
    put(store, b"immortal")
    clock.now += 50
    assert store.sweep() == 1250
    assert store.count == 1251
    assert store.sweep() == 0


def test_a_new_time_replaces_the_old_one_in_the_index(make: Make, clock: Clock) -> None:
    store = make()
    put(store, b"k", b"v", 1_000_010)
    put(store, b"k", b"v", 1_000_100)
    clock.now += 50
    assert store.sweep() == 0
    assert store.get(b"k") is not None


def test_without_expiry_items_stay(make: Make, clock: Clock) -> None:
    store = make("items=10,no_expire=1")
    put(store, b"k", b"v", 1_000_010)
    clock.now += 100
    assert store.sweep() == 0
    assert store.get(b"k") is not None


def test_a_cache_that_keeps_the_last_used_items_heeds_their_time_as_well(
    make: Make, clock: Clock
) -> None:
    store = make("items=10,purge_lru=1")
    put(store, b"k", b"v", 1_000_010)
    clock.now += 100
    assert store.get(b"k") is None
    assert store.sweep() == 1


# A full cache


def test_a_full_cache_refuses_new_keys_and_takes_known_ones(make: Make) -> None:
    store = make("items=3")
    assert [put(store, b"%d" % n) for n in range(4)] == [True, True, True, False]
    assert put(store, b"1", b"other")
    assert store.total(FULL) == 1
    assert store.get(b"3") is None


def test_a_full_cache_makes_room_of_what_is_over(make: Make, clock: Clock) -> None:
    store = make("items=2")
    put(store, b"a", b"v", 1_000_001)
    put(store, b"b")
    clock.now += 5
    assert put(store, b"c")
    assert sorted(store.keys()) == [b"b", b"c"]


def test_the_item_that_was_not_used_for_longest_goes_first(make: Make) -> None:
    store = make("items=3,lru=1")
    for key in (b"a", b"b", b"c"):
        put(store, key)
    store.get(b"a")
    put(store, b"d")
    assert sorted(store.keys()) == [b"a", b"c", b"d"]


def test_asking_whether_there_is_an_item_is_no_use_of_it(make: Make) -> None:
    store = make("items=2,lru=1")
    put(store, b"a")
    put(store, b"b")
    store.peek(b"a")
    put(store, b"c")
    assert sorted(store.keys()) == [b"b", b"c"]


def test_items_from_before_there_was_an_order_are_evicted_too(make: Make) -> None:
    plain = make("items=3")
    for key in (b"a", b"b", b"c"):
        put(plain, key)
    plain.close()
    store = make("items=3,lru=1")
    assert put(store, b"d")
    assert put(store, b"e")
    assert store.count == 3


def test_a_smaller_cache_evicts_until_it_fits(make: Make) -> None:
    store = make("items=10,lru=1")
    for number in range(10):
        put(store, b"%d" % number)
    store.close()
    smaller = make("items=4,lru=1")
    assert put(smaller, b"new")
    assert sorted(smaller.keys()) == [b"7", b"8", b"9", b"new"]


def test_a_full_cache_is_cleared_where_that_is_wanted(make: Make) -> None:
    store = make("items=2,clear_on_full=1")
    for key in (b"a", b"b", b"c"):
        assert put(store, key)
    assert store.keys() == [b"c"]


def test_blocks_bound_all_values_together(make: Make) -> None:
    store = make("items=10,bitmap=1,blocksize=10,blocks=10")
    assert put(store, b"a", b"x" * 61)  # 7 blocks
    assert not put(store, b"b", b"x" * 31)  # 4
    assert put(store, b"b", b"x" * 30)
    assert not put(store, b"c", b"x")
    assert put(store, b"a", b"x")
    assert put(store, b"c", b"x" * 60)


def test_blocks_are_counted_again_when_their_size_changes(make: Make) -> None:
    store = make("items=10,bitmap=1,blocksize=10,blocks=10")
    put(store, b"a", b"x" * 60)
    store.close()
    other = make("items=10,bitmap=1,blocksize=30,blocks=10")
    assert put(other, b"b", b"x" * 240)
    assert not put(other, b"c", b"x")


# Numbers


def test_a_missing_number_begins_as_the_cache_says(make: Make) -> None:
    store = make("items=3,math_initial=40")
    assert store.calculate(b"n", Operation.ADD, 2) == Item(NUMBER.pack(42))


def test_a_number_keeps_its_time(make: Make) -> None:
    store = make()
    store.calculate(b"n", Operation.ADD, 1, 1_000_010)
    store.calculate(b"n", Operation.ADD, 1, 1_000_500)
    assert store.get(b"n") == Item(NUMBER.pack(2), 1_000_010)


def test_what_is_no_number_is_left_alone(make: Make) -> None:
    store = make()
    put(store, b"n", b"text")
    assert store.calculate(b"n", Operation.ADD, 1) is None
    assert store.get(b"n") == Item(b"text")


# Counts


def test_hits_and_misses_are_counted(make: Make) -> None:
    store = make()
    put(store, b"k")
    store.get(b"k")
    store.get(b"k")
    store.get(b"nothing")
    store.peek(b"k")
    assert (store.total(HITS), store.total(MISSES)) == (2, 1)


def test_counts_survive_those_who_counted(make: Make) -> None:
    store = make()
    store.get(b"nothing")
    store.close()
    store.get(b"nothing")
    assert store.total(MISSES) == 2


def test_the_time_of_the_last_change_is_kept_if_wanted(make: Make) -> None:
    store = make("items=3,lastmod=1")
    put(store, b"k")
    assert store.note(lambda tally: tally.modified) == 1_000_000


# Processes


def in_child(work: Callable[[], bool]) -> int:
    """Run ``work`` in a fork; returns its exit status."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_reads_and_writes_what_its_parent_does(make: Make) -> None:
    store = make()
    put(store, b"parent")

    def work() -> bool:
        return store.get(b"parent") == Item(b"v") and put(store, b"child")

    assert in_child(work) == 0
    assert store.get(b"child") == Item(b"v")


def test_a_fork_that_ends_takes_no_place_of_its_parent_away(make: Make) -> None:
    store = make()
    put(store, b"k")
    for _ in range(3):
        assert in_child(lambda: store.get(b"k") is not None) == 0
        assert store.get(b"k") is not None


def test_a_fork_from_a_thread_while_others_use_the_cache(make: Make) -> None:
    store = make()
    put(store, b"k")
    ends = threading.Event()

    def use() -> None:
        while not ends.is_set():
            store.get(b"k")

    thread = threading.Thread(target=use)
    thread.start()
    try:
        statuses = [in_child(lambda: store.get(b"k") is not None) for _ in range(5)]
    finally:
        ends.set()
        thread.join()
    assert statuses == [0] * 5


def test_places_of_readers_that_were_killed_are_free_again(make: Make) -> None:
    store = make()
    put(store, b"k")
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        items = store.snapshot()
        next(items)
        os.write(write, b"x")
        signal.pause()
    os.read(read, 1)
    assert store.get(b"k") is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert store.forget_dead() == 1
    assert store.forget_dead() == 0
    os.close(read)
    os.close(write)


def test_a_writer_that_is_stopped_makes_others_fail_and_not_hang(tmp_path: Path) -> None:
    spec = parse_cache2("name=c,items=10")
    paths = str(tmp_path / "c.mdb"), str(tmp_path / "c.tally")
    store = Store(spec, *paths, patience=0.05)
    other = Store(spec, *paths, patience=0.05)
    put(store, b"k")
    ready, go = os.pipe(), os.pipe()

    def hold() -> bool:
        with other.note(lambda tally: tally.writing(1.0)):
            os.write(ready[1], b"x")
            os.read(go[0], 1)
        return True

    pid = os.fork()
    if not pid:
        store.close()
        os._exit(not hold())
    os.read(ready[0], 1)
    try:
        with pytest.raises(StoreError, match=r"another process writes for more than 0\.05 s"):
            put(store, b"k", b"new")
        assert store.get(b"k") == Item(b"v")
    finally:
        os.write(go[1], b"x")
        os.waitpid(pid, 0)
    assert put(store, b"k", b"new")
    store.close()
    for fd in (*ready, *go):
        os.close(fd)


def test_what_is_no_store_is_an_error(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"no store" * 1000)
    with pytest.raises(StoreError, match="text"):
        make(f"items=10,store={path}")


def test_a_damaged_record_is_a_miss_and_is_removed(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store"
    store = make(f"items=10,store={path}")
    put(store, b"k", b"the value of k")
    store.sync()
    store.close()
    data = path.read_bytes()
    assert data.count(b"the value of k") >= 1
    path.write_bytes(data.replace(b"the value of k", b"the value of j"))
    assert store.get(b"k") is None
    assert "damaged" in caplog.text
    assert store.count == 0


KEYS = st.sampled_from([b"a", b"b", b"c", b"long" * 200])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(min_size=1, max_size=40), st.integers(0, 5)),
        st.tuples(st.just("delete"), KEYS, st.just(b""), st.just(0)),
        st.tuples(st.just("pass"), st.just(b""), st.just(b""), st.integers(1, 3)),
        st.tuples(st.just("sweep"), st.just(b""), st.just(b""), st.just(0)),
    ),
    max_size=20,
)


@given(steps=STEPS, bitmap=st.booleans())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_store_does_what_a_dictionary_does(
    make: Make, clock: Clock, steps: list[tuple[str, bytes, bytes, int]], bitmap: bool
) -> None:
    store = make("items=10,bitmap=1,blocksize=7,blocks=100" if bitmap else "items=10")
    store.clear()
    model: dict[bytes, tuple[bytes, int]] = {}
    for what, key, value, number in steps:
        match what:
            case "put":
                until = int(clock.now) + number if number else 0
                assert store.put(key, value, until, overwrite=True)
                model[key] = value, until
            case "delete":
                assert store.delete(key) == (model.pop(key, None) is not None)
            case "pass":
                clock.now += number
                model = {k: v for k, v in model.items() if not v[1] or v[1] > clock.now}
            case _:
                store.sweep()
                assert store.count == len(model)
        assert {key: store.peek(key) for key in model} == {k: Item(*v) for k, v in model.items()}
        assert sorted(store.keys()) == sorted(model)
    store.close()
