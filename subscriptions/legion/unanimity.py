"""The election of compatible legions, as uWSGI's nodes hold it (spec/legion.md 4 to 6).

A node becomes lord when all members that it knows name it and have the same members in view,
and they are as many as the quorum asks for. Announcements are no promises and carry no proof of
when they were sent, so no rule for one node can exclude two lords (docs/design.md). Ours is
stricter than uWSGI's where that costs no understanding with it:

- a lord acts only while a quorum has named it within a ``lease`` shorter than the tolerance, and
  stops at once when that ends (uWSGI: after up to a minute, or never);
- a node does not rise while another member says that it is lord (uWSGI: at once);
- a node that was stalled starts anew, because what waits in its socket is old;
- announcements keep their schedule, whatever is received.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from uwgate.subscriptions.legion.election import (
    Action,
    Identity,
    Join,
    LordChanged,
    NodeJoined,
    NodeLeft,
    QuorumLost,
    QuorumReached,
    Rise,
    Send,
    State,
    StepDown,
    Timing,
)
from uwgate.subscriptions.legion.packet import NOBODY, Announcement
from uwgate.subscriptions.legion.term import MAX_SECONDS, TAG_BITS, next_term

Actions = list[Action[Announcement]]
ACTING = (State.RISING, State.LORD)
MAX_MEMBERS = 256


@dataclass(slots=True)
class Member:
    """A node that was heard, and its last announcement."""

    said: Announcement
    heard: float


class UnanimousElection:
    """One node of a compatible legion (``election.Election``).

    ``quorum`` 0 is uWSGI's default: a node alone elects itself. The upper bits of ``term`` are the
    second at which this node became lord, or more where a lord before it announced more; uWSGI's
    nodes send that second too.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        legion: bytes,
        pid: int,
        quorum: int,
        timing: Timing,
        now: float,
        scroll: bytes = b"",
    ) -> None:
        timing.check()
        self.identity = identity
        self.legion = legion
        self.pid = pid
        self.quorum = quorum
        self.timing = timing
        self.scroll = scroll
        self.state = State.OUTSIDE
        self.term = 0
        self.members: dict[bytes, Member] = {}
        self.ignored = 0  # packets of nodes above MAX_MEMBERS
        self.lord: bytes | None = None
        self.checksum = 0
        self.vote = (0, NOBODY)
        self.lease = max(timing.tolerance - timing.period - 1, timing.tolerance / 2)
        self._uuid = identity.uuid
        self._due = now + timing.period
        self._rounds = 0  # uWSGI votes in the second one
        self._seen_at = now
        self._calm_at = now  # no rising before
        self._rival_since = inf
        self._suspended_until = -inf
        self._lord_since = 0
        self._stamp = 0
        self._reported: tuple[int, int] | None = None

    # What the driver calls.

    def tick(self, now: float, wall: float) -> Actions:
        """Do what is due."""
        actions: Actions = []
        if self.state is State.GONE:
            return actions
        if now - self._seen_at > self.lease:
            self._wake_up(now, actions)
        self._seen_at = now
        for uuid, member in list(self.members.items()):
            if now >= member.heard + self.timing.tolerance:
                self._forget(uuid, actions, said_so=False)
        if now >= self._due:
            self._due = max(self._due + self.timing.period, now + self.timing.period / 2)
            if now >= self._suspended_until:
                actions.append(Send(self._announcement(wall)))
            self._rounds += 1
        self._elect(now, wall, actions)
        return actions

    def receive(
        self, message: Announcement, now: float, wall: float, *, arrived: float | None = None
    ) -> Actions:
        """Hear what a node says; the inbox has seen to its age."""
        actions: Actions = []
        if self.state is State.GONE or message.uuid == self._uuid:
            return actions
        if message.lord < MAX_SECONDS:
            self.term = max(self.term, message.lord << TAG_BITS)
        if message.dead:
            self._forget(message.uuid, actions, said_so=True)
            return actions  # uWSGI's round ends here, before the election
        heard = now if arrived is None else arrived
        if message.uuid not in self.members:
            if len(self.members) >= MAX_MEMBERS:
                self.ignored += 1
                return actions
            self.members[message.uuid] = Member(message, heard)
            actions.append(NodeJoined(message.uuid))
        member = self.members[message.uuid]
        member.said = message
        member.heard = max(member.heard, heard)
        self._rounds += 1
        self._elect(now, wall, actions)
        return actions

    def rose(self, now: float, wall: float, *, succeeded: bool) -> Actions:
        """The lord hooks have run."""
        actions: Actions = []
        if self.state is not State.RISING:
            return actions
        if not succeeded and self.timing.suspension:
            self._suspended_until = now + self.timing.suspension
            actions.append(Send(self._announcement(wall, dead=True)))
            self._step_down("its lord hook failed", actions)
            return actions
        self.state = State.LORD
        self._lord_since = self.term >> TAG_BITS
        self._see_lord(actions)
        # So that an old lord hears of it at once.
        actions.append(Send(self._announcement(wall)))
        return actions

    def fell(self, now: float, wall: float) -> Actions:
        """The unlord hooks have run: the others need not wait any longer."""
        actions: Actions = []
        if self.state is State.FALLING:
            self.state = State.MEMBER
            self._lord_since = 0
            if now >= self._suspended_until:
                actions.append(Send(self._announcement(wall)))
            self._elect(now, wall, actions)
        return actions

    def abdicate(self, now: float, wall: float, reason: str) -> Actions:
        """Something that a lord needs is lost: stand back for ``Timing.suspension``."""
        actions: Actions = []
        if self.state in ACTING:
            self._suspended_until = now + self.timing.suspension
            actions.append(Send(self._announcement(wall, dead=True)))
            self._step_down(reason, actions)
        return actions

    def leave(self, now: float, wall: float) -> Actions:
        """Say goodbye; the death hooks have run, and nothing of a lord is left."""
        self.state = State.GONE
        return [Send(self._announcement(wall, dead=True))]

    def next_time(self) -> float:
        """When ``tick`` must be called at the latest."""
        if self.state is State.GONE:
            return inf
        times = [self._due]
        times += [member.heard + self.timing.tolerance for member in self.members.values()]
        later = [self._calm_at, self._suspended_until, self._rival_since + self.timing.tolerance]
        if self.state in ACTING:
            later.append(self.lease_end())
        times += [time for time in later if time > self._seen_at]
        return min(times)

    def is_lord(self, now: float) -> bool:
        """Whether this node may act as the lord at this moment."""
        return self.state is State.LORD and now < self.lease_end()

    def lease_end(self) -> float:
        """Until when a quorum counts as naming this node."""
        needed = self.quorum - 1
        if needed <= 0:
            return inf
        heard = sorted(
            (m.heard for m in self.members.values() if m.said.lord_uuid == self._uuid),
            reverse=True,
        )
        return heard[needed - 1] + self.lease if len(heard) >= needed else -inf

    # The election.

    def _elect(self, now: float, wall: float, actions: Actions) -> None:
        if self._rounds < 2:
            return
        if self.state in ACTING and now >= self.lease_end():
            self._step_down("not enough members have named it lately", actions)
        self._view()
        candidate = self._candidate(now)
        votes = self._votes(candidate)
        if votes and votes < self.quorum:
            if self._reported is not None and self._reported[1]:
                actions.append(QuorumLost(votes, self.quorum))
            self._reported = (self.checksum, 0)
        elif votes:
            self._agreed(candidate, votes, now, wall, actions)
        if candidate[1] != self._uuid or not votes:
            self._rival_since = inf
        self._see_lord(actions)

    def _view(self) -> None:
        """Vote and checksum, as the next announcement will carry them (section 5.2, 5.3)."""
        best = (self.identity.valor, self._uuid)
        checksum = self.identity.valor + sum(self._uuid)
        for uuid, member in self.members.items():
            valor = member.said.valor
            checksum += valor + sum(uuid)
            if valor and (valor, uuid) > best:
                best = (valor, uuid)
        self.vote = best
        self.checksum = checksum

    def _candidate(self, now: float) -> tuple[int, bytes]:
        """Whom to count votes for (section 5.3): not an arbiter, not a suspended node."""
        if self.vote[1] == self._uuid and (not self.identity.valor or now < self._suspended_until):
            return (0, NOBODY)
        return self.vote

    def _votes(self, candidate: tuple[int, bytes]) -> int:
        """How many agree; 0 if one does not (section 5.4)."""
        for member in self.members.values():
            said = member.said
            if said.checksum != self.checksum or (said.lord_valor, said.lord_uuid) != candidate:
                return 0
        return 1 + len(self.members)

    def _agreed(
        self, candidate: tuple[int, bytes], votes: int, now: float, wall: float, actions: Actions
    ) -> None:
        if self.state is State.OUTSIDE:
            self.state = State.MEMBER
            actions.append(Join())
        if self._reported != (self.checksum, votes):
            self._reported = (self.checksum, votes)
            actions.append(QuorumReached(votes))
        if candidate[1] != self._uuid:
            if self.state in ACTING:
                self._step_down("all members name another node", actions)
        elif (
            self.state is State.MEMBER
            and now >= self._calm_at
            and now < self.lease_end()
            and not self._has_rival(now)
        ):
            self.term = next_term(self.term, wall, self._uuid)
            self.state = State.RISING
            actions.append(Rise(self.term))

    def _has_rival(self, now: float) -> bool:
        """Whether a member still says that it is lord.

        It names us already, so it will step down as soon as it hears us. If it has not for a
        whole tolerance although it speaks, it is broken, and waiting longer helps nobody.
        """
        if not any(member.said.lord for member in self.members.values()):
            self._rival_since = inf
            return False
        self._rival_since = min(self._rival_since, now)
        return now < self._rival_since + self.timing.tolerance

    def _step_down(self, reason: str, actions: Actions) -> None:
        self.state = State.FALLING
        actions.append(StepDown(self.term, reason))

    def _wake_up(self, now: float, actions: Actions) -> None:
        """After a stall: what waits in the socket is old, so nothing counts that was known."""
        if self.state in ACTING and self.quorum > 1:
            self._step_down(f"stalled for {now - self._seen_at:.1f} s", actions)
        for uuid in list(self.members):
            self._forget(uuid, actions, said_so=False)
        self._rounds = 0
        self._calm_at = now + 2 * self.timing.period
        self._due = now

    def _see_lord(self, actions: Actions) -> None:
        is_lord = self.state is State.LORD
        lord, since = (self._uuid, self._lord_since) if is_lord else (None, 0)
        for uuid, member in self.members.items():
            if since < member.said.lord < MAX_SECONDS:
                lord, since = uuid, member.said.lord
        if lord != self.lord:
            self.lord = lord
            actions.append(LordChanged(lord))

    def _forget(self, uuid: bytes, actions: Actions, *, said_so: bool) -> None:
        if self.members.pop(uuid, None) is not None:
            actions.append(NodeLeft(uuid, said_so))

    def _announcement(self, wall: float, *, dead: bool = False) -> Announcement:
        # A clock that was set back a little must not make us look like a replay of ourselves.
        stamp = int(wall)
        if self._stamp - self.timing.skew <= stamp < self._stamp:
            stamp = self._stamp
        self._stamp = stamp
        return Announcement(
            legion=self.legion,
            valor=self.identity.valor,
            unix=stamp,
            lord=self._lord_since,
            name=self.identity.name,
            pid=self.pid,
            uuid=self._uuid,
            checksum=self.checksum,
            lord_valor=self.vote[0],
            lord_uuid=self.vote[1],
            scroll=self.scroll,
            dead=dead,
        )
