"""``p2c`` and ``least-time``: two nodes are drawn, the better one gets the request.

Nodes are drawn by weight. Looking at two is nearly as good as looking at all, costs the same
for any number of nodes, and does not send everybody to the one node that just became the best
(M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from uwgate.subscriptions.balancing.algorithm import Asked
from uwgate.subscriptions.balancing.slow_start import weight_of
from uwgate.subscriptions.node import Node

MEMORY = 10.0  # seconds until a measured latency counts for a third

DICE = Random()  # one for all: its state has 2500 bytes


class PowerOfTwo:
    """``p2c``: the one with fewer running requests for its weight; the first, if equal."""

    __slots__ = ("_nodes", "_random", "_sums", "_warm_at")

    def __init__(self, random: Random | None = None) -> None:
        self._random = (random or DICE).random
        self._nodes: Sequence[Node] = ()
        self._sums: list[int] = []
        self._warm_at = 0.0  # from then on all weights are whole

    def change(self, nodes: Sequence[Node], live: Sequence[Node]) -> None:
        self._nodes = nodes
        self._sums = list(accumulate(node.weight for node in nodes))
        self._warm_at = max(node.warm_at for node in nodes)

    def choose(self, asked: Asked) -> Node:
        nodes = self._nodes
        if len(nodes) == 1:
            return nodes[0]
        now = asked.now
        one = self._draw()
        other = self._draw()
        if other == one:
            other = one - 1  # any other will do; -1 is the last one
        first, second = nodes[one], nodes[other]
        if now >= self._warm_at:
            better = self.is_better(second, second.weight, first, first.weight, now)
            return second if better else first
        if self._random() * first.weight > weight_of(first, now):
            first, second = second, first
        better = self.is_better(second, weight_of(second, now), first, weight_of(first, now), now)
        return second if better else first

    def is_better(
        self, node: Node, weight: float, other: Node, other_weight: float, now: float
    ) -> bool:
        """Whether ``node`` gets the request though ``other`` was drawn first."""
        return node.reference * other_weight < other.reference * weight

    def _draw(self) -> int:
        return bisect_right(self._sums, self._random() * self._sums[-1])


class LeastTime(PowerOfTwo):
    """``least-time``: the one whose queue will be done first, by its latency of late.

    A node that was not measured yet is compared by its requests alone.
    """

    __slots__ = ()

    def is_better(
        self, node: Node, weight: float, other: Node, other_weight: float, now: float
    ) -> bool:
        mine, theirs = latency_of(node, now), latency_of(other, now)
        if not mine or not theirs:
            return super().is_better(node, weight, other, other_weight, now)
        mine *= node.reference + 1
        theirs *= other.reference + 1
        return mine * other_weight < theirs * weight


def latency_of(node: Node, now: float) -> float:
    """What is believed of a node's latency; 0 if nothing is known.

    It fades with time: a node that was slow and therefore gets no requests is tried again.
    """
    if not node.latency or now <= node.latency_at:
        return node.latency
    return node.latency * math.exp((node.latency_at - now) / MEMORY)


def measure(node: Node, seconds: float, now: float) -> None:
    """A node has answered after ``seconds``. What is slower than the mean is believed at once."""
    believed = latency_of(node, now)
    if seconds >= believed:
        node.latency = seconds
    else:
        age = math.exp(min(0.0, node.latency_at - now) / MEMORY)
        node.latency = max(1e-9, node.latency * age + seconds * (1.0 - age))
    node.latency_at = now
