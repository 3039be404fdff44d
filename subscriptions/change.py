"""What a change of the table means for others: values that its methods return."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from uwgate.subscriptions.node import Node


class Cause(enum.Enum):
    """Why a node gets no more requests, or gets them again."""

    ANNOUNCED = "announced"
    UNSUBSCRIBED = "unsubscribed"
    EXPIRED = "expired"
    UNREACHABLE = "unreachable"
    BAD_ANSWERS = "bad-answers"
    PERIOD_OVER = "period-over"
    CHECKS = "checks"
    TOLD = "told"  # another process says so, not why


@dataclass(frozen=True, slots=True)
class Joined:
    """A node is new. If it has a ``notify`` path, an acknowledgement is due."""

    node: Node

    @property
    def acknowledgement(self) -> bytes:
        """The datagram for ``node.notify`` (spec/subscriptions.md section 10)."""
        return f"[subscription ack] {self.node.key} => new node: {self.node.address}".encode()


@dataclass(frozen=True, slots=True)
class Left:
    """A node unsubscribed or its announcements stopped. Requests may still run on it."""

    node: Node
    cause: Cause


@dataclass(frozen=True, slots=True)
class Out:
    """A node is left alone for a while: until then, or until it announces itself.

    ``until`` is None for CHECKS: until somebody who looks after it finds it well.
    """

    node: Node
    cause: Cause
    until: float | None


@dataclass(frozen=True, slots=True)
class Back:
    """A node that was out gets requests again; after CHECKS only if nothing else keeps it out."""

    node: Node
    cause: Cause


@dataclass(frozen=True, slots=True)
class SniPaths:
    """The certificate that nodes of a key brought (section 9); paths as the node wrote them.

    ``ca`` may be empty; a ``!`` before it makes client certificates mandatory.
    """

    key: str
    crt: str
    ca: str = ""


@dataclass(frozen=True, slots=True)
class SniBrought:
    """Load this certificate for a server name, in place of what was there."""

    name: str
    paths: SniPaths


@dataclass(frozen=True, slots=True)
class SniGone:
    """The last node of a server name went: drop its certificate."""

    name: str


Change = Joined | Left | Out | Back | SniBrought | SniGone
