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

WHEEL = 16  # places for each node at most; beyond that places are looked for by sums

DICE = Random()  # one for all: its state has 2500 bytes


class PowerOfTwo:
    """``p2c``: the one with fewer running requests for its weight; the first, if equal."""

    __slots__ = ("_nodes", "_random", "_sums", "_warm_at", "_wheel")

    def __init__(self, random: Random | None = None) -> None:
        self._random = (random or DICE).random
        self._nodes: Sequence[Node] = ()
        self._wheel: Sequence[Node] = ()  # every node as often as its weight says
        self._sums: list[int] = []  # of weights, where the wheel would be too large
        self._warm_at = 0.0  # from then on all weights are whole

    def change(self, nodes: Sequence[Node], live: Sequence[Node]) -> None:
        self._nodes = nodes
        self._warm_at = max(node.warm_at for node in nodes)
        weights = [node.weight for node in nodes]
        unit = math.gcd(*weights)
        size = sum(weights) // unit
        self._sums = []
        if size == len(nodes):
            self._wheel = nodes
        elif size <= WHEEL * len(nodes):
            self._wheel = tuple([node for node in nodes for _ in range(node.weight // unit)])
        else:
            self._wheel = ()
            self._sums = list(accumulate(weights))

    def choose(self, asked: Asked) -> Node:
        nodes = self._nodes
        if len(nodes) == 1:
            return nodes[0]
        if wheel := self._wheel:
            size = len(wheel)
            random = self._random
            first, second = wheel[int(random() * size)], wheel[int(random() * size)]
        else:
            first, second = self._draw(), self._draw()
        if second is first:
            second = nodes[nodes.index(first) - 1]  # any other will do; -1 is the last one
        if asked.now < self._warm_at:
            return self._choose_warming(first, second, asked.now)
        return self.better(first, first.weight, second, second.weight, asked.now)

    def _choose_warming(self, first: Node, second: Node, now: float) -> Node:
        if self._random() * first.weight > weight_of(first, now):
            first, second = second, first
        return self.better(first, weight_of(first, now), second, weight_of(second, now), now)

    def better(
        self, first: Node, weight: float, second: Node, second_weight: float, now: float
    ) -> Node:
        """Who of two gets the request."""
        return second if second.reference * weight < first.reference * second_weight else first

    def _draw(self) -> Node:
        return self._nodes[bisect_right(self._sums, self._random() * self._sums[-1])]


class LeastTime(PowerOfTwo):
    """``least-time``: the one whose queue will be done first, by its latency of late.

    A node that was not measured yet is compared by its requests alone.
    """

    __slots__ = ()

    def better(
        self, first: Node, weight: float, second: Node, second_weight: float, now: float
    ) -> Node:
        if first.latency and second.latency:
            one, other = latency_of(first, now), latency_of(second, now)
            if one and other:
                one *= first.reference + 1
                other *= second.reference + 1
                return second if other * weight < one * second_weight else first
        return second if second.reference * weight < first.reference * second_weight else first


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
