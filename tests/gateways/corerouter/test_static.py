"""Fixed backends that take turns."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateways.corerouter.routers import begin, failing, name, router, served
from uwgate.conf.errors import ConfigError
from uwgate.gateways.corerouter.outcome import Outcome

A, B, C = (f"127.0.0.1:{port}" for port in range(3001, 3004))


def fail(made: object, now: float) -> str | None:
    """Have the backend whose turn it is fail; the next one serves."""
    attempts = begin(made)  # type: ignore[arg-type]
    failed = name(attempts.next(now))
    attempts.failed(now, "refused")
    attempts.next(now)
    attempts.end(now)
    return failed


def test_they_take_turns() -> None:
    made = router(to=(A, B, C))
    assert [served(made) for _ in range(7)] == [A, B, C, A, B, C, A]


def test_who_failed_is_passed_over_for_gracetime_and_then_tried_in_its_turn() -> None:
    made = router(to=(A, B), gracetime=30.0)
    assert fail(made, 0.0) == A
    assert [served(made, 29.9) for _ in range(3)] == [B, B, B]
    assert [served(made, 30.0) for _ in range(3)] == [A, B, A]


def test_who_is_back_before_gracetime_is_over_gets_its_turns_again() -> None:
    made = router(to=(A,), gracetime=30.0)
    assert failing(made) == [A]
    assert served(made, 1.0) == A


def test_when_all_have_failed_the_one_that_failed_first_is_tried_alone() -> None:
    made = router(to=(A, B, C))
    assert failing(made, 1.0) == [A, B, C]
    assert failing(made, 2.0) == [A]
    assert failing(made, 3.0) == [B]


def test_a_client_may_ask_again_at_once() -> None:
    made = router(to=(A,))
    failing(made)
    assert begin(made).retry_after(0.0) == 1


def test_no_backend_gets_more_than_node_connections() -> None:
    made = router(to=(A, B), node_connections=1)
    running = [begin(made), begin(made)]
    assert [name(one.next(0.0)) for one in running] == [A, B]
    third = begin(made)
    assert third.next(0.0) is None
    assert third.outcome is Outcome.FULL
    running[0].end(0.0)
    assert served(made) == A


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 6))
def test_who_is_well_is_served_evenly(failures: list[bool], count: int) -> None:
    """Whatever the first backend does, the others get equal shares."""
    addresses = [f"127.0.0.1:{3001 + number}" for number in range(count + 1)]
    made = router(to=tuple(addresses), gracetime=1000.0)
    shares: Counter[str | None] = Counter()
    for is_down in failures:
        attempts = begin(made)
        target = attempts.next(0.0)
        if name(target) == addresses[0] and is_down:
            attempts.failed(0.0, "refused")
            target = attempts.next(0.0)
        attempts.connected(0.0)
        shares[name(target)] += 1
        attempts.end(0.0)
    others = [shares[address] for address in addresses[1:]]
    assert max(others) - min(others) <= 1


def test_hits_are_counted() -> None:
    made = router(to=(A, B))
    for _ in range(3):
        served(made)
    assert made.static is not None
    assert [node.hits for node in made.static.nodes] == [2, 1]


# Our own sockets


def test_a_socket_of_the_instance_is_known_by_its_number() -> None:
    bound = (("http", ":80"), ("uwsgi", "127.0.0.1:3031"), ("lease", "@x"), ("http-socket", "/h"))
    assert served(router(use_socket=0, bound=bound)) == "127.0.0.1:3031"
    made = router(use_socket=1, bound=bound)
    target = begin(made).next(0.0)
    assert target is not None
    assert (target.name, target.speaks_http) == ("/h", True)


def test_a_socket_that_is_not_there_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"http-use-socket = 1: this instance has 1 sockets"):
        router(use_socket=1, bound=(("uwsgi", ":1"),))
