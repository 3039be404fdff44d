"""``lrc`` and ``wlrc``, least requests running, as in uWSGI (spec/subscriptions.md section 8).

The first node with the fewest requests wins. Among idle nodes it is the first one, unless the
node behind it is idle too and had no more requests since its last announcement: then that one
wins, or the one behind it, and so on. So idle nodes take turns, from the last to the first.

uWSGI walks along all nodes. Here sets of nodes are kept up to date from request to request, as the
bits of integers, the first node's the lowest: a choice costs the same for one node and for
hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence

from uwgate.subscriptions.balancing.algorithm import Asked, Follower
from uwgate.subscriptions.balancing.slow_start import weight_of
from uwgate.subscriptions.node import Node


class Levels:
    """Nodes of one weight by how many requests they run.

    ``sets[n]`` are those that run ``n``. No set below ``least`` has any.
    """

    __slots__ = ("least", "sets", "weight")

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.sets = [0]
        self.least = 0

    def add(self, bit: int, reference: int) -> None:
        """One more node."""
        missing = reference + 1 - len(self.sets)
        self.sets += [0] * missing
        self.sets[reference] |= bit

    def find(self) -> int:
        """The fewest requests that any of them runs."""
        least = self.least
        while not self.sets[least]:
            least += 1
        self.least = least
        return least


class LeastReferences(Follower):
    """``lrc``: all nodes are equal."""

    __slots__ = ("_groups", "_levels", "_nodes", "_rises")

    def __init__(self) -> None:
        self._nodes: Sequence[Node] = ()
        self._groups: list[Levels] = []
        self._levels: list[Levels] = []  # by the place of a node
        self._rises = 0  # nodes that had more requests than the one before them

    def change(self, nodes: Sequence[Node], live: Sequence[Node]) -> None:
        self._nodes = nodes
        groups: dict[int, Levels] = {}
        self._levels = []
        self._rises = 0
        for place, node in enumerate(nodes):
            weight = self.weight(node)
            levels = groups.get(weight)
            if levels is None:
                levels = groups[weight] = Levels(weight)
            levels.add(1 << place, node.reference)
            self._levels.append(levels)
            node.place = place
            if place:
                self._compare(place)
        self._groups = list(groups.values())

    def weight(self, node: Node) -> int:
        """What a node's requests are divided by."""
        return 1

    def choose(self, asked: Asked) -> Node:
        levels = self._groups[0]
        fewest = levels.find()
        some = levels.sets[fewest]
        if not fewest:
            return self._idle(some)
        return self._nodes[(some & -some).bit_length() - 1]

    def moved(self, node: Node, before: int) -> None:
        place = node.place
        if place >= len(self._nodes) or self._nodes[place] is not node:
            return
        levels = self._levels[place]
        sets = levels.sets
        bit = 1 << place
        now = node.reference
        sets[before] ^= bit
        if now == len(sets):
            sets.append(bit)
        else:
            sets[now] ^= bit
        if now < levels.least:
            levels.least = now

    def counted(self, node: Node) -> None:
        place = node.place
        if place >= len(self._nodes) or self._nodes[place] is not node:
            return
        if place:
            self._compare(place)
        if place + 1 < len(self._nodes):
            self._compare(place + 1)

    def _compare(self, place: int) -> None:
        bit = 1 << place
        if self._nodes[place].last_requests > self._nodes[place - 1].last_requests:
            self._rises |= bit
        elif self._rises & bit:
            self._rises ^= bit

    def _idle(self, idle: int) -> Node:
        """From the first idle node on, the last before one that is busy or had more requests."""
        first = idle & -idle
        # Adding to the lowest of a row of ones turns the row over, and the zero behind it.
        row = idle & ~self._rises | first
        return self._nodes[(row ^ row + first).bit_length() - 2]


class WeightedLeastReferences(LeastReferences):
    """``wlrc``: requests are divided by the weight."""

    __slots__ = ("_warm_at",)

    def __init__(self) -> None:
        super().__init__()
        self._warm_at = 0.0  # from then on all weights are whole

    def change(self, nodes: Sequence[Node], live: Sequence[Node]) -> None:
        super().change(nodes, live)
        self._warm_at = max(node.warm_at for node in nodes)

    def weight(self, node: Node) -> int:
        return node.weight

    def choose(self, asked: Asked) -> Node:
        idle = chosen = 0
        fewest = 0.0
        is_warm = asked.now >= self._warm_at
        for levels in self._groups:
            least = levels.find()
            some = levels.sets[least]
            if not least:
                idle |= some
                continue
            ratio = least / levels.weight
            first = some & -some
            if not chosen or ratio < fewest or (ratio == fewest and first < chosen):
                chosen = first
                fewest = ratio
        if idle:
            return self._idle(idle)
        if not is_warm:
            return self._least(asked.now)
        return self._nodes[chosen.bit_length() - 1]

    def _least(self, now: float) -> Node:
        """The same while weights change with time."""
        return min(self._nodes, key=lambda node: node.reference / weight_of(node, now))
