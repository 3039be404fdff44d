"""The election of sealed legions: promises that end by themselves.

A candidate asks; every node promises itself to at most one candidate at a time, for
``tolerance`` seconds from when it heard the question, and renews the promise whenever that
candidate speaks again. A node is lord while more than half of all nodes are promised to it.

Why no two nodes are lords at once, whatever the network does (docs/design.md has it in full):
two majorities share a node; that node gave its promises one after the other; and a candidate
counts a promise from when it *sent* the question that was answered, on its own clock, for
less than the promise lasts. A node that starts promises nothing for one ``tolerance``, by
when promises of its earlier life have ended. Only rates of clocks matter (``Timing.drift``).

Who is chosen is uWSGI's rule: the highest valor, then the highest uuid, among the nodes that
hear us, that we hear, and that hear a majority themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.legion.election import (
    Action,
    Crowded,
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
from uwgate.subscriptions.legion.peers import Peers
from uwgate.subscriptions.legion.statement import Grant, Statement
from uwgate.subscriptions.legion.term import next_term
from uwgate.subscriptions.legion.voter import Voter

Actions = list[Action[Statement]]
ACTING = (State.RISING, State.LORD)
URGENT_GAP = 0.05  # of a period: between two announcements to all that are not due
RETRY_GAP = 0.25  # of a period: between two questions of a candidate


class PromiseElection:
    """One node of a sealed legion (``election.Election``).

    ``quorum`` must be more than half of all nodes of the legion, arbiters included.
    ``term`` is the highest known; start with one from an earlier life if there is one.

    Raises:
        ConfigError: the timing cannot work, or the quorum is less than 1.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        quorum: int,
        timing: Timing,
        now: float,
        term: int = 0,
        scroll: bytes = b"",
    ) -> None:
        timing.check()
        if quorum < 1:
            raise ConfigError(f"legion-quorum {quorum}: a sealed legion needs a majority")
        self.identity = identity
        self.quorum = quorum
        self.timing = timing
        self.scroll = scroll
        self.state = State.OUTSIDE
        self.term = term
        self.peers = Peers(timing.tolerance)
        self.lord: bytes | None = None
        self.wish: bytes | None = None
        self._uuid = identity.uuid
        self._suspended_until = -inf
        self._sequence = 0
        self._sent: OrderedDict[int, float] = OrderedDict()
        self._due = now  # when the next announcement is
        self._urgent = False
        self._broadcast_at = -inf
        self._seen_at = -inf  # when the state was last brought up to date
        self._claim = 0
        self._freed = 0
        self._voter = Voter(timing.tolerance, quiet_until=now + timing.tolerance, granted=term)
        self._leases: dict[bytes, float] = {}  # of whom are we promised something until when
        self._crowded_at = now + 2 * timing.tolerance
        self._has_quorum = False
        self._votes = 1
        # A promise of this length, kept by the slowest clock, as the fastest one counts it.
        self._shrink = (1 - timing.drift) / (1 + timing.drift)

    # What the driver calls.

    def tick(self, now: float, wall: float) -> Actions:
        """Do what is due."""
        actions: Actions = []
        if self.state is State.GONE:
            return actions
        if self.state in ACTING and now >= self.lease_end():
            self._step_down("not enough nodes have renewed their promise", actions)
        for uuid in self.peers.silent(now):
            self._forget(uuid, actions, said_so=False)
        self._update(now, wall, actions)
        return actions

    def receive(
        self, message: Statement, now: float, wall: float, *, arrived: float | None = None
    ) -> Actions:
        """Hear what a node says; the inbox has seen to it that it is new."""
        actions: Actions = []
        if (
            self.state is State.GONE
            or message.sender == self._uuid
            or not self.peers.is_new(message)
        ):
            return actions
        self._voter.hear(message)
        if message.dead:
            self._forget(message.sender, actions, said_so=True)
            self._update(now, wall, actions)
            return actions
        echoes = [
            self._sent.get(sequence, -inf)
            for uuid, sequence in message.echoes
            if uuid == self._uuid
        ]
        heard = now if arrived is None else arrived
        peer, became_member = self.peers.hear(message, heard, max(echoes, default=-inf))
        if peer is None:
            return actions
        if became_member:
            actions.append(NodeJoined(message.sender))
        if peer.is_member:  # else this may be a packet from before we started
            self.term = max(self.term, message.term, message.claim)
        self._count(message)
        self._update(now, wall, actions)
        if message.claim:
            # While our own lordship is not over, we are nobody else's.
            if self.wish == message.sender and self.state not in (*ACTING, State.FALLING):
                self._voter.consider(message, now)
            if not message.answer:
                actions.append(Send(self._statement(now, answer=True), message.sender))
        elif (
            self._claim
            and message.wish == self._uuid
            and message.grant is None
            and not message.answer  # then it has been asked, and said no
        ):
            # It would promise itself to us, and may have missed the question.
            actions.append(Send(self._statement(now), message.sender))
        return actions

    def rose(self, now: float, wall: float, *, succeeded: bool) -> Actions:
        """The lord hooks have run."""
        actions: Actions = []
        if self.state is State.RISING:
            if succeeded or not self.timing.suspension:
                self.state = State.LORD
            else:
                self._suspended_until = now + self.timing.suspension
                self._step_down("its lord hook failed", actions)
            self._update(now, wall, actions)
        return actions

    def fell(self, now: float, wall: float) -> Actions:
        """The unlord hooks have run: the others need not wait for the promises to end."""
        actions: Actions = []
        if self.state is State.FALLING:
            self.state = State.MEMBER
            self._abandon()
            self._update(now, wall, actions)
        return actions

    def abdicate(self, now: float, wall: float, reason: str) -> Actions:
        """Something that a lord needs is lost: stand back for ``Timing.suspension``."""
        actions: Actions = []
        if self.state in ACTING:
            self._suspended_until = now + self.timing.suspension
            self._step_down(reason, actions)
            self._update(now, wall, actions)
        return actions

    def leave(self, now: float, wall: float) -> Actions:
        """Say goodbye; the death hooks have run, and nothing of a lord is left."""
        self.state = State.GONE
        self._abandon()
        return [Send(self._statement(now, dead=True))]

    def next_time(self) -> float:
        """When ``tick`` must be called at the latest."""
        if self.state is State.GONE:
            return inf
        period = self.timing.period
        times = [self._due]
        if self._urgent:
            times.append(self._broadcast_at + URGENT_GAP * period)
        if self.state in ACTING:
            times.append(self.lease_end())
        elif self._claim and self.state is State.MEMBER:
            times.append(self._broadcast_at + RETRY_GAP * period)
        if self._voter.promise is not None:
            times.append(self._voter.until)
        times += self.peers.changes(self._seen_at)
        # What these change has been seen by the last tick after them.
        later = (self._voter.quiet_until, self._suspended_until)
        times += [time for time in later if time > self._seen_at]
        return min(times)

    def is_lord(self, now: float) -> bool:
        """Whether this node may act as the lord at this moment."""
        return self.state is State.LORD and now < self.lease_end()

    def lease_end(self) -> float:
        """Until when a majority is promised to this node, less the time that unlord hooks have."""
        ends = sorted(self._leases.values(), reverse=True)
        if not self._claim or len(ends) < self.quorum:
            return -inf
        return ends[self.quorum - 1] - self.timing.release

    # Promises that others give to this node.

    def _count(self, said: Statement) -> None:
        grant = said.grant
        if grant is not None and grant.candidate == self._uuid and grant.term == self._claim:
            hold = min(said.hold / 1000, self.timing.tolerance) * self._shrink
            end = self._sent.get(grant.sequence, -inf) + hold
            if end > self._leases.get(said.sender, -inf):
                self._leases[said.sender] = end

    def _abandon(self) -> None:
        """Give the claim up; nothing may be done in its term from now on."""
        if not self._claim:
            return
        self._freed = self._claim
        self._claim = 0
        self._leases.clear()
        self._urgent = True
        self._voter.free(self._uuid)

    def _step_down(self, reason: str, actions: Actions) -> None:
        self.state = State.FALLING
        actions.append(StepDown(self._claim, reason))
        self._urgent = True

    # What follows from all that.

    def _update(self, now: float, wall: float, actions: Actions) -> None:
        self._seen_at = now
        self._voter.expire(now)
        self._see_quorum(now, actions)
        wish = self._best(now)
        if wish != self.wish:
            self.wish = wish
            self._urgent = True
        self._stand(now, wall, actions)
        self._see_lord(now, actions)
        self._announce(now, actions)

    def _see_quorum(self, now: float, actions: Actions) -> None:
        self._votes = 1 + sum(1 for _ in self.peers.linked(now))
        if self._votes < 2 * self.quorum:
            self._crowded_at = now + 2 * self.timing.tolerance  # old lives are forgotten by then
        elif now >= self._crowded_at:
            self._crowded_at = inf
            actions.append(Crowded(self._votes, self.quorum))
        has_quorum = self._votes >= self.quorum
        if has_quorum == self._has_quorum:
            return
        self._has_quorum = has_quorum
        if not has_quorum:
            actions.append(QuorumLost(self._votes, self.quorum))
            return
        actions.append(QuorumReached(self._votes))
        if self.state is State.OUTSIDE:
            self.state = State.MEMBER
            actions.append(Join())

    def _is_candidate(self, now: float) -> bool:
        return (
            self.identity.valor > 0
            and self._has_quorum
            and now >= self._voter.quiet_until
            and now >= self._suspended_until
        )

    def _best(self, now: float) -> bytes | None:
        """Who should be lord in our view."""
        best = (self.identity.valor, self._uuid) if self._is_candidate(now) else (0, b"")
        for uuid, said in self.peers.linked(now):
            if said.quorate and (said.valor, uuid) > best:
                best = (said.valor, uuid)
        return best[1] if best[0] else None

    def _stand(self, now: float, wall: float, actions: Actions) -> None:
        """Be a candidate, stop being one, rise, or make way for a better one."""
        if self.wish != self._uuid:
            if self.state in ACTING:
                wishes = 1 + sum(said.wish == self.wish for _, said in self.peers.linked(now))
                if self.wish is not None and wishes >= self.quorum:
                    self._step_down("a node of higher valor can be lord", actions)
            elif self.state is State.MEMBER:
                self._abandon()
            return
        if self.state is not State.MEMBER:
            return
        retry = now >= self._broadcast_at + RETRY_GAP * self.timing.period
        if self._claim and (
            not self._voter.is_promised_to(self._uuid) or (retry and self._is_refused(now))
        ):
            self._abandon()
        if not self._claim and self._voter.promise is None:
            self._claim = self.term = next_term(self.term, wall, self._uuid)
            self._promise_self(now)
            self._urgent = True
        if self._claim and self.lease_end() > now:
            self.state = State.RISING
            actions.append(Rise(self._claim))
            self._urgent = True

    def _is_refused(self, now: float) -> bool:
        """Whether a node would choose us, but not in this term: it knows a higher one."""
        return any(
            said.wish == self._uuid and said.grant is None and said.term > self._claim
            for _, said in self.peers.linked(now)
        )

    def _promise_self(self, now: float) -> None:
        """A lord or candidate is promised to itself, from each time that it asks."""
        self._voter.give(Grant(self._uuid, self._claim, self._sequence), now)
        self._leases[self._uuid] = now + self.timing.tolerance * self._shrink

    def _see_lord(self, now: float, actions: Actions) -> None:
        lord, term = (self._uuid, self._claim) if self.state is State.LORD else (None, 0)
        for uuid, said in self.peers.linked(now):
            if said.acting and said.claim > term:
                lord, term = uuid, said.claim
        if lord != self.lord:
            self.lord = lord
            actions.append(LordChanged(lord))

    def _forget(self, uuid: bytes, actions: Actions, *, said_so: bool) -> None:
        if self.peers.forget(uuid):
            actions.append(NodeLeft(uuid, said_so))

    # What this node says.

    def _announce(self, now: float, actions: Actions) -> None:
        """Tell everybody, if it is time to."""
        period = self.timing.period
        asking = self._claim and self.state is State.MEMBER
        if now >= self._due:
            self._due = max(self._due + period, now + period / 2)
        elif not (
            (self._urgent and now >= self._broadcast_at + URGENT_GAP * period)
            or (asking and now >= self._broadcast_at + RETRY_GAP * period)
        ):
            return
        self._urgent = False
        self._broadcast_at = now
        actions.append(Send(self._statement(now)))

    def _statement(self, now: float, *, answer: bool = False, dead: bool = False) -> Statement:
        self._sequence += 1
        self._sent[self._sequence] = now
        while next(iter(self._sent.values())) < now - 2 * self.timing.tolerance:
            self._sent.popitem(last=False)
        claim = 0 if self.state is State.FALLING else self._claim
        if claim and self._voter.is_promised_to(self._uuid):
            self._promise_self(now)
        self._voter.expire(now)
        return Statement(
            sender=self._uuid,
            sequence=self._sequence,
            name=self.identity.name,
            valor=self.identity.valor,
            hold=int(self.timing.tolerance * 1000),
            term=self.term,
            claim=claim,
            acting=self.state in ACTING,
            freed=self._freed,
            wish=self.wish,
            grant=self._voter.promise,
            quorate=self._is_candidate(now),
            answer=answer,
            dead=dead,
            scroll=self.scroll,
            echoes=self.peers.echoes(),
        )
