"""The algorithms (subscriptions/balancing): worked examples, and how they share out."""

from __future__ import annotations

import socket
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uwgate.subscriptions.balancing import ALGORITHMS, Algorithm, Asked, Follower, make, sticky
from uwgate.subscriptions.balancing.consistent import BOUND, FREE, ConsistentHash, points_of
from uwgate.subscriptions.balancing.iphash import IpHash
from uwgate.subscriptions.balancing.lrc import LeastReferences, WeightedLeastReferences
from uwgate.subscriptions.balancing.slow_start import weight_of
from uwgate.subscriptions.balancing.sticky import StickyCookies
from uwgate.subscriptions.balancing.two_choices import (
    LeastTime,
    PowerOfTwo,
    latency_of,
    measure,
)
from uwgate.subscriptions.balancing.wrr import WeightedRoundRobin
from uwgate.subscriptions.djb33x import djb33x
from uwgate.subscriptions.node import Node

from .conftest import MakeSlot

NAMES = "ABCDEFGHIJ"
weights_of_nodes = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def nodes(*weights: int) -> list[Node]:
    """A, B, C and so on with these weights."""
    return [Node(key="k", address=NAMES[at], weight=weight) for at, weight in enumerate(weights)]


def ready(algorithm: Algorithm, members: list[Node]) -> Algorithm:
    algorithm.change(members, members)
    return algorithm


def begin(algorithm: Algorithm, node: Node, *, ends: bool) -> None:
    """A request at a node, as a slot tells of it."""
    node.last_requests += 1
    node.reference += 0 if ends else 1
    if isinstance(algorithm, Follower):
        algorithm.counted(node)
        if not ends:
            algorithm.moved(node, node.reference - 1)


def in_turn(algorithm: Algorithm, count: int, now: float = 0.0) -> Counter[str]:
    """How often each node is chosen when every request ends before the next one."""
    chosen: Counter[str] = Counter()
    for _ in range(count):
        node = algorithm.choose(Asked(now))
        begin(algorithm, node, ends=True)
        chosen[node.address] += 1
    return chosen


def at_once(algorithm: Algorithm, count: int) -> Counter[str]:
    """How many requests each node runs when none ends."""
    chosen: Counter[str] = Counter()
    for busy in range(count):
        node = algorithm.choose(Asked(0.0, affinity=b"%d" % busy, busy=busy))
        begin(algorithm, node, ends=False)
        chosen[node.address] += 1
    return chosen


def is_near(found: Counter[str], expected: dict[str, float], by: float) -> bool:
    total = sum(found.values())
    return all(abs(found[name] / total - part) <= by for name, part in expected.items())


# wrr


@given(weights_of_nodes)
def test_a_cycle_of_wrr_gives_every_node_its_share(weights: list[int]) -> None:
    shares = {NAMES[at]: weight // min(weights) for at, weight in enumerate(weights)}
    algorithm = ready(WeightedRoundRobin(), nodes(*weights))
    assert in_turn(algorithm, 3 * sum(shares.values())) == {
        name: 3 * share for name, share in shares.items()
    }


def test_wrr_gives_a_new_node_its_share_from_the_next_cycle_on() -> None:
    members = nodes(1, 2)
    algorithm = ready(WeightedRoundRobin(), members)
    algorithm.choose(Asked(0.0))
    members.append(Node(key="k", address="C"))
    algorithm.change(members, members)
    assert in_turn(algorithm, 2) == {"A": 1, "B": 1}
    assert in_turn(algorithm, 4) == {"A": 1, "B": 2, "C": 1}


def test_wrr_follows_a_weight_that_changes() -> None:
    members = nodes(1, 1)
    algorithm = ready(WeightedRoundRobin(), members)
    in_turn(algorithm, 2)
    members[1].weight = 4
    algorithm.change(members, members)
    assert in_turn(algorithm, 50) == {"A": 10, "B": 40}


def test_wrr_divides_by_the_smallest_weight_of_all_backup_levels() -> None:
    first, backup = nodes(6, 2)
    algorithm = WeightedRoundRobin()
    algorithm.change([first], [first, backup])
    algorithm.choose(Asked(0.0))
    assert (first.wrr, backup.wrr) == (2, 1)


def test_wrr_warms_a_new_node_up() -> None:
    old, new = nodes(1, 1)
    new.warming, new.warm_at = 10.0, 10.0
    algorithm = ready(WeightedRoundRobin(), [old, new])
    assert in_turn(algorithm, 11, now=0.0) == {"A": 10, "B": 1}
    assert in_turn(algorithm, 3, now=5.0) == {"A": 2, "B": 1}
    assert in_turn(algorithm, 2, now=10.0) == {"A": 1, "B": 1}


# lrc and wlrc


@given(st.integers(1, 8), st.integers(0, 60))
def test_lrc_gives_every_node_as_many_running_requests(count: int, requests: int) -> None:
    running = at_once(ready(LeastReferences(), nodes(*[1] * count)), requests)
    assert max(running.values(), default=0) - min(running[NAMES[at]] for at in range(count)) <= 1


@given(weights_of_nodes)
def test_wlrc_gives_running_requests_by_weight(weights: list[int]) -> None:
    running = at_once(ready(WeightedLeastReferences(), nodes(*weights)), 10 * sum(weights))
    for at, weight in enumerate(weights):
        assert abs(running[NAMES[at]] - 10 * weight) <= max(weights)


@given(st.integers(1, 8), st.integers(1, 10))
def test_idle_nodes_take_turns(count: int, rounds: int) -> None:
    chosen = in_turn(ready(LeastReferences(), nodes(*[1] * count)), rounds * count)
    assert chosen == {NAMES[at]: rounds for at in range(count)}


def test_lrc_prefers_an_idle_node_to_all_others() -> None:
    members = nodes(1, 1, 1)
    members[0].reference = 1
    members[2].reference = 1
    assert ready(LeastReferences(), members).choose(Asked(0.0)).address == "B"


def test_wlrc_warms_a_new_node_up() -> None:
    old, new = nodes(1, 1)
    old.reference, new.reference = 2, 1
    new.warming, new.warm_at = 10.0, 10.0
    algorithm = ready(WeightedLeastReferences(), [old, new])
    assert algorithm.choose(Asked(2.0)).address == "A"
    assert algorithm.choose(Asked(10.0)).address == "B"


# iphash


@pytest.mark.parametrize(
    ("client", "choices"),  # spec/subscriptions.md section 13
    [("127.0.0.1", "BCD"), ("192.168.1.10", "ACA"), ("10.0.0.1", "ACC"), ("::1", "ABA")],
)
def test_iphash_chooses_as_uwsgi_2_1(client: str, choices: str) -> None:
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    packed = socket.inet_pton(family, client)
    for count, address in enumerate(choices, 2):
        algorithm = ready(IpHash(), nodes(*[1] * count))
        assert algorithm.choose(Asked(0.0, packed)).address == address


def test_without_an_address_iphash_takes_the_first_node() -> None:
    assert ready(IpHash(), nodes(1, 1)).choose(Asked(0.0)).address == "A"


def test_iphash_ignores_backup_levels() -> None:
    members = nodes(1, 1)
    algorithm = IpHash()
    algorithm.change(members[:1], members)
    assert algorithm.choose(Asked(0.0, socket.inet_aton("127.0.0.1"))).address == "B"


def test_clients_spread_over_all_nodes_with_iphash() -> None:
    algorithm = ready(IpHash(), nodes(1, 1, 1, 1))
    dice = Random(4)
    found = Counter(
        algorithm.choose(Asked(0.0, dice.randbytes(size))).address
        for size in (4, 16)
        for _ in range(4000)
    )
    assert is_near(found, dict.fromkeys("ABCD", 0.25), by=0.02)


@pytest.mark.parametrize(
    ("data", "bucket"), [(b"foo.com", 11571), (b"k.com", 28816), (b"fb", 28314), (b"", 5381)]
)
def test_the_hash_is_that_of_uwsgi(data: bytes, bucket: int) -> None:
    assert djb33x(data) % 65535 == bucket


def test_bytes_from_128_on_are_negative_in_the_hash() -> None:
    assert djb33x(socket.inet_pton(socket.AF_INET6, "::1")) == 3184230148
    assert djb33x(b"\xff") == (5381 * 33 ^ 0xFFFFFFFF) & 0xFFFFFFFF


# p2c and least-time


@settings(max_examples=20)
@given(weights_of_nodes, st.integers())
def test_p2c_draws_idle_nodes_by_weight(weights: list[int], seed: int) -> None:
    found = in_turn(ready(PowerOfTwo(Random(seed)), nodes(*weights)), 3000)
    total = sum(weights)
    expected = {NAMES[at]: weight / total for at, weight in enumerate(weights)}
    assert is_near(found, expected, by=0.06)


def test_p2c_draws_by_weights_of_any_size() -> None:
    found = in_turn(ready(PowerOfTwo(Random(8)), nodes(1000, 1, 2999)), 8000)
    assert is_near(found, {"A": 0.25, "B": 0.0, "C": 0.75}, by=0.02)
    assert found["B"] > 0


def test_p2c_keeps_running_requests_close_together() -> None:
    running = at_once(ready(PowerOfTwo(Random(3)), nodes(*[1] * 10)), 1000)
    assert max(running.values()) - min(running.values()) <= 6


def test_p2c_weighs_running_requests() -> None:
    running = at_once(ready(PowerOfTwo(Random(3)), nodes(1, 3)), 400)
    assert is_near(running, {"A": 0.25, "B": 0.75}, by=0.01)


def test_p2c_warms_a_new_node_up() -> None:
    old, new = nodes(1, 1)
    new.warming, new.warm_at = 10.0, 10.0
    algorithm = ready(PowerOfTwo(Random(5)), [old, new])
    assert is_near(in_turn(algorithm, 4000, now=5.0), {"A": 0.75, "B": 0.25}, by=0.03)
    assert is_near(in_turn(algorithm, 4000, now=10.0), {"A": 0.5, "B": 0.5}, by=0.03)


def test_least_time_gives_a_faster_node_more_running_requests() -> None:
    fast, slow = nodes(1, 1)
    measure(fast, 0.010, 0.0)
    measure(slow, 0.030, 0.0)
    assert at_once(ready(LeastTime(Random(6)), [fast, slow]), 40) == {"A": 30, "B": 10}


def test_least_time_compares_a_node_that_was_never_measured_by_its_requests() -> None:
    known, unknown = nodes(1, 1)
    measure(known, 0.010, 0.0)
    assert at_once(ready(LeastTime(Random(6)), [known, unknown]), 40) == {"A": 20, "B": 20}


def test_least_time_forgets_what_was_measured_long_ago() -> None:
    slow, fast = nodes(1, 1)
    measure(slow, 1.0, 0.0)
    measure(fast, 0.001, 0.0)
    later = 1e6  # both have faded to nothing
    algorithm = ready(LeastTime(Random(6)), [slow, fast])
    assert is_near(in_turn(algorithm, 2000, now=later), {"A": 0.5, "B": 0.5}, by=0.05)


def test_what_is_slower_is_believed_at_once_and_what_is_faster_bit_by_bit() -> None:
    (node,) = nodes(1)
    measure(node, 0.010, 0.0)
    measure(node, 0.500, 1.0)
    assert node.latency == 0.500
    measure(node, 0.010, 2.0)
    assert 0.4 < node.latency < 0.5


def test_an_old_measurement_fades() -> None:
    (node,) = nodes(1)
    measure(node, 1.0, 100.0)
    assert latency_of(node, 100.0) == 1.0
    assert latency_of(node, 110.0) == pytest.approx(0.3679, abs=0.001)
    assert latency_of(node, 99.0) == 1.0


# chash


def keys_of(algorithm: Algorithm, count: int = 3000) -> list[str]:
    """Where every one of many affinities goes when nothing runs."""
    return [algorithm.choose(Asked(0.0, affinity=b"%d" % one)).address for one in range(count)]


def test_an_affinity_stays_with_its_node() -> None:
    algorithm = ready(ConsistentHash(), nodes(1, 1, 1))
    assert keys_of(algorithm) == keys_of(ready(ConsistentHash(), nodes(1, 1, 1)))


def test_a_node_that_leaves_moves_only_its_own() -> None:
    members = nodes(1, 1, 1, 1)
    before = keys_of(ready(ConsistentHash(), members))
    after = keys_of(ready(ConsistentHash(), members[:3]))
    moved = {old for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {"D"}


def test_affinities_spread_by_weight() -> None:
    found = Counter(keys_of(ready(ConsistentHash(), nodes(1, 2, 1))))
    assert is_near(found, {"A": 0.25, "B": 0.5, "C": 0.25}, by=0.08)


@given(weights_of_nodes, st.integers(1, 200))
def test_no_node_runs_more_than_its_bound(weights: list[int], requests: int) -> None:
    members = nodes(*weights)
    algorithm = ready(ConsistentHash(), members)
    for busy in range(requests):
        node = algorithm.choose(Asked(0.0, affinity=b"the same", busy=busy))
        node.reference += 1
        part = BOUND * (busy + 1) * node.weight / sum(weights)
        assert node.reference <= max(FREE, part + 1)


def test_few_requests_stay_where_they_belong() -> None:
    members = nodes(1, 1, 1)
    algorithm = ready(ConsistentHash(), members)
    chosen: list[str] = []
    for busy in range(FREE):
        node = algorithm.choose(Asked(0.0, affinity=b"alice", busy=busy))
        node.reference += 1
        chosen.append(node.address)
    assert len(set(chosen)) == 1


def test_without_an_affinity_the_client_counts() -> None:
    algorithm = ready(ConsistentHash(), nodes(1, 1, 1))
    clients = [socket.inet_aton(f"10.0.0.{host}") for host in range(50)]
    by_client = [algorithm.choose(Asked(0.0, client)) for client in clients]
    assert by_client == [algorithm.choose(Asked(0.0, affinity=client)) for client in clients]
    assert len(set(map(id, by_client))) == 3


def test_a_wrong_sum_of_requests_still_finds_a_node() -> None:
    members = nodes(1, 1)
    for node in members:
        node.reference = 99
    assert ready(ConsistentHash(), members).choose(Asked(0.0, busy=0)) in members


def test_the_points_of_a_node_do_not_depend_on_how_many_there_are() -> None:
    assert points_of("a:1", 5) == points_of("a:1", 100)[:5]
    assert len(set(points_of("a:1", 100))) == 100


# all


@pytest.mark.parametrize("name", ALGORITHMS)
@given(count=st.integers(1, 6), seed=st.integers(0, 1000))
def test_whatever_happens_a_node_of_the_list_is_chosen(name: str, count: int, seed: int) -> None:
    dice = Random(seed)
    _, algorithm = make(name)
    members = nodes(*[dice.randint(1, 9) for _ in range(count)])
    for node in members:
        node.reference = dice.randint(0, 3)
        node.warming, node.warm_at = 5.0, dice.uniform(0, 9)
    algorithm.change(members, members)
    for _ in range(20):
        asked = Asked(dice.uniform(0, 9), dice.randbytes(4), dice.randbytes(3), 5)
        assert algorithm.choose(asked) in members
        members = members[: dice.randint(1, len(members))]
        algorithm.change(members, members)


def test_an_unknown_algorithm_means_the_default() -> None:
    assert make("fastest")[0] == "wrr"
    assert make("fastest", "lrc")[0] == "lrc"
    assert make("wlrc", "lrc")[0] == "wlrc"


@given(st.floats(0, 20), st.integers(1, 9))
def test_a_warming_node_weighs_more_and_more(now: float, weight: int) -> None:
    node = Node(key="k", address="a", weight=weight, warming=10.0, warm_at=10.0)
    assert 0.1 * weight <= weight_of(node, now) <= weight_of(node, now + 1.0) <= weight


# sticky cookies


def test_a_cookie_leads_back_to_its_node_in_any_process() -> None:
    members = nodes(1, 1, 1)
    value = StickyCookies(b"s" * 16).value(members[1])
    assert StickyCookies(b"s" * 16).find(value, members) is members[1]


def test_a_cookie_does_not_show_the_address() -> None:
    node = Node(key="k", address="10.0.0.1:99")
    value = StickyCookies(b"s" * 16).value(node)
    assert len(value) == 32
    assert value != StickyCookies(b"t" * 16).value(node)
    assert value != StickyCookies(b"s" * 16).value(Node(key="other", address="10.0.0.1:99"))


@pytest.mark.parametrize("value", ["", "x", "0" * 32, "0" * 10000, "é" * 32])
def test_a_cookie_that_was_made_up_leads_nowhere(value: str) -> None:
    assert StickyCookies(b"s" * 16).find(value, nodes(1, 1)) is None


def test_values_that_are_remembered_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sticky, "MAX_KNOWN", 2)
    cookies = StickyCookies(b"s" * 16)
    members = nodes(1, 1, 1, 1)
    values = [cookies.value(node) for node in members]
    assert [cookies.find(value, members) for value in values] == members


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="15 bytes, expected at least 16"):
        StickyCookies(b"s" * 15)


# the slot


def test_a_slot_without_nodes_chooses_none(slot: MakeSlot) -> None:
    assert slot("wrr").choose(0.0) is None


def test_a_request_that_a_node_refused_goes_to_another(slot: MakeSlot) -> None:
    one = slot("wrr", A=1, B=1, C=1)
    first = one.choose(0.0)
    assert first is not None
    second = one.choose(0.0, tried=[first])
    assert second is not None
    third = one.choose(0.0, tried=[first, second])
    assert third is not None
    assert {first.address, second.address, third.address} == {"A", "B", "C"}
    assert one.choose(0.0, tried=[first, second, third]) is None
    assert (one.hits, one.reference) == (3, 3)


def test_a_cookie_goes_before_the_algorithm(slot: MakeSlot) -> None:
    one = slot("wrr", A=1, B=1)
    wanted = one.members["A"]
    assert [one.choose(0.0, wanted=wanted) for _ in range(3)] == [wanted] * 3


def test_a_cookie_of_a_node_that_went_is_passed_over(slot: MakeSlot) -> None:
    gone = Node(key="shop.example", address="A")
    one = slot("wrr", A=1, B=1)
    assert one.choose(0.0, wanted=gone) is not gone
    one.members["A"].death_mark = True
    one.refresh()
    assert one.choose(0.0, wanted=one.members["A"]) is one.members["B"]
