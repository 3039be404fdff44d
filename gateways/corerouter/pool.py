"""Backends that announced themselves (``-subscription-server``)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from uwgate.gateways.corerouter.derived import address_of
from uwgate.gateways.corerouter.mapper import Mapper
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.target import Asked, Target
from uwgate.gateways.corerouter.waiting import WaitingRoom, may_wait
from uwgate.subscriptions.balancing.sticky import StickyCookies
from uwgate.subscriptions.change import Change
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.slot import Slot
from uwgate.subscriptions.table import Table

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts

LOOKS_AT_CLIENT = frozenset(("iphash", "chash"))  # algorithms


class Pool(Mapper):
    """The nodes of a table.

    ``tell`` gets what requests have changed in the table. ``sticky`` reads the cookies that
    name a node.
    """

    def __init__(
        self,
        table: Table,
        *,
        tell: Callable[[Sequence[Change]], None],
        sticky: StickyCookies | None = None,
        speaks_http: bool = False,
    ) -> None:
        self.table = table
        self.sticky = sticky
        self._tell = tell
        self._speaks_http = speaks_http
        self.may_wait = may_wait(table.options.circuit)
        # What a node said of itself when it was chosen, and what that means.
        self._targets: dict[Node, tuple[tuple[str, int, int, str], Target]] = {}
        self._room = WaitingRoom[Slot](table.options.circuit.pending, self._choose_in)

    # Choosing

    def choose(self, attempts: Attempts, now: float) -> Target | Outcome:
        asked = attempts.asked
        slot = self.table.find(asked.key, asked.path)
        if slot is None:
            return Outcome.EXHAUSTED if attempts.tried else Outcome.NOBODY
        if self.may_wait and self._room.has_queue(slot):  # others were here before
            return Outcome.FULL
        return self._choose_in(slot, attempts, now)

    def _choose_in(self, slot: Slot, attempts: Attempts, now: float) -> Target | Outcome:
        asked = attempts.asked
        tried = _nodes_of(attempts)
        wanted = None
        if asked.sticky and self.sticky is not None and not tried:
            wanted = self.sticky.find(asked.sticky, slot.live)
        client = packed(asked.client) if slot.algo in LOOKS_AT_CLIENT else b""
        while True:
            node = slot.choose(
                now, client=client, affinity=asked.affinity, wanted=wanted, tried=tried
            )
            if node is None:
                has_other = any(node not in tried for node in slot.live)
                return Outcome.FULL if has_other else Outcome.EXHAUSTED
            target = self._target(node)
            if target is not None:
                return target
            # Whoever announced that must not cost anybody else a request.
            tried.append(node)
            self._tell([*self.table.unreachable(node, now), *self.table.release(node)])
            if node.slot is not slot or not slot.nodes:
                return Outcome.EXHAUSTED

    def _target(self, node: Node) -> Target | None:
        """How a node is reached; None if its address is none."""
        known = self._targets.get(node)
        said = (node.address, node.modifier1, node.modifier2, node.proto)
        if known is not None and known[0] == said:
            return known[1]
        address = address_of(node.address)
        if address is None:
            return None
        speaks_http = self._speaks_http or node.proto == "h"
        target = Target(address, node.modifier1, node.modifier2, speaks_http, node)
        if len(self._targets) > 2 * self.table.node_count:  # most of them are gone
            self._targets.clear()
        self._targets[node] = (said, target)
        return target

    def has_other(self, attempts: Attempts, now: float) -> bool:
        asked = attempts.asked
        slot = self.table.find(asked.key, asked.path)
        tried = _nodes_of(attempts)
        return slot is not None and any(
            node not in tried and slot.circuit.has_room(node.reference) for node in slot.live
        )

    async def prepare(self, attempts: Attempts, limit: float) -> None:
        asked = attempts.asked
        slot = self.table.find(asked.key, asked.path)
        if slot is not None and (self._room.has_queue(slot) or not self._has_room(slot, attempts)):
            await self._room.wait(slot, attempts, limit)

    def _has_room(self, slot: Slot, attempts: Attempts) -> bool:
        """Whether somebody has room, or everybody was tried and waiting would not help."""
        untried = [node for node in slot.live if node not in _nodes_of(attempts)]
        return not untried or any(slot.circuit.has_room(node.reference) for node in untried)

    def changed(self, now: float) -> None:
        """Nodes have come or gone, or are back."""
        self._room.serve_all(now)

    # What became of it

    def connected(self, target: Target, now: float) -> None:
        self.table.connected(_node(target))

    def failed(self, target: Target, now: float) -> None:
        node = _node(target)
        slot = node.slot
        self._tell(self.table.unreachable(node, now))
        if slot is not None:
            self._room.serve(slot, now)

    def answered(self, target: Target, now: float, seconds: float) -> None:
        self.table.answered(_node(target), now, seconds)

    def answered_badly(self, target: Target, now: float) -> None:
        self._tell(self.table.answered_badly(_node(target), now))

    def is_suspect(self, target: Target) -> bool:
        health = _node(target).health
        return health.row > 0 or health.trial

    def release(self, target: Target, now: float, tx: int, rx: int) -> None:
        node = _node(target)
        slot = node.slot
        changes = self.table.release(node, tx=tx, rx=rx)
        if changes:
            self._tell(changes)
        if self.may_wait and slot is not None:
            self._room.serve(slot, now)

    def returns_at(self, asked: Asked, now: float) -> float | None:
        slots = self.table.slots
        times = [
            node.health.out_until
            for key in self.table.options.lookup.candidates(asked.key, asked.path)
            if key in slots
            for node in slots[key].members.values()
            if node.health.out_until is not None and not node.death_mark
        ]
        return min(times, default=None)


def packed(client: bytes) -> bytes:
    """An IP address in its 4 or 16 bytes; nothing for what is none."""
    try:
        if b":" in client:
            return socket.inet_pton(socket.AF_INET6, client.partition(b"%")[0].decode())
        return socket.inet_pton(socket.AF_INET, client.decode())
    except (OSError, ValueError):
        return b""


def _node(target: Target) -> Node:
    assert target.node is not None
    return target.node


def _nodes_of(attempts: Attempts) -> list[Node]:
    return [target.node for target in attempts.tried if target.node is not None]
