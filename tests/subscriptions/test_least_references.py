"""``lrc`` and ``wlrc`` keep sets of nodes; they choose what a walk along all nodes would find,
whatever happens to the nodes between two requests (subscriptions/balancing/lrc.py)."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.slot import Slot
from uwgate.subscriptions.table import Table, TableOptions

from .conftest import make_slot

NAMES = "ABCDEFGHIJ"


def walk(slot: Slot, *, weighted: bool) -> Node:
    """The definition (spec/subscriptions.md section 8.2), one node after the other."""
    chosen: Node | None = None
    for node, following in zip(slot.nodes, (*slot.nodes[1:], None), strict=True):
        if chosen is None or chosen.reference == 0 or load(node, weighted) < load(chosen, weighted):
            chosen = node
            if node.reference == 0 and (
                following is None
                or load(following, weighted) > load(node, weighted)
                or following.last_requests > node.last_requests
            ):
                break
    assert chosen is not None
    return chosen


def load(node: Node, weighted: bool) -> float:
    return node.reference / node.weight if weighted else node.reference


STEPS = ["ask", "ask", "ask", "cookie", "end", "end", "hear", "weigh", "back", "out", "level"]


@pytest.mark.parametrize("name", ["lrc", "wlrc"])
@given(seed=st.integers(), count=st.integers(1, 7))
def test_the_node_is_the_one_that_a_walk_along_all_would_find(
    name: str, seed: int, count: int
) -> None:
    dice = Random(seed)
    slot = make_slot(name, None, **{NAMES[at]: dice.randint(1, 3) for at in range(count)})
    members = list(slot.members.values())
    running: list[Node] = []
    for _ in range(80):
        node = dice.choice(members)
        match dice.choice(STEPS):
            case "ask" if slot.nodes:
                expected = walk(slot, weighted=name == "wlrc")
                assert slot.choose(0.0) is expected
                slot.connected(expected)
                running.append(expected)
            case "cookie" if node.is_live:
                assert slot.choose(0.0, wanted=node) is node
                running.append(node)
            case "end" if running:
                slot.release(running.pop(dice.randrange(len(running))))
            case "hear":
                slot.announced(node)
            case "weigh":
                node.weight = dice.randint(1, 3)
                slot.refresh()
            case "back":
                node.health.out_until = None
                slot.refresh()
            case "out":
                node.health.out_until = 9.0
                slot.refresh()
            case "level":
                node.backup = dice.randint(0, 1)
                slot.refresh()
            case _:
                pass


def test_a_thousand_nodes_are_no_harder_than_one() -> None:
    slot = make_slot("lrc", None, **{f"n{number}": 1 for number in range(1000)})
    chosen = [slot.choose(0.0) for _ in range(1000)]
    assert len(set(map(id, chosen))) == 1000  # every one has its turn before any has another
    assert {node.reference for node in slot.nodes} == {1}


WHAT_HAPPENS = ["ask", "ask", "ask", "ask", "end", "end", "say", "leave", "fail", "time"]


@pytest.mark.parametrize("name", ["lrc", "wlrc"])
@given(seed=st.integers())
def test_nodes_may_come_and_go_while_requests_run(name: str, seed: int) -> None:
    dice = Random(seed)
    table = Table(TableOptions(algo=name, tolerance=20.0))
    running: list[Node] = []
    now = 0.0
    for _ in range(120):
        packet = Packet(key="k", address=dice.choice(NAMES), weight=dice.randint(1, 3))
        slot = table.find("k")
        match dice.choice(WHAT_HAPPENS):
            case "ask" if slot is not None:
                expected = walk(slot, weighted=name == "wlrc")
                assert slot.choose(now) is expected
                table.connected(expected)
                running.append(expected)
            case "end" if running:
                table.release(running.pop(dice.randrange(len(running))))
            case "say":
                table.follow(packet, now)
            case "leave":
                table.follow(
                    Packet(command=Command.UNSUBSCRIBE, key="k", address=packet.address), now
                )
            case "fail" if running:
                table.unreachable(dice.choice(running), now)
            case "time":
                now += dice.uniform(0.0, 6.0)
                table.advance(now)
            case _:
                pass
    for node in running:
        table.release(node)
    assert all(node.reference == 0 for one in table.slots.values() for node in one.members.values())
