"""``iphash``: a client stays with its node, as in uWSGI 2.1 (spec/subscriptions.md section 13).

Neither weights nor backup levels count, and when a node comes or goes nearly everybody moves;
``chash`` does better.
"""

from __future__ import annotations

from collections.abc import Sequence

from uwgate.subscriptions.balancing.algorithm import Asked
from uwgate.subscriptions.djb33x import djb33x
from uwgate.subscriptions.node import Node


class IpHash:
    """The address of the client, modulo the number of live nodes."""

    __slots__ = ("_live",)

    def __init__(self) -> None:
        self._live: Sequence[Node] = ()

    def change(self, nodes: Sequence[Node], live: Sequence[Node]) -> None:
        self._live = live

    def choose(self, asked: Asked) -> Node:
        match len(asked.client):
            case 4:  # IPv4
                number = int.from_bytes(asked.client, "little")
            case 16:  # IPv6
                number = djb33x(asked.client)
            case _:
                number = 0
        return self._live[number % len(self._live)]
