"""What every balancing algorithm is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from uwgate.subscriptions.node import Node


class Asked(NamedTuple):
    """What an algorithm may know of a request.

    ``client`` is the packed address of the client: 4 bytes, 16 bytes, or nothing where
    there is none. ``affinity`` is what consistent hashing keeps together. ``busy`` is the
    number of requests that run on all nodes of the key.
    """

    now: float
    client: bytes = b""
    affinity: bytes = b""
    busy: int = 0


class Algorithm(Protocol):
    """One algorithm with its state for one key.

    ``nodes`` are the live ones of the lowest backup level, ``live`` those of every level,
    both in order of arrival.
    """

    def change(self, nodes: Sequence[Node], live: Sequence[Node]) -> None:
        """The nodes have changed, or their weights. There is at least one."""

    def choose(self, asked: Asked) -> Node:
        """The node for a request."""
        ...


class Follower:
    """An algorithm that also wants to know what becomes of its nodes between two choices.

    Any node of the key may be told of, also one that was not among the last ``nodes``.
    """

    __slots__ = ()

    def moved(self, node: Node, before: int) -> None:
        """``reference`` of a node is not ``before`` any more, but one more or one less."""

    def counted(self, node: Node) -> None:
        """``last_requests`` of a node has changed."""
