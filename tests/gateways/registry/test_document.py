"""Figures of processes, their sum, and the document made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.registry.document import Moment, Subject, fields_of, text_of
from uwgate.gateways.registry.figures import ProcessFigures, StaticFigures, rows_of
from uwgate.gateways.registry.ledger import MAX_ENDED, Account, Ledger
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.table import Table

KEY = "foo.com"
ADDRESS = "10.0.0.1:99"
PACKET = Packet(key=KEY, address=ADDRESS, cores=2, weight=3)
GONE = Packet(key=KEY, address=ADDRESS, command=Command.UNSUBSCRIBE)
SUBJECT = Subject(kind="http", version="1", cwd="/", addresses=[":80", ":3031"], static=["b:1"])
OWN = ProcessFigures(pid=9)
EPOCH = 1_000_000.0


def table() -> Table:
    one = Table()
    one.follow(PACKET, 5.0)
    return one


def ask(of: Table, *, tx: int = 0, rx: int = 0, seconds: float = 0.0, runs: bool = False) -> Node:
    """A request, which ends unless it ``runs``."""
    slot = of.find(KEY)
    assert slot is not None
    node = slot.choose(5.0)
    assert node is not None
    of.connected(node)
    if seconds:
        of.answered(node, 5.0, seconds)
    if not runs:
        of.release(node, tx=tx, rx=rx)
    return node


def said(process: ProcessFigures, of: Table | None = None) -> Account:
    """What the registry gets to know, over the wire."""
    account = Account()
    for row in rows_of(process, of, EPOCH):
        account.take(json.loads(json.dumps(row)))
    return account


def shown(registry: Table | None, ledger: Ledger, **more: Any) -> dict[str, Any]:
    moment = Moment(
        own=OWN,
        processes=ledger.processes,
        silent=[2],
        ledger=ledger,
        table=registry,
        epoch=EPOCH,
        **more,
    )
    found: dict[str, Any] = json.loads("".join(text_of(fields_of(SUBJECT, moment), minified=True)))
    return found


def node_of(document: dict[str, Any]) -> dict[str, Any]:
    ((node,),) = [slot["nodes"] for slot in document["subscriptions"]]
    assert isinstance(node, dict)
    return node


def test_what_processes_have_counted_is_added_up() -> None:
    ledger = Ledger()
    for pid in (1, 2):
        gateway = table()
        ask(gateway, tx=10, rx=20, seconds=0.25)
        ask(gateway, runs=True)
        process = ProcessFigures(
            pid=pid,
            active_sessions=3,
            retries_spent=1,
            answers={"2xx": 5},
            refused={"answer-503": pid},
            static={"b:1": StaticFigures(hits=2, failed_at=pid)},
        )
        ledger.put(said(process, gateway))
    document = shown(table(), ledger)
    assert document["active_sessions"] == 6
    assert document["pid"] == 1
    assert document["processes"] == [
        {"pid": 1, "active_sessions": 3, "silent": 0},
        {"pid": 2, "active_sessions": 3, "silent": 1},
    ]
    assert document["answers"] == {"2xx": 10}
    assert document["requests_refused"] == {"answer-503": 3}
    assert document["retries"] == {"spent": 2, "refused": 0}
    assert document["static_nodes"] == [{"name": "b:1", "hits": 4, "grace": 2}]
    assert document["subscriptions"][0]["hits"] == 4
    node = node_of(document)
    assert (node["requests"], node["tx"], node["rx"], node["ref"]) == (4, 20, 40, 2)
    assert (node["last_check"], node["weight"], node["latency"]) == (1_000_005, 3, 250_000)


def test_the_latency_of_a_node_is_the_mean_of_all_its_requests() -> None:
    ledger = Ledger()
    often, once = table(), table()
    for _ in range(3):
        ask(often, seconds=0.1)
    ask(once, seconds=0.5)
    ledger.put(said(ProcessFigures(pid=1), often))
    ledger.put(said(ProcessFigures(pid=2), once))
    assert node_of(shown(table(), ledger))["latency"] == 200_000


def test_what_a_dead_process_said_last_stays_but_for_what_it_had_open() -> None:
    ledger = Ledger()
    gateway = table()
    ask(gateway, tx=1)
    ask(gateway, runs=True)
    static = {"b:1": StaticFigures(hits=2, failed_at=7)}
    process = ProcessFigures(pid=1, active_sessions=3, answers={"2xx": 5}, static=static)
    name = ledger.put(said(process, gateway))
    ledger.close(name)
    document = shown(table(), ledger)
    assert document["active_sessions"] == 0
    assert document["processes"] == []
    assert document["pid"] == OWN.pid
    assert document["answers"] == {"2xx": 5}
    assert document["static_nodes"] == [{"name": "b:1", "hits": 2, "grace": 0}]
    node = node_of(document)
    assert (node["requests"], node["tx"], node["ref"]) == (2, 1, 0)
    ledger.close(name)
    assert shown(table(), ledger) == document


def test_a_process_that_was_only_disconnected_goes_on_with_its_account() -> None:
    ledger = Ledger()
    process = ProcessFigures(pid=1, born=5.0, answers={"2xx": 3})
    ledger.close(ledger.put(said(process)))
    ledger.put(said(process))
    assert shown(None, ledger)["answers"] == {"2xx": 3}
    ledger.put(said(ProcessFigures(pid=1, born=6.0, answers={"2xx": 1})))  # that pid once more
    assert shown(None, ledger)["answers"] == {"2xx": 4}


def test_thousands_of_dead_processes_are_few_accounts() -> None:
    ledger = Ledger()
    for pid in range(1000):
        ledger.close(ledger.put(said(ProcessFigures(pid=pid, answers={"2xx": 1}))))
    assert shown(None, ledger)["answers"] == {"2xx": 1000}
    assert len(ledger._ended) == MAX_ENDED


def test_a_ledger_goes_on_in_the_next_registry() -> None:
    old, new = Ledger(), Ledger()
    gateway = table()
    ask(gateway, tx=10, seconds=0.5)
    ask(gateway, runs=True)
    for pid in range(2 * MAX_ENDED):
        old.close(old.put(said(ProcessFigures(pid=pid, answers={"2xx": 1}), gateway)))
    lives = said(ProcessFigures(pid=99, born=1.0, answers={"2xx": 5}, active_sessions=3), gateway)
    old.put(lives)
    for row in old.hand_over():
        new.take_over(json.loads(json.dumps(row)))
    document = shown(table(), new)
    assert document["answers"] == {"2xx": 2 * MAX_ENDED + 5}
    assert (document["active_sessions"], node_of(document)["ref"]) == (0, 0)
    count = 2 * MAX_ENDED + 1
    node = node_of(document)
    assert (node["requests"], node["tx"], node["latency"]) == (2 * count, 10 * count, 500_000)
    assert document["subscriptions"][0]["hits"] == 2 * count
    new.put(lives)  # it has come over
    assert shown(table(), new)["answers"] == document["answers"]


def test_a_row_of_no_account_is_refused() -> None:
    with pytest.raises(ValueError, match="damaged"):
        Ledger().take_over({"key": KEY, "hits": 1, "nodes": {}, "leaving": []})


def test_what_a_process_says_replaces_what_it_said_before() -> None:
    ledger = Ledger()
    for count in (1, 2):
        ledger.put(said(ProcessFigures(answers={"2xx": count})))
    assert shown(None, ledger)["answers"] == {"2xx": 2}


def test_the_figures_of_a_node_that_went_do_not_come_back_with_it() -> None:
    ledger = Ledger()
    gateway = table()
    ask(gateway)
    ledger.close(ledger.put(said(ProcessFigures(), gateway)))
    ledger.forget(KEY, ADDRESS)
    ledger.forget_key(KEY)
    document = shown(table(), ledger)
    assert node_of(document)["requests"] == 0
    assert document["subscriptions"][0]["hits"] == 0


@pytest.mark.parametrize("others", [0, 1])
def test_a_node_that_left_is_shown_while_requests_run_there(others: int) -> None:
    registry, gateway = table(), table()
    node = ask(gateway, runs=True)
    for one in (registry, gateway):
        for number in range(others):
            one.follow(Packet(key=KEY, address=f"other:{number + 1}"), 6.0)
        one.follow(GONE, 6.0)
    ledger = Ledger()
    ledger.put(said(ProcessFigures(), gateway))
    (slot,) = shown(registry, ledger)["subscriptions"]
    assert (slot["key"], slot["hash"], slot["hits"]) == (KEY, 11571, 1)
    assert len(slot["nodes"]) == others + 1
    leaving = slot["nodes"][-1]
    assert (leaving["name"], leaving["death_mark"], leaving["ref"]) == (ADDRESS, 1, 1)
    gateway.release(node)
    ledger.put(said(ProcessFigures(), gateway))
    rest = shown(registry, ledger)["subscriptions"]
    assert [len(slot["nodes"]) for slot in rest] == ([1] if others else [])


def test_thousands_of_nodes_go_over_in_rows_of_a_bounded_size() -> None:
    gateway = Table()
    for number in range(1000):
        gateway.follow(Packet(key=KEY, address=f"10.0.0.1:{number + 1}"), 0.0)
    for _ in range(1000):
        ask(gateway)
    rows = list(rows_of(ProcessFigures(), gateway, EPOCH))
    assert max(len(json.dumps(row)) for row in rows) < 10_000
    account = said(ProcessFigures(), gateway)
    assert sum(node.requests for node in account.nodes.values()) == 1000
    assert account.hits == {KEY: 1000}


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"key": KEY},
        {"key": KEY, "hits": 1, "nodes": {"a": [1, 2]}, "leaving": []},
        {"key": KEY, "hits": 1, "nodes": [], "leaving": []},
        {"key": KEY, "hits": None, "nodes": {}, "leaving": []},
        {"key": KEY, "hits": 1, "nodes": {}, "leaving": [{}]},
        {"process": 1},
        {"process": {"static": {"a": 1}}},
    ],
)
def test_damaged_rows_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="damaged"):
        Account().take(row)


def test_what_a_newer_process_says_besides_is_passed_over() -> None:
    account = Account()
    account.take({"process": {"pid": 3, "invented": 1}})
    assert account.process.pid == 3


# The text


values = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.text(), values), unique_by=lambda one: one[0], min_size=1))
def test_the_text_is_that_of_json_with_tabs_or_without(fields: list[tuple[str, Any]]) -> None:
    def lazily() -> list[tuple[str, Any]]:
        return [(name, iter(one) if isinstance(one, list) else one) for name, one in fields]

    compact = json.dumps(dict(fields), separators=(",", ":"))
    assert "".join(text_of(lazily(), minified=True)) == compact
    indented = json.dumps(dict(fields), separators=(",", ":"), indent="\t")
    assert "".join(text_of(lazily(), minified=False)) == indented


def test_a_key_with_quotes_does_not_break_the_document() -> None:
    registry = Table()
    registry.follow(Packet(key='a"b\\c', address=ADDRESS), 0.0)
    assert shown(registry, Ledger())["subscriptions"][0]["key"] == 'a"b\\c'


def test_the_first_fields_are_those_of_uwsgi_in_its_order() -> None:
    document = shown(table(), Ledger())
    assert list(document)[:10] == [
        "version",
        "pid",
        "uid",
        "gid",
        "cwd",
        "active_sessions",
        "http",
        "static_nodes",
        "subscriptions",
        "cheap",
    ]
    assert document["http"] == [":80", ":3031"]


def test_without_subscription_servers_there_are_no_subscriptions() -> None:
    assert "subscriptions" not in shown(None, Ledger())
