"""A slot: all nodes of one key, and the choice among them."""

from __future__ import annotations

from collections.abc import Collection

from uwgate.subscriptions.balancing import Algorithm, Asked, Follower
from uwgate.subscriptions.health import Circuit
from uwgate.subscriptions.node import Node


class Slot:
    """``members`` are in order of arrival; ``nodes`` are those that get requests now.

    ``reference`` is how many requests run on all of them, ``hits`` how often one was chosen.
    """

    __slots__ = (
        "_algorithm",
        "_follower",
        "algo",
        "circuit",
        "hits",
        "key",
        "live",
        "members",
        "nodes",
        "out",
        "reference",
    )

    def __init__(self, key: str, algo: str, algorithm: Algorithm, circuit: Circuit) -> None:
        self.key = key
        self.algo = algo
        self.circuit = circuit
        self.members: dict[str, Node] = {}
        self.live: tuple[Node, ...] = ()
        self.nodes: tuple[Node, ...] = ()
        self.out = 0  # how many are put out, and not gone
        self.hits = 0
        self.reference = 0
        self._algorithm = algorithm
        self._follower: Follower | None = algorithm if isinstance(algorithm, Follower) else None

    @property
    def sleeping(self) -> list[Node]:
        """Vassals that have to be started before they have an address (section 13)."""
        return [node for node in self.members.values() if not node.address and not node.death_mark]

    def add(self, node: Node) -> None:
        """One more member, the last; ``refresh`` makes it count."""
        self.members[node.name] = node
        node.slot = self

    def remove(self, node: Node) -> None:
        """It is no member any more."""
        del self.members[node.name]
        node.slot = None

    def refresh(self) -> None:
        """A node has come, gone, changed its weight or its level, went out or came back."""
        members = self.members.values()
        self.live = tuple([node for node in members if node.is_live])
        self.out = sum(node.health.is_out and not node.death_mark for node in members)
        # Only the lowest backup level that has live nodes gets requests (section 13).
        level = min((node.backup for node in self.live), default=0)
        nodes = tuple([node for node in self.live if node.backup == level])
        self.nodes = self.live if len(nodes) == len(self.live) else nodes
        if self.nodes:
            self._algorithm.change(self.nodes, self.live)

    def choose(
        self,
        now: float,
        *,
        client: bytes = b"",
        affinity: bytes = b"",
        wanted: Node | None = None,
        tried: Collection[Node] = (),
    ) -> Node | None:
        """The node for a request; it counts as running there until ``release``.

        ``wanted`` is the one that a sticky cookie names. None: every live node was tried or
        is full.
        """
        if not self.nodes:
            return None
        if wanted is not None and wanted.slot is self and wanted.is_live:
            node = wanted
        else:
            node = self._algorithm.choose(Asked(now, client, affinity, self.reference))
        if (tried and node in tried) or not self.circuit.has_room(node.reference):
            other = self._another(tried)
            if other is None:
                return None
            node = other
        node.reference += 1
        self.reference += 1
        self.hits += 1
        if self._follower is not None:
            self._follower.moved(node, node.reference - 1)
        return node

    def connected(self, node: Node) -> None:
        """A connection to a chosen node succeeded."""
        node.requests += 1
        node.last_requests += 1
        if self._follower is not None:
            self._follower.counted(node)

    def announced(self, node: Node) -> None:
        """It has just said that it is there: what it got since is counted anew."""
        node.last_requests = 0
        if self._follower is not None:
            self._follower.counted(node)

    def release(self, node: Node) -> bool:
        """A request has ended. Returns whether the node was only waiting for that to go."""
        node.reference -= 1
        self.reference -= 1
        if self._follower is not None:
            self._follower.moved(node, node.reference + 1)
        return node.death_mark and node.reference == 0

    def _another(self, tried: Collection[Node]) -> Node | None:
        """The least busy of the others, those of backup levels included."""
        others = [
            node
            for node in self.live
            if node not in tried and self.circuit.has_room(node.reference)
        ]
        return min(
            others, key=lambda node: (node.backup, node.reference / node.weight), default=None
        )
