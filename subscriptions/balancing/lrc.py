"""``lrc`` and ``wlrc``, least requests running, as in uWSGI (spec/subscriptions.md section 8).

The first node with the fewest requests wins. An idle node ends the search, unless the node
behind it is idle too and had no more requests since its last announcement: then that one wins,
so that idle nodes take turns, from the last to the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from uwgate.subscriptions.balancing.algorithm import Asked
from uwgate.subscriptions.balancing.slow_start import weight_of
from uwgate.subscriptions.node import Node


class LeastReferences:
    """``lrc``: all nodes are equal."""

    __slots__ = ("_nodes",)

    def __init__(self) -> None:
        self._nodes: Sequence[Node] = ()

    def change(self, nodes: Sequence[Node], live: Sequence[Node]) -> None:
        self._nodes = nodes

    def choose(self, asked: Asked) -> Node:
        nodes = self._nodes
        chosen = nodes[0]
        fewest = 0
        for at, node in enumerate(nodes):
            reference = node.reference
            if reference == 0:
                return self._idle(at)
            if fewest == 0 or reference < fewest:
                chosen = node
                fewest = reference
        return chosen

    def _idle(self, at: int) -> Node:
        """From this idle node on, the last before one that is busy or had more requests."""
        nodes = self._nodes
        node = nodes[at]
        for following in islice(nodes, at + 1, None):
            if following.reference or following.last_requests > node.last_requests:
                break
            node = following
        return node


class WeightedLeastReferences(LeastReferences):
    """``wlrc``: requests are divided by the weight."""

    __slots__ = ()

    def choose(self, asked: Asked) -> Node:
        now = asked.now
        nodes = self._nodes
        chosen = nodes[0]
        fewest = 0.0
        for at, node in enumerate(nodes):
            if node.reference == 0:
                return self._idle(at)
            ratio = node.reference / weight_of(node, now)
            if fewest == 0.0 or ratio < fewest:
                chosen = node
                fewest = ratio
        return chosen
