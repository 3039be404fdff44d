"""What goes into an election and what comes out of it.

An election is a state machine without I/O: the driver tells it the time and what other nodes
have said, and it answers with actions, in the order in which they have to be done. There are
two, with the same shape: ``unanimity`` (uWSGI's packets) and ``promises`` (sealed packets).

Times called ``now`` are seconds of a clock that never steps and that runs on while the machine
sleeps (CLOCK_BOOTTIME); ``wall`` is the time of day in seconds since 1970.

The driver's part of the contract:

- After every wait it calls ``tick`` before anything else, so that a node that was stalled
  learns of it before it hears old packets or acts. It asks ``is_lord`` before each act of a lord.
- It calls ``tick`` no later than ``next_time``.
- It runs the hooks of ``Rise`` and then calls ``rose``; those of ``StepDown``, within
  ``Timing.release``, and then ``fell``. Between the two the protocol goes on.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from uwgate.conf.errors import ConfigError

Message = TypeVar("Message")


class State(enum.Enum):
    """Where a node stands."""

    OUTSIDE = "outside"  # has not been part of a quorum yet
    MEMBER = "member"
    RISING = "rising"  # elected; its lord hooks run
    LORD = "lord"
    FALLING = "falling"  # no lord any more; its unlord hooks run
    GONE = "gone"  # has said goodbye


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How often and how long; seconds.

    ``period`` between announcements; ``tolerance``: how long a silent member is one;
    ``skew``: by how much time stamps may be off (compatible legions only); ``release``: how long
    unlord hooks may take; ``suspension`` after a failed lord hook (0: such failures are
    ignored); ``drift``: by which fraction a node's clock may run too fast or too slow.
    """

    period: float = 3.0
    tolerance: float = 15.0
    skew: float = 60.0
    release: float = 0.5
    suspension: float = 0.0
    drift: float = 0.001  # twice what NTP may slew by

    def check(self) -> None:
        """Whether these can work.

        Raises:
            ConfigError: a period or tolerance with which no lord could last.
        """
        if self.period <= 0:
            raise ConfigError(f"legion-freq {self.period:g}: must be more than 0")
        if self.tolerance < 2 * self.period + self.release:
            raise ConfigError(
                f"legion-tolerance {self.tolerance:g}: at least two announcements must fit"
                f" into it (legion-freq {self.period:g}, release {self.release:g})"
            )


# What a new cluster gets when it sets nothing: a dead lord's address moves after some 3 s.
SEALED_TIMING = Timing(period=1.0, tolerance=3.0)
COMPATIBLE_TIMING = Timing()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is. ``uuid`` is new at every start; valor 0 is an arbiter."""

    uuid: bytes
    name: bytes
    valor: int


@dataclass(frozen=True, slots=True)
class Send(Generic[Message]):
    """Send this: to every node, or to one member if ``to`` is its uuid."""

    message: Message
    to: bytes | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Run the join hooks: the node is part of a quorum, for the first time."""


@dataclass(frozen=True, slots=True)
class Rise:
    """Run the lord hooks; ``term`` is higher than that of any lord before."""

    term: int


@dataclass(frozen=True, slots=True)
class StepDown:
    """Run the unlord hooks: the node is not the lord of this term any more."""

    term: int
    reason: str


@dataclass(frozen=True, slots=True)
class NodeJoined:
    """Run the node-joined hooks."""

    uuid: bytes


@dataclass(frozen=True, slots=True)
class NodeLeft:
    """Run the node-left hooks. ``said_so``: it announced its death, else it fell silent."""

    uuid: bytes
    said_so: bool


@dataclass(frozen=True, slots=True)
class QuorumReached:
    """Enough nodes agree."""

    votes: int


@dataclass(frozen=True, slots=True)
class QuorumLost:
    """Too few nodes are left to have a lord."""

    votes: int
    needed: int


@dataclass(frozen=True, slots=True)
class Crowded:
    """There are so many nodes that ``quorum`` is not more than half: two lords are possible."""

    votes: int
    quorum: int


@dataclass(frozen=True, slots=True)
class LordChanged:
    """Another node is the lord now, or nobody (None)."""

    uuid: bytes | None


Action = (
    Send[Message]
    | Join
    | Rise
    | StepDown
    | NodeJoined
    | NodeLeft
    | QuorumReached
    | QuorumLost
    | Crowded
    | LordChanged
)


class Election(Protocol[Message]):
    """The shape of both elections."""

    identity: Identity
    state: State
    term: int
    lord: bytes | None  # whom this node takes for the lord

    def tick(self, now: float, wall: float) -> list[Action[Message]]:
        """Do what is due."""

    def receive(
        self, message: Message, now: float, wall: float, *, arrived: float | None = None
    ) -> list[Action[Message]]:
        """Hear what a node says. ``arrived``: when the datagram did, if that was before now."""

    def rose(self, now: float, wall: float, *, succeeded: bool) -> list[Action[Message]]:
        """The lord hooks have run."""

    def fell(self, now: float, wall: float) -> list[Action[Message]]:
        """The unlord hooks have run."""

    def abdicate(self, now: float, wall: float, reason: str) -> list[Action[Message]]:
        """Something that a lord needs is lost: stand back for ``Timing.suspension``."""

    def leave(self, now: float, wall: float) -> list[Action[Message]]:
        """Say goodbye; the death hooks have run, and nothing of a lord is left."""

    def next_time(self) -> float:
        """When ``tick`` must be called at the latest."""

    def is_lord(self, now: float) -> bool:
        """Whether this node may act as the lord at this moment."""
