"""The other nodes of a sealed legion, as one node knows them.

A node that was heard is a stranger until it has repeated a number of ours: only then is what it
says known to be no recording from before our start. It is linked while it goes on doing so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from uwgate.subscriptions.legion.statement import MAX_MEMBERS, Statement


@dataclass(slots=True)
class Peer:
    """A node that was heard. ``said`` is the last it said, ``heard`` when."""

    said: Statement
    heard: float
    echoed: float = -inf  # when we sent what it has repeated
    is_member: bool = False


class Peers:
    """All nodes that were heard within ``tolerance`` seconds, at most MAX_MEMBERS."""

    def __init__(self, tolerance: float) -> None:
        self.by_uuid: dict[bytes, Peer] = {}
        self.ignored = 0  # packets for which there was no room
        self._tolerance = tolerance

    def hear(self, said: Statement, heard: float, echoed: float) -> tuple[Peer | None, bool]:
        """Note what a node says, and when we sent the newest number that it repeats.

        Returns the peer, None if there is no room for it, and whether it became a member just now.
        """
        peer = self.by_uuid.get(said.sender)
        if peer is None:
            if not self._make_room():
                self.ignored += 1
                return None, False
            peer = self.by_uuid[said.sender] = Peer(said, heard)
        peer.said = said
        peer.heard = heard
        peer.echoed = max(peer.echoed, echoed)
        became = not peer.is_member and peer.echoed > -inf
        peer.is_member |= became
        return peer, became

    def is_new(self, said: Statement) -> bool:
        """Whether this was said after all that is known from its sender."""
        peer = self.by_uuid.get(said.sender)
        return peer is None or said.sequence > peer.said.sequence

    def forget(self, uuid: bytes) -> bool:
        """Drop a node; whether it was a member."""
        peer = self.by_uuid.pop(uuid, None)
        return peer is not None and peer.is_member

    def silent(self, now: float) -> list[bytes]:
        """Who has not been heard for the tolerance."""
        by_uuid = self.by_uuid.items()
        return [uuid for uuid, peer in by_uuid if now >= peer.heard + self._tolerance]

    def linked(self, now: float) -> Iterator[tuple[bytes, Statement]]:
        """Members that hear us, as we hear them."""
        for uuid, peer in self.by_uuid.items():
            if peer.is_member and now < peer.echoed + self._tolerance:
                yield uuid, peer.said

    def changes(self, after: float) -> Iterator[float]:
        """When somebody falls silent, or stops being linked after ``after``."""
        for peer in self.by_uuid.values():
            yield peer.heard + self._tolerance
            if peer.echoed + self._tolerance > after:
                yield peer.echoed + self._tolerance

    def echoes(self) -> tuple[tuple[bytes, int], ...]:
        """The newest number of each, strangers included, so that they become members."""
        return tuple((uuid, peer.said.sequence) for uuid, peer in self.by_uuid.items())

    def _make_room(self) -> bool:
        """Whether one more node may be remembered; strangers make way, members do not."""
        if len(self.by_uuid) < MAX_MEMBERS:
            return True
        strangers = [uuid for uuid, peer in self.by_uuid.items() if not peer.is_member]
        if strangers:
            del self.by_uuid[min(strangers, key=lambda uuid: self.by_uuid[uuid].heard)]
        return bool(strangers)
