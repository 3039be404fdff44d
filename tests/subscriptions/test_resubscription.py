"""Passing announcements on (subscriptions/resubscription.py)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.resubscription import MAX_HOPS, Resubscription
from uwgate.subscriptions.table import Table

NODE = Packet(key="k", address="10.0.0.1:99", cores=4, load=1, weight=2)


class Gateway:
    """A table that passes on what it hears."""

    def __init__(self, name: str) -> None:
        self.passing = Resubscription(name, [f"{name}:80", f"{name}:443"])
        self.table = Table()

    def hear(self, packet: Packet | None) -> bool:
        """Whether it follows an announcement."""
        if packet is None:
            return False
        try:
            self.passing.check(packet)
        except Refused as refused:
            if refused.reason is Refusal.LOOP:
                return False
            raise
        self.table.follow(packet, 0.0)
        return True

    def say(self) -> Packet | None:
        slot = self.table.slots.get("k")
        return self.passing.subscribe(slot) if slot else None


def test_a_gateway_announces_the_sum_of_its_nodes_under_its_own_address() -> None:
    gate = Gateway("gate")
    gate.hear(NODE)
    gate.hear(replace(NODE, address="10.0.0.2:99", weight=0))
    assert gate.say() == Packet(key="k", address="gate:80", cores=8, load=2, weight=3, via="gate")


def test_it_says_nothing_when_no_node_is_live() -> None:
    gate = Gateway("gate")
    gate.hear(NODE)
    gate.table.unreachable(gate.table.slots["k"].members["10.0.0.1:99"], 1.0)
    assert gate.say() is None


def test_it_unsubscribes_itself() -> None:
    packet = Gateway("gate").passing.unsubscribe("k")
    assert (packet.command, packet.key, packet.address) == (Command.UNSUBSCRIBE, "k", "gate:80")


def test_two_gateways_that_pass_on_to_each_other_do_not_loop() -> None:
    one, two = Gateway("one"), Gateway("two")
    one.hear(NODE)
    assert two.hear(one.say())
    assert not one.hear(two.say())


def test_two_gateways_with_nodes_of_their_own_hear_of_each_other() -> None:
    one, two = Gateway("one"), Gateway("two")
    one.hear(NODE)
    two.hear(replace(NODE, address="10.0.0.2:99"))
    assert two.hear(one.say())
    assert one.hear(two.say())
    assert two.hear(one.say())


def test_a_circle_of_gateways_forgets_a_node_that_went() -> None:
    gates = [Gateway(f"g{number}") for number in range(4)]
    gates[0].hear(NODE)
    for before, after in pairwise(gates):
        assert after.hear(before.say())
    assert not gates[0].hear(gates[-1].say())
    gates[0].table.follow(replace(NODE, command=Command.UNSUBSCRIBE), 0.0)
    assert gates[0].say() is None


def test_an_announcement_of_our_own_address_is_a_loop() -> None:
    assert not Gateway("gate").hear(replace(NODE, address="gate:443"))


def test_a_chain_of_gateways_has_an_end() -> None:
    chain = [Gateway(f"g{number}") for number in range(MAX_HOPS + 2)]
    chain[0].hear(NODE)
    heard = [after.hear(before.say()) for before, after in pairwise(chain)]
    assert heard == [True] * MAX_HOPS + [False]
    assert not Gateway("x").hear(replace(NODE, via=",".join("abcdefghi")))


@pytest.mark.parametrize("identity", ["", "a,b", "a b", "x" * 65, "é"])
def test_an_identity_has_to_fit_into_a_list(identity: str) -> None:
    with pytest.raises(ValueError, match="identity"):
        Resubscription(identity, ["a:1"])
