"""The worked examples of docs/howto/balancing.md are what the algorithms do."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from uwgate.subscriptions.balancing import ALGORITHMS, make
from uwgate.subscriptions.balancing import two_choices as drawing
from uwgate.subscriptions.health import Circuit
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.slot import Slot

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "balancing.md"
EXAMPLES = re.findall(r"^```text example\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
NODE = re.compile(r"(?P<name>\w+)=(?P<weight>\d+)(?:/(?P<ms>\d+)ms)?(?:~(?P<backup>\d+))?")
AFFINITY = b"what everybody asks for"


def parts(example: str) -> tuple[str, str, str, str]:
    """Algorithm, nodes, what is done, and what comes of it."""
    lines = [line.split(": ") for line in example.splitlines()]
    assert [name for name, _ in lines[:2]] == ["algorithm", "nodes"]
    (_, algorithm), (_, nodes), (done, result) = lines
    return algorithm, nodes, done, result


def slot_of(algorithm: str, nodes: str) -> Slot:
    name, made = make(algorithm)
    assert name == algorithm
    slot = Slot("k", name, made, Circuit())
    for match in map(NODE.fullmatch, nodes.split()):
        assert match, nodes
        node = Node(key="k", address=match["name"], weight=int(match["weight"]))
        node.latency = int(match["ms"] or 0) / 1000
        node.backup = int(match["backup"] or 0)
        slot.add(node)
    slot.refresh()
    return slot


def pick(slot: Slot, client: bytes = b"", affinity: bytes = b"", *, ends: bool) -> str:
    node = slot.choose(0.0, client=client, affinity=affinity)
    assert node is not None
    slot.connected(node)
    if ends:
        slot.release(node)
    return node.address


def pairs(text: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (one.rpartition("=") for one in text.split())]


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def check_in_turn(slot: Slot, result: str, _: int) -> None:
    assert [pick(slot, ends=True) for _ in result.split()] == result.split()


def check_at_once(slot: Slot, result: str, _: int) -> None:
    assert [pick(slot, ends=False) for _ in result.split()] == result.split()


def check_running(slot: Slot, result: str, count: int) -> None:
    found = Counter(pick(slot, affinity=AFFINITY, ends=False) for _ in range(count))
    assert found == {name: int(value) for name, value in pairs(result)}


def check_shares(slot: Slot, result: str, count: int) -> None:
    found = Counter(pick(slot, ends=True) for _ in range(count))
    for name, percent in pairs(result):
        assert abs(found[name] / count - int(percent) / 100) < 0.03


def check_clients(slot: Slot, result: str, _: int) -> None:
    found = [(name, pick(slot, client=packed(name), ends=True)) for name, _ in pairs(result)]
    assert found == pairs(result)


def check_affinities(slot: Slot, result: str, _: int) -> None:
    found = [(name, pick(slot, affinity=name.encode(), ends=True)) for name, _ in pairs(result)]
    assert found == pairs(result)


CHECKS: dict[str, Callable[[Slot, str, int], None]] = {
    "in turn": check_in_turn,
    "at once": check_at_once,
    "running of N at once": check_running,
    "shares of N in turn": check_shares,
    "clients": check_clients,
    "affinities": check_affinities,
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_what_happens(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "DICE", Random(7))
    algorithm, nodes, done, result = parts(example)
    numbers = re.findall(r"\d+", done)
    check = CHECKS[re.sub(r"\d+", "N", done)]
    check(slot_of(algorithm, nodes), result, int(numbers[0]) if numbers else 0)


def test_every_algorithm_has_an_example() -> None:
    assert {parts(example)[0] for example in EXAMPLES} == set(ALGORITHMS)
