"""A fixed list of backends that take turns (``-to``; spec/gateways.md section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uwgate.gateways.corerouter.mapper import Mapper
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.target import Asked, Target
from uwgate.gateways.corerouter.waiting import WaitingRoom, may_wait
from uwgate.subscriptions.health import Circuit, Health

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts


@dataclass(slots=True, eq=False)
class StaticNode:
    """One of them. ``hits`` counts connections, ``reference`` the requests that run there.

    ``failed_at`` is None unless the last connection to it failed. ``health`` is what looks at
    it have shown (looking.py).
    """

    target: Target
    hits: int = 0
    reference: int = 0
    failed_at: float | None = None
    health: Health = field(default_factory=Health)


class Static(Mapper):
    """Strict rotation; who failed is passed over for ``grace`` seconds.

    When everybody has failed of late, the one that failed first is tried, unlike in
    uWSGI: with one backend, its restart would else be an outage of ``grace`` seconds. Who fails
    its checks is not tried at all.
    """

    def __init__(
        self, targets: Sequence[Target], *, grace: float, circuit: Circuit | None = None
    ) -> None:
        self.nodes = [StaticNode(target) for target in targets]
        self._by_target = {node.target: node for node in self.nodes}
        self._grace = grace
        self._circuit = circuit or Circuit()
        self._next = 0
        self.may_wait = may_wait(self._circuit)
        self._room = WaitingRoom[None](self._circuit.pending, self._choose)

    async def prepare(self, attempts: Attempts, limit: float) -> None:
        untried = [
            node
            for node in self.nodes
            if node.target not in attempts.tried and not node.health.fails_checks
        ]
        is_full = not any(self._circuit.has_room(node.reference) for node in untried)
        if untried and (is_full or self._room.has_queue(None)):
            await self._room.wait(None, attempts, limit)

    def choose(self, attempts: Attempts, now: float) -> Target | Outcome:
        if self.may_wait and self._room.has_queue(None):  # others were here before
            return Outcome.FULL
        return self._choose(None, attempts, now)

    def _choose(self, place: None, attempts: Attempts, now: float) -> Target | Outcome:
        nodes = self.nodes
        tried = attempts.tried
        count = len(nodes)
        is_full = False
        for step in range(count):
            at = (self._next + step) % count
            node = nodes[at]
            if node.health.fails_checks or node.target in tried:
                continue
            if node.failed_at is not None and self._is_out(node, now):
                continue
            if not self._circuit.has_room(node.reference):
                is_full = True
                continue
            self._next = (at + 1) % count
            node.reference += 1
            return node.target
        if is_full:
            return Outcome.FULL
        if tried:
            return Outcome.EXHAUSTED
        well = [node for node in nodes if not node.health.fails_checks]
        if not well:
            return Outcome.EXHAUSTED
        first = min(well, key=lambda node: node.failed_at or 0.0)
        if not self._circuit.has_room(first.reference):
            return Outcome.FULL
        first.reference += 1
        return first.target

    def has_other(self, attempts: Attempts, now: float) -> bool:
        return any(
            node.target not in attempts.tried
            and not node.health.fails_checks
            and not self._is_out(node, now)
            and self._circuit.has_room(node.reference)
            for node in self.nodes
        )

    def connected(self, target: Target, now: float) -> None:
        node = self._by_target[target]
        node.hits += 1
        node.failed_at = None

    def failed(self, target: Target, now: float) -> None:
        self._by_target[target].failed_at = now

    def release(self, target: Target, now: float, tx: int, rx: int) -> None:
        self._by_target[target].reference -= 1
        if self.may_wait:
            self._room.serve(None, now)

    def returns_at(self, asked: Asked, now: float) -> float | None:
        return now  # somebody is tried in any case

    def _is_out(self, node: StaticNode, now: float) -> bool:
        return node.failed_at is not None and now < node.failed_at + self._grace
