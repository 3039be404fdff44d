"""Passing announcements on to another server (spec/subscriptions.md section 11), without loops.

uWSGI passes every datagram on, so two gateways that resubscribe to each other announce a name
to each other for ever, and one node's unsubscribe takes the whole gateway out. We announce a key
while it has live nodes of its own, with the sum of their weights, and write into ``via`` who
passed it on. A uWSGI on the way drops ``via``; then only our own address tells that an announcement
is ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import MAX_BACKUP, MAX_WEIGHT, Command, Packet
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.slot import Slot

MAX_HOPS = 8
IDENTITY = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class Resubscription:
    """What one gateway passes on. ``identity`` is its name in ``via``; ``addresses`` are those
    at which it takes requests, the first is what it announces.

    Raises:
        ValueError: the identity is not 1 to 64 of ``[A-Za-z0-9._-]``.
    """

    def __init__(self, identity: str, addresses: Collection[str]) -> None:
        if not IDENTITY.fullmatch(identity):
            raise ValueError(f"identity {identity!r}: expected 1 to 64 of A-Z a-z 0-9 . _ -")
        self.identity = identity
        self.addresses = tuple(addresses)

    def check(self, packet: Packet) -> None:
        """See that an announcement did not start here.

        Raises:
            Refused: LOOP, it did, or too many gateways have passed it on.
        """
        hops = packet.via.split(",") if packet.via else []
        if self.identity in hops:
            raise Refused(Refusal.LOOP, f"{packet.key}: came back by way of {packet.via}")
        if len(hops) > MAX_HOPS:
            raise Refused(
                Refusal.LOOP, f"{packet.key}: passed on {len(hops)} times, limit {MAX_HOPS}"
            )
        if packet.address in self.addresses:
            raise Refused(Refusal.LOOP, f"{packet.key}: {packet.address} is our own address")

    def subscribe(self, slot: Slot) -> Packet | None:
        """What to announce for a slot; None if it has no live node, or too many hops.

        Only its nearest nodes count: two gateways that tell each other about the nodes that
        they heard of first would refuse all that the other says.
        """
        if not slot.nodes:
            return None
        fewest = min(_distance(node) for node in slot.nodes)
        nodes = [node for node in slot.nodes if _distance(node) == fewest]
        hops = sorted({hop for node in nodes for hop in node.via.split(",") if hop})
        if len(hops) >= MAX_HOPS:
            return None
        return Packet(
            key=slot.key,
            address=self.addresses[0],
            cores=sum(node.cores for node in nodes),
            load=sum(node.load for node in nodes),
            weight=min(MAX_WEIGHT, sum(node.weight for node in nodes)),
            backup=min(MAX_BACKUP, nodes[0].backup),
            via=",".join([*hops, self.identity]),
        )

    def unsubscribe(self, key: str) -> Packet:
        """What to say when a slot has no live node any more."""
        return Packet(
            command=Command.UNSUBSCRIBE, key=key, address=self.addresses[0], via=self.identity
        )


def _distance(node: Node) -> int:
    """How many gateways have passed its announcement on."""
    return node.via.count(",") + 1 if node.via else 0
