"""A table told to another process, whole or while it changes (subscriptions/state.py)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import pytest

from uwgate.subscriptions.change import Back, Cause, Change, Joined, Left, Out
from uwgate.subscriptions.health import CheckPolicy, EjectionPolicy
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.state import NODES_OF_ROW, Copy, Row, add, health_from, rows
from uwgate.subscriptions.table import Table, TableOptions

KEY = "foo.com"
CHECKS = CheckPolicy()
A = Packet(key=KEY, address="10.0.0.1:99", modifier1=5, cores=4, weight=2)
B = replace(A, address="10.0.0.2:99")
VASSAL = Packet(key="other", vassal="v")


def gone(packet: Packet) -> Packet:
    return replace(packet, command=Command.UNSUBSCRIBE)


def kinds(changes: Iterable[Change]) -> list[type]:
    return [type(change) for change in changes]


def told(table: Table) -> list[Row]:
    """What goes over, as it arrives."""
    through_json: list[Row] = json.loads(json.dumps(list(rows(table, table.slots))))
    return through_json


def copied(old: Table, new: Table, now: float = 0.0) -> list[Change]:
    copy = Copy(new)
    changes = [change for row in told(old) for change in copy.put(row, now)]
    return changes + copy.end()


def node_of(table: Table, packet: Packet = A) -> Node:
    return table.slots[packet.key].members[packet.address]


def ask(table: Table) -> Node:
    slot = table.find(KEY)
    assert slot is not None
    node = slot.choose(0.0)
    assert node is not None
    return node


@pytest.fixture
def table() -> Table:
    """A and B serve one key since time 0."""
    table = Table()
    table.follow(A, 0.0)
    table.follow(B, 0.0)
    return table


def test_another_process_goes_on_with_the_same_table() -> None:
    options = TableOptions(ejection=EjectionPolicy(base=50.0))
    old, new = Table(options), Table(options)
    old.follow(replace(A, algo="lrc", vassal="v"), 0.0)
    old.follow(B, 3.0)
    old.follow(A, 4.0)
    old.follow(replace(VASSAL, key="other"), 5.0)
    old.unreachable(node_of(old, B), 6.0)
    old.answered(node_of(old), 6.0, 0.5)
    assert kinds(copied(old, new)) == [Joined, Joined, Joined]
    assert told(new) == told(old)
    assert ask(new).address == A.address
    assert new.node_count == 3
    assert kinds(new.advance(20.5)) == [Left]
    assert kinds(new.advance(21.5)) == [Left]


def test_running_requests_and_leaving_nodes_are_not_told(table: Table) -> None:
    node = ask(table)
    table.follow(gone(A if node.address == A.address else B), 1.0)
    new = Table()
    copied(table, new)
    (left,) = new.slots[KEY].members.values()
    assert left.address != node.address
    assert left.reference == 0


def test_a_node_that_was_put_out_comes_back_in_the_other_process(table: Table) -> None:
    table.unreachable(node_of(table), 1.0)
    new = Table()
    copied(table, new)
    assert kinds(new.advance(6.0)) == [Back]


def test_certificates_of_nodes_that_are_leaving_are_left_out() -> None:
    table, new = Table(), Table()
    table.follow(replace(A, sni_key="/k", sni_crt="/c"), 0.0, sni=True)
    node = ask(table)
    table.follow(gone(A), 1.0)
    copied(table, new)
    assert new.is_empty
    assert new.sni.find(KEY) is None
    table.release(node)


def test_a_certificate_that_is_gone_there_is_dropped(table: Table) -> None:
    new = Table()
    new.follow(replace(A, sni_key="/k", sni_crt="/c"), 0.0, sni=True)
    copied(table, new)
    assert new.sni.find(KEY) is None


def test_a_slot_with_many_nodes_goes_over_in_several_rows() -> None:
    table, new = Table(), Table()
    for number in range(2 * NODES_OF_ROW + 1):
        table.follow(replace(A, address=f"a:{number}"), 0.0)
    assert [len(row["nodes"]) for row in told(table)] == [NODES_OF_ROW, NODES_OF_ROW, 1]
    copied(table, new)
    assert told(new) == told(table)


def test_a_copy_updates_what_it_knows_and_keeps_its_requests(table: Table) -> None:
    new = Table()
    copied(table, new)
    node = ask(new)
    new.connected(node)
    table.follow(replace(A if node.address == A.address else B, weight=9, load=3), 5.0)
    assert copied(table, new) == []
    assert (node.weight, node.load, node.last_check) == (9, 3, 5.0)
    assert (node.reference, node.requests) == (1, 1)


def test_a_copy_lets_go_whom_the_other_process_does_not_have(table: Table) -> None:
    new = Table()
    copied(table, new)
    table.follow(gone(B), 1.0)
    (left,) = copied(table, new)
    assert isinstance(left, Left)
    assert left.node.address == B.address
    assert list(new.slots[KEY].members) == [A.address]


def test_a_copy_keeps_who_was_announced_after_the_row_of_his_key(table: Table) -> None:
    new = Table()
    copy = Copy(new)
    for row in told(table):
        copy.put(row, 0.0)
    new.follow(replace(A, address="late:1"), 1.0)
    copy.heard_of(KEY, "late:1")
    assert copy.end() == []
    assert new.node_count == 3


def test_a_copy_takes_a_leaving_node_back(table: Table) -> None:
    new = Table()
    copied(table, new)
    node = ask(new)
    new.follow(gone(A if node.address == A.address else B), 1.0)
    assert kinds(copied(table, new)) == [Joined]
    assert node.is_live
    new.release(node)
    assert new.node_count == 2


def test_a_copy_takes_over_who_is_out_and_who_is_back(table: Table) -> None:
    new = Table()
    copied(table, new)
    table.unreachable(node_of(table), 1.0)
    assert kinds(copied(table, new)) == [Out]
    assert not node_of(new).is_live
    table.follow(A, 2.0)
    assert kinds(copied(table, new)) == [Back]
    assert node_of(new).is_live


def test_what_is_only_added_leaves_what_is_known_as_it_is(table: Table) -> None:
    new = Table()
    new.follow(replace(A, weight=7), 9.0)
    assert [add(new, row, 9.0, without=()) for row in told(table)] == [True]
    assert node_of(new).weight == 7
    assert new.node_count == 2
    assert [add(new, row, 9.0, without=()) for row in told(table)] == [False]


def test_who_has_gone_meanwhile_is_not_added(table: Table) -> None:
    new = Table()
    for row in told(table):
        add(new, row, 0.0, without={(KEY, A.address)})
    assert list(new.slots[KEY].members) == [B.address]


def test_what_was_added_expires_before_what_is_newer(table: Table) -> None:
    new = Table()
    new.follow(replace(A, key="new"), 10.0)
    for row in told(table):
        add(new, row, 10.0, without=())
    new.settle()
    assert kinds(new.advance(17.5)) == [Left, Left]
    assert list(new.slots) == ["new"]


def test_the_rows_of_another_release_are_understood(table: Table) -> None:
    (row,) = told(table)
    node = row["nodes"][0]
    node["colour"] = node["health"]["colour"] = "red"
    del node["notify"], node["health"]["trial"]
    new = Table()
    Copy(new).put(row, 0.0)
    assert new.node_count == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", "2"),
        ("address", 7),
        ("free", "many"),
        ("last_check", None),
        ("via", ["a"]),
        ("last_check", float("nan")),
        ("load", 10**400),
    ],
)
def test_a_value_of_another_type_is_an_error(table: Table, name: str, value: object) -> None:
    (row,) = told(table)
    row["nodes"][0][name] = value
    with pytest.raises(ValueError, match="damaged"):
        Copy(Table()).put(row, 0.0)


@pytest.mark.parametrize(("name", "value"), [("out_until", "soon"), ("trial", 1), ("row", 0.5)])
def test_health_of_another_type_is_an_error(table: Table, name: str, value: object) -> None:
    (row,) = told(table)
    row["nodes"][0]["health"][name] = value
    with pytest.raises(ValueError, match="damaged"):
        Copy(Table()).put(row, 0.0)


@pytest.mark.parametrize(
    "row", [{}, {"key": "a"}, {"key": "a", "algo": "wrr", "nodes": [1]}, {"nodes": None}]
)
def test_a_damaged_row_is_an_error(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="damaged"):
        Copy(Table()).put(row, 0.0)
    with pytest.raises(ValueError, match="damaged"):
        add(Table(), row, 0.0, without=())


def test_what_a_look_found_counts_in_other_processes_too() -> None:
    table, other = Table(), Table()
    for packet in (A, B):
        table.follow(packet, 0.0)
    node = node_of(table)
    for _ in range(2):
        table.looked(node, 1.0, CHECKS, good=False)
    copied(table, other)
    copy = node_of(other)
    assert copy.health.fails_checks
    assert {ask(other).address for _ in range(4)} == {B.address}
    for good, change in ((True, Back(copy, Cause.CHECKS)), (False, Out(copy, Cause.CHECKS, None))):
        for _ in range(2):
            table.looked(node, 2.0, CHECKS, good=good)
        health = health_from(json.loads(json.dumps(asdict(node.health))))
        assert other.set_health(copy, health, Cause.CHECKS, 2.0) == [change]


def test_what_a_process_has_counted_stays_with_it(table: Table) -> None:
    node = ask(table)
    table.connected(node)
    table.release(node, tx=5, rx=6)
    new = Table()
    copied(table, new)
    copy = new.slots[KEY].members[node.address]
    assert (copy.requests, copy.last_requests, copy.tx, copy.rx, copy.failcnt) == (0, 0, 0, 0, 0)
    assert new.slots[KEY].hits == 0
