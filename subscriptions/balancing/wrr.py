"""``wrr``, weighted round robin, node by node as in uWSGI (spec/subscriptions.md section 8.1).

A cycle gives every node its weight divided by the smallest weight, rounded down. The last
node has the first turn of a cycle, then the nodes follow in order, each with all that is left of
its share.
"""

from __future__ import annotations

from collections.abc import Sequence

from uwgate.subscriptions.balancing.algorithm import Asked
from uwgate.subscriptions.balancing.slow_start import weight_of
from uwgate.subscriptions.node import Node

EXACT = 1e-9  # a share of 3 may come out of a division as 2.9999999999


class WeightedRoundRobin:
    """Shares are kept in the nodes, so they survive when others come and go."""

    __slots__ = ("_at", "_live", "_nodes")

    def __init__(self) -> None:
        self._nodes: Sequence[Node] = ()
        self._live: Sequence[Node] = ()
        self._at = 0  # no node before this one has anything left of its share

    def change(self, nodes: Sequence[Node], live: Sequence[Node]) -> None:
        self._nodes = nodes
        self._live = live
        self._at = 0

    def choose(self, asked: Asked) -> Node:
        nodes = self._nodes
        for at in range(self._at, len(nodes)):
            node = nodes[at]
            if node.wrr > 0:
                node.wrr -= 1
                self._at = at
                return node
        # In uWSGI 2.1 the nodes of every backup level have a part in this (section 13).
        weights = [weight_of(node, asked.now) for node in self._live]
        smallest = min(weights)
        for node, weight in zip(self._live, weights, strict=True):
            node.wrr = int(weight / smallest + EXACT)
        self._at = 0
        last = nodes[-1]
        last.wrr -= 1
        return last
