"""When something is due: nodes whose announcements may have stopped, and those that come back."""

from __future__ import annotations

import heapq
from itertools import count

from uwgate.subscriptions.node import Node


class Calendar:
    """Of all nodes of a table, those that are next. Times are of the table's clock."""

    def __init__(self) -> None:
        # Every refresh moves a node to the end, so whoever is due stands in front.
        self._active: dict[Node, None] = {}
        self._inactive: dict[Node, None] = {}  # without an address
        self._returns: list[tuple[float, int, Node]] = []
        self._order = count()

    def heard_of(self, node: Node) -> None:
        """It was announced just now: of its kind it is the last one to expire."""
        self.forget(node)
        (self._active if node.address else self._inactive)[node] = None

    def forget(self, node: Node) -> None:
        """It does not expire any more."""
        self._active.pop(node, None)
        self._inactive.pop(node, None)

    def is_out(self, node: Node) -> None:
        """It may have been put out for a while."""
        if node.health.out_until is not None:
            heapq.heappush(self._returns, (node.health.out_until, next(self._order), node))

    def settle(self) -> None:
        """Put nodes that did not come in the order of their announcements in that order."""
        self._active = dict.fromkeys(sorted(self._active, key=_last_check))
        self._inactive = dict.fromkeys(sorted(self._inactive, key=_last_check))

    def next_silent(self, now: float, tolerance: float, tolerance_inactive: float) -> Node | None:
        """A node that was not announced for longer than these seconds (0: for ever).

        The same again until ``forget``.
        """
        for nodes, limit in (self._active, tolerance), (self._inactive, tolerance_inactive):
            if nodes and limit:
                node = next(iter(nodes))
                if now - node.last_check > limit:
                    return node
        return None

    def next_return(self, now: float) -> Node | None:
        """A node whose period may be over; another one each time."""
        if not self._returns or self._returns[0][0] > now:
            return None
        return heapq.heappop(self._returns)[2]


def _last_check(node: Node) -> float:
    return node.last_check
