"""``chash``: what belongs together stays together, and no node gets more than it can bear.

Every node has points on a ring, in proportion to its weight; a request goes to the first point
behind the hash of its affinity. A node that comes or goes moves only its own share. A node
that would run more than ``FREE`` requests and ``BOUND`` times its part of all passes them on along
the ring (V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018).
"""

from __future__ import annotations

import hashlib
import math
import struct
from array import array
from bisect import bisect_right
from collections.abc import Sequence

from uwgate.subscriptions.balancing.algorithm import Asked
from uwgate.subscriptions.node import Node

POINTS = 64  # of a node of average weight; its share is then right within an eighth
MOST_POINTS = 1024  # of one node, whatever its weight
BOUND = 1.25
FREE = 4  # requests that a node may always run: with few under way the bound would say 1
POINTS_OF_A_DIGEST = 8
POINT_BYTES = 8
DIGEST = struct.Struct(">8Q")  # the 64 bytes of a digest


class ConsistentHash:
    """The ring of one key; it is made when the first request needs it."""

    __slots__ = ("_hashes", "_made", "_nodes", "_owners", "_weight")

    def __init__(self) -> None:
        self._nodes: Sequence[Node] = ()
        self._weight = 0
        self._hashes = array("Q")
        self._owners = array("L")
        self._made = False

    def change(self, nodes: Sequence[Node], live: Sequence[Node]) -> None:
        self._nodes = nodes
        self._weight = sum(node.weight for node in nodes)
        self._made = False

    def choose(self, asked: Asked) -> Node:
        if not self._made:
            self._make()
        affinity = asked.affinity or asked.client
        digest = hashlib.blake2b(affinity, digest_size=POINT_BYTES).digest()
        at = bisect_right(self._hashes, int.from_bytes(digest, "big"))
        nodes, owners = self._nodes, self._owners
        part = BOUND * (asked.busy + 1) / self._weight
        count = len(owners)
        for step in range(at, at + count):
            node = nodes[owners[step % count]]
            if node.reference < FREE or node.reference < math.ceil(part * node.weight):
                return node
        return nodes[owners[at % count]]  # only if ``busy`` was not the sum of all references

    def _make(self) -> None:
        average = self._weight / len(self._nodes)
        points = [
            (point, index)
            for index, node in enumerate(self._nodes)
            for point in points_of(node.address, _count(node.weight / average))
        ]
        points.sort()
        self._hashes = array("Q", [point for point, _ in points])
        self._owners = array("L", [index for _, index in points])
        self._made = True


def points_of(address: str, count: int) -> list[int]:
    """The first ``count`` points of a node: the same in every process, and for any other count."""
    points: list[int] = []
    for number in range(-(-count // POINTS_OF_A_DIGEST)):
        digest = hashlib.blake2b(f"{number} {address}".encode()).digest()
        points += DIGEST.unpack(digest)
    return points[:count]


def _count(share: float) -> int:
    return max(1, min(MOST_POINTS, round(POINTS * share)))
