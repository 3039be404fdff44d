"""The table of keys and nodes (subscriptions/table.py), on a clock of our own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from uwgate.subscriptions.admission import Credentials
from uwgate.subscriptions.change import Back, Cause, Change, Joined, Left, Out
from uwgate.subscriptions.health import CheckPolicy
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.table import Table, TableOptions

KEY = "foo.com"
A = Packet(key=KEY, address="10.0.0.1:99", modifier1=5, cores=4, weight=2)
B = replace(A, address="10.0.0.2:99")


def gone(packet: Packet) -> Packet:
    return replace(packet, command=Command.UNSUBSCRIBE)


def kinds(changes: list[Change]) -> list[type]:
    return [type(change) for change in changes]


def node_of(table: Table, packet: Packet = A) -> Node:
    """The node that a packet announced."""
    return table.slots[packet.key].members[packet.address]


def ask(table: Table, name: str = KEY, now: float = 0.0) -> Node:
    """A request that runs until it is released."""
    slot = table.find(name)
    assert slot is not None
    node = slot.choose(now)
    assert node is not None
    table.connected(node)
    return node


@pytest.fixture
def table() -> Table:
    """A and B serve one key since time 0."""
    table = Table()
    table.follow(A, 0.0)
    table.follow(B, 0.0)
    return table


# announcements


def test_a_first_announcement_makes_a_key_and_a_node() -> None:
    table = Table()
    assert table.is_empty
    assert table.find(KEY) is None
    (joined,) = table.follow(A, 1.0, Credentials(pid=1, uid=2, gid=3))
    assert isinstance(joined, Joined)
    node = joined.node
    assert (node.address, node.modifier1, node.cores, node.weight) == ("10.0.0.1:99", 5, 4, 2)
    assert (node.pid, node.uid, node.gid, node.last_check) == (1, 2, 3, 1.0)
    assert ask(table) is node


def test_the_acknowledgement_is_that_of_uwsgi() -> None:
    (joined,) = Table().follow(A, 0.0)
    assert isinstance(joined, Joined)
    assert joined.acknowledgement == b"[subscription ack] foo.com => new node: 10.0.0.1:99"


def test_a_refresh_changes_nothing_but_what_it_says(table: Table) -> None:
    node = ask(table)
    again = replace(A if node.address == A.address else B, modifier1=9, load=7, free=1, notify="/n")
    assert table.follow(again, 5.0) == []
    assert (node.modifier1, node.load, node.free, node.notify) == (9, 7, 1, "/n")
    assert (node.last_check, node.last_requests, node.requests) == (5.0, 0, 1)


def test_a_weight_of_zero_counts_as_one() -> None:
    table = Table()
    table.follow(replace(A, weight=0), 0.0)
    assert node_of(table).weight == 1


def test_a_refresh_may_change_the_weight(table: Table) -> None:
    for _ in range(2):
        table.release(ask(table))  # the cycle with the old weights
    table.follow(replace(A, weight=6), 1.0)
    chosen = [ask(table).address for _ in range(8)]
    assert chosen.count(A.address) == 6


def test_a_weight_may_be_changed_at_run_time(table: Table) -> None:
    for _ in range(2):
        table.release(ask(table))
    table.set_weight(node_of(table, B), 0)
    assert node_of(table, B).weight == 1
    table.set_weight(Node(key="gone", address="x"), 5)
    assert [ask(table).address for _ in range(3)].count(A.address) == 2


def test_nodes_are_kept_in_order_of_arrival(table: Table) -> None:
    table.follow(A, 1.0)
    assert list(table.slots[KEY].members) == [A.address, B.address]


def test_the_packet_that_makes_a_key_chooses_its_algorithm() -> None:
    table = Table(TableOptions(algo="lrc"))
    table.follow(A, 0.0)
    table.follow(replace(A, key="other", algo="chash"), 0.0)
    table.follow(replace(B, key="other", algo="wrr"), 0.0)
    assert [slot.algo for slot in table.slots.values()] == ["lrc", "chash"]


def test_the_operator_goes_before_the_packet() -> None:
    table = Table(TableOptions(algos={KEY: "p2c"}))
    table.follow(replace(A, algo="lrc"), 0.0)
    assert table.slots[KEY].algo == "p2c"


# leaving


def test_an_idle_node_that_unsubscribes_is_removed(table: Table) -> None:
    node = node_of(table)
    assert table.follow(gone(A), 1.0) == [Left(node, Cause.UNSUBSCRIBED)]
    assert list(table.slots[KEY].members) == [B.address]


def test_a_node_that_unsubscribes_finishes_its_requests_and_gets_no_more(table: Table) -> None:
    table.follow(gone(B), 0.0)
    node = ask(table)
    table.follow(gone(A), 1.0)
    assert table.find(KEY) is None
    assert not table.is_empty
    table.release(node)
    assert table.is_empty
    assert table.node_count == 0


def test_a_node_that_comes_back_while_it_leaves_is_the_same(table: Table) -> None:
    node = ask(table)
    packet = A if node.address == A.address else B
    table.follow(gone(packet), 1.0)
    assert kinds(table.follow(packet, 2.0)) == [Joined]
    table.release(node)
    assert node_of(table, packet) is node
    assert node.requests == 1


def test_an_unknown_node_cannot_leave(table: Table) -> None:
    assert table.follow(gone(replace(A, address="x:1")), 1.0) == []
    assert table.follow(gone(replace(A, key="x")), 1.0) == []
    assert table.node_count == 2


def test_leaving_twice_counts_once(table: Table) -> None:
    node = ask(table)
    packet = A if node.address == A.address else B
    table.follow(gone(packet), 1.0)
    assert table.follow(gone(packet), 1.0) == []
    assert node.failcnt == 1


def test_the_last_node_takes_its_key_with_it(table: Table) -> None:
    table.follow(gone(A), 1.0)
    table.follow(gone(B), 1.0)
    assert table.is_empty


# time


def test_a_node_that_says_nothing_for_too_long_is_dropped(table: Table) -> None:
    table.follow(B, 10.0)
    node = node_of(table)
    assert table.advance(17.0) == []
    assert table.advance(17.1) == [Left(node, Cause.EXPIRED)]
    assert node.failcnt == 1
    assert table.advance(27.1) != []
    assert table.is_empty


def test_a_key_that_nobody_asks_for_is_dropped_too() -> None:
    table = Table(TableOptions(tolerance=5.0))
    for number in range(100):
        table.follow(replace(A, key=f"k{number}"), number / 100)
    table.advance(5.5)
    assert len(table.slots) == 50


def test_without_tolerance_nodes_stay() -> None:
    table = Table(TableOptions(tolerance=0.0))
    table.follow(A, 0.0)
    assert table.advance(1e9) == []


def test_a_node_with_a_request_is_dropped_when_that_has_ended(table: Table) -> None:
    node = ask(table)
    table.advance(100.0)
    assert table.find(KEY) is None
    assert table.node_count == 1
    table.release(node)
    assert table.is_empty


# failures


def test_a_node_that_cannot_be_reached_gets_no_more_requests(table: Table) -> None:
    node = node_of(table)
    assert kinds(table.unreachable(node, 1.0)) == [Out]
    assert {ask(table).address for _ in range(5)} == {B.address}
    assert node.failcnt == 1


def test_many_requests_that_fail_together_put_a_node_out_once(table: Table) -> None:
    node = node_of(table)
    table.unreachable(node, 1.0)
    assert table.unreachable(node, 1.0) == []
    assert node.health.ejections == 1


def test_its_next_announcement_brings_it_back(table: Table) -> None:
    node = node_of(table)
    table.unreachable(node, 1.0)
    assert table.follow(A, 2.0) == [Back(node, Cause.ANNOUNCED)]
    assert A.address in {ask(table).address for _ in range(2)}


def test_one_that_fails_again_waits_for_the_end_of_its_period(table: Table) -> None:
    node = node_of(table)
    table.unreachable(node, 1.0)
    table.follow(A, 2.0)
    table.unreachable(node, 3.0)
    assert table.follow(A, 4.0) == []
    assert table.advance(12.9) == []
    assert table.advance(13.0) == [Back(node, Cause.PERIOD_OVER)]


def test_a_period_that_ends_while_a_node_is_leaving_does_not_keep_it_out(table: Table) -> None:
    table.follow(gone(B), 0.0)
    node = ask(table)
    table.unreachable(node, 0.0)
    table.follow(A, 1.0)
    table.unreachable(node, 2.0)  # until 12
    table.follow(gone(A), 3.0)
    table.advance(12.0)
    table.follow(A, 13.0)
    assert ask(table) is node


def test_a_node_that_comes_back_starts_slowly_again() -> None:
    table = Table(TableOptions(slow_start=10.0))
    table.follow(A, 0.0)
    node = node_of(table)
    table.unreachable(node, 10.0)
    table.follow(A, 12.0)
    assert node.warm_at == 22.0


def test_all_nodes_may_be_unreachable(table: Table) -> None:
    table.unreachable(node_of(table, A), 1.0)
    table.unreachable(node_of(table, B), 1.0)
    assert table.find(KEY) is None
    assert not table.is_empty


def test_bad_answers_in_a_row_put_a_node_out_but_never_the_last(table: Table) -> None:
    first, second = node_of(table, A), node_of(table, B)
    found = [table.answered_badly(first, 1.0) for _ in range(5)]
    assert found == [[], [], [], [], [Out(first, Cause.BAD_ANSWERS, 6.0)]]
    assert not any(table.answered_badly(second, 1.0) for _ in range(50))
    assert ask(table) is second


def test_good_answers_are_measured_and_end_the_row(table: Table) -> None:
    node = node_of(table)
    for _ in range(4):
        table.answered_badly(node, 1.0)
    table.answered(node, 1.0, 0.25)
    assert table.answered_badly(node, 1.0) == []
    assert node.latency == 0.25


def test_a_node_that_went_meanwhile_changes_nothing(table: Table) -> None:
    node = ask(table)
    packet = A if node.address == A.address else B
    table.follow(gone(packet), 1.0)
    assert table.unreachable(node, 2.0) == []
    assert [table.answered_badly(node, 2.0) for _ in range(9)] == [[]] * 9
    table.release(node, tx=3, rx=4)
    assert (node.tx, node.rx, node.reference) == (3, 4, 0)
    assert table.unreachable(node, 3.0) == []


def test_nothing_is_released_twice(table: Table) -> None:
    node = ask(table)
    packet = A if node.address == A.address else B
    table.follow(gone(packet), 1.0)
    table.release(node)
    with pytest.raises(ValueError, match="has no request to release"):
        table.release(node)


def test_the_end_of_a_period_means_nothing_to_a_node_that_went(table: Table) -> None:
    table.unreachable(node_of(table), 1.0)
    table.follow(gone(A), 2.0)
    assert table.advance(6.0) == []


# checks


CHECKS = CheckPolicy(fall=2, rise=1)


def test_failed_looks_may_put_all_nodes_out(table: Table) -> None:
    for packet in (A, B):
        node = node_of(table, packet)
        assert table.looked(node, 1.0, CHECKS, good=False) == []
        assert table.looked(node, 2.0, CHECKS, good=False) == [Out(node, Cause.CHECKS, None)]
    assert table.find(KEY) is None


def test_a_good_look_takes_a_node_back_and_it_starts_slowly() -> None:
    table = Table(TableOptions(slow_start=10.0))
    table.follow(A, 0.0)
    node = node_of(table)
    for _ in range(2):
        table.looked(node, 1.0, CHECKS, good=False)
    table.follow(A, 2.0)
    assert table.find(KEY) is None
    assert table.looked(node, 20.0, CHECKS, good=True) == [Back(node, Cause.CHECKS)]
    assert ask(table, now=20.0) is node
    assert node.warm_at == 30.0
