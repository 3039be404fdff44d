"""One simulated life of a legion: a virtual clock, an unreliable network, faults from a seed.

The same seed and ``Scenario`` give the same life, event by event. Clocks run at slightly different
rates, and their times of day are steps apart. ``scenario.Findings`` says what is checked.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from uwgate.subscriptions.legion.election import (
    Election,
    Identity,
    Rise,
    Send,
    State,
    StepDown,
)
from uwgate.subscriptions.legion.inbox import Stamps
from uwgate.subscriptions.legion.packet import Announcement
from uwgate.subscriptions.legion.promises import PromiseElection
from uwgate.subscriptions.legion.scenario import Findings, Scenario
from uwgate.subscriptions.legion.statement import Statement
from uwgate.subscriptions.legion.unanimity import UnanimousElection

Message = Statement | Announcement
ACTING = (State.RISING, State.LORD)
EPOCH = 1_800_000_000.0  # the time of day at which every life begins
FAULTS = ("kill", "stall", "cut", "one-way", "step", "hook", "leave")
MAX_EVENTS = 200_000  # in one life; more means that nodes answer each other for ever


class Node:
    """A machine: its clocks, its node, and what waits in its socket."""

    def __init__(self, number: int, valor: int, rate: float, offset: float) -> None:
        self.number = number
        self.valor = valor
        self.rate = rate
        self.offset = offset
        self.wall_offset = 0.0
        self.up = False
        self.stalled = False
        self.life = 0  # counts starts
        self.term = 0  # what it has kept over a restart
        self.waiting: list[Message] = []
        self.election: Election[Any]
        self.stamps: Stamps
        self.wake = inf
        self.hooks_fail = False
        self.cleaning_late = False  # it was stalled before or while it fell

    def clock(self, time: float) -> float:
        """What this machine's monotonic clock says."""
        return self.offset + time * self.rate

    def time(self, clock: float) -> float:
        """When this machine's monotonic clock says that."""
        return (clock - self.offset) / self.rate

    def wall(self, time: float) -> float:
        """What this machine takes for the time of day."""
        return EPOCH + time * self.rate + self.wall_offset

    @property
    def can_be_lord(self) -> bool:
        """Whether it is no arbiter, and its lord hooks work."""
        return self.valor > 0 and not self.hooks_fail

    def holds(self) -> bool:
        """Whether it acts as lord, or rightly still cleans up after that."""
        if not self.up or self.stalled:
            return False
        state = self.election.state
        return state in ACTING or (state is State.FALLING and not self.cleaning_late)


class Schedule:
    """A life, run by ``run``. ``trace`` gets a line for each thing that happens."""

    def __init__(
        self, seed: int, scenario: Scenario, trace: Callable[[str], None] | None = None
    ) -> None:
        self.scenario = scenario
        self.random = random.Random(seed)
        self.trace = trace
        self.now = 0.0
        self.findings = Findings()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._cuts: set[tuple[int, int]] = set()  # from, to
        self._terms: dict[int, bytes] = {}
        self._highest = 0
        self._lordless_since: float | None = None
        self._had_lord = False
        self._lost_lord = False
        draw = self.random
        timing = scenario.times
        self._loss = draw.uniform(0, scenario.loss) * draw.choice((0, 1))
        self._duplicates = draw.uniform(0, scenario.duplicates)
        self._delay = draw.choice((0.005, 0.05, scenario.delay))
        self._slow = draw.choice((0.0, 0.02, 0.2))  # how many packets take that long
        self.nodes = [
            Node(
                number,
                self._valor(number),
                1 + draw.uniform(-1, 1) * timing.drift,
                draw.uniform(0, 1e6),
            )
            for number in range(scenario.nodes)
        ]

    def _valor(self, number: int) -> int:
        if self.scenario.arbiter and number == self.scenario.nodes - 1:
            return 0
        return 5 if self.scenario.equal_valors else 10 * (number + 1)

    def run(self) -> Findings:
        """Live it through.

        Raises:
            RuntimeError: the nodes never come to rest.
        """
        period = self.scenario.times.period
        end = self.scenario.periods * period
        for node in self.nodes:
            self._at(self.random.uniform(0, period), partial(self._start, node))
        for _ in range(self.scenario.faults):
            self._at(self.random.uniform(0, end), self._fault)
        for _ in range(MAX_EVENTS):
            if not self._events or self._events[0][0] > end:
                break
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._see_lords()
        else:
            raise RuntimeError(f"more than {MAX_EVENTS} events in {self.now:.1f} s")
        self.now = end
        self._end_gap()
        self.findings.lasted = end
        return self.findings

    # Events.

    def _at(self, delay: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, event))

    def _say(self, text: str) -> None:
        if self.trace is not None:
            self.trace(f"{self.now:9.4f} {text}")

    def _start(self, node: Node) -> None:
        node.up = True
        node.life += 1
        node.waiting.clear()
        node.hooks_fail = False
        now = node.clock(self.now)
        timing = self.scenario.times
        name = b"n%d" % node.number
        quorum = self.scenario.majority
        if self.scenario.mode == "sealed":
            identity = Identity(self.random.randbytes(16), name, node.valor)
            node.election = PromiseElection(
                identity, quorum=quorum, timing=timing, now=now, term=node.term
            )
        else:
            identity = Identity(self.random.randbytes(18).hex().encode(), name, node.valor)
            node.stamps = Stamps(timing.skew)
            node.election = UnanimousElection(
                identity, legion=b"l", pid=node.life, quorum=quorum, timing=timing, now=now
            )
        self._say(f"{name.decode()} starts")
        self._tick(node)

    def _tick(self, node: Node) -> None:
        now = node.clock(self.now)
        self._act(node, node.election.tick(now, node.wall(self.now)))

    def _wake(self, node: Node, wake: float) -> None:
        if node.wake == wake and node.up and not node.stalled:
            self._tick(node)

    def _deliver(self, node: Node, message: Message) -> None:
        if not node.up:
            return
        if node.stalled:
            node.waiting.append(message)
            return
        # As the driver must: after a wait first the time, then what came.
        self._tick(node)
        self._hear(node, message)

    def _hear(self, node: Node, message: Message) -> None:
        wall = node.wall(self.now)
        if isinstance(message, Announcement) and node.stamps.admit(
            message.uuid, message.unix, wall
        ):
            return
        self._act(node, node.election.receive(message, node.clock(self.now), wall))

    def _act(self, node: Node, actions: list[Any]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._send(node, action)
            elif isinstance(action, Rise):
                self._rise(node, action.term)
            elif isinstance(action, StepDown):
                self._say(f"n{node.number} steps down from {action.term}: {action.reason}")
                took = self.random.uniform(0, self.scenario.times.release * 0.99)
                self._at(took, partial(self._fell, node, node.life))
            elif self.trace is not None:
                self._say(f"n{node.number} {action}")
        if node.up:
            wake = node.time(node.election.next_time())
            if wake != node.wake or wake <= self.now:
                node.wake = wake
                if wake < inf:
                    delay = max(wake - self.now, 1e-6)
                    self._at(delay, partial(self._wake, node, wake))

    def _send(self, node: Node, send: Send[Message]) -> None:
        for peer in self.nodes:
            if peer is node or not peer.up:
                continue
            if send.to is not None and peer.election.identity.uuid != send.to:
                continue
            if (node.number, peer.number) in self._cuts:
                continue
            copies = 2 if self.random.random() < self._duplicates else 1
            for _ in range(copies):
                if self.random.random() < self._loss:
                    continue
                slow = self.random.random() < self._slow
                delay = self.random.uniform(0.0002, self._delay if slow else 0.005)
                self._at(delay, partial(self._deliver, peer, send.message))

    def _rise(self, node: Node, term: int) -> None:
        uuid = node.election.identity.uuid
        self._say(f"n{node.number} rises in term {term}")
        self.findings.lords += 1
        if self._terms.setdefault(term, uuid) != uuid:
            self.findings.repeated_terms += 1
        if term <= self._highest:
            self.findings.fallen_terms += 1
        self._highest = max(self._highest, term)
        node.cleaning_late = False
        self._check(node)
        succeeded = not node.hooks_fail
        took = self.random.uniform(0, self.scenario.times.period / 10)
        self._at(took, partial(self._rose, node, node.life, succeeded))

    def _check(self, node: Node) -> None:
        for other in self.nodes:
            if other is node or not other.up:
                continue
            if other.holds():
                text = f"{self.now:.4f} n{node.number} acts while n{other.number} does"
                self._say(text)
                self.findings.overlaps.append(text)
            elif other.election.state in (*ACTING, State.FALLING):
                self.findings.late += 1

    def _rose(self, node: Node, life: int, succeeded: bool) -> None:
        if not node.up or node.life != life:
            return
        if node.stalled:
            self._at(0.5, partial(self._rose, node, life, succeeded))
            return
        self._tick(node)
        now = node.clock(self.now)
        actions = node.election.rose(now, node.wall(self.now), succeeded=succeeded)
        self._act(node, actions)

    def _fell(self, node: Node, life: int) -> None:
        if not node.up or node.life != life:
            return
        if node.stalled:
            self._at(0.5, partial(self._fell, node, life))
            return
        self._tick(node)
        self._act(node, node.election.fell(node.clock(self.now), node.wall(self.now)))

    # Faults.

    def _fault(self) -> None:
        draw = self.random
        timing = self.scenario.times
        kind = draw.choice(FAULTS)
        # Most faults strike the lord: that is where they can do harm.
        lords = [node for node in self.nodes if node.up and node.election.state in ACTING]
        started = [node for node in self.nodes if node.life and node.up and not node.stalled]
        victims = lords if lords and draw.random() < 0.7 else started
        victims = [node for node in victims if not node.stalled]
        if not victims:
            return
        node = draw.choice(victims)
        lasts = draw.uniform(0.1, 3) * timing.tolerance * draw.choice((0.3, 1))
        self._say(f"fault: {kind} n{node.number} for {lasts:.1f} s")
        if kind == "kill":
            self._stop(node, lasts)
        elif kind == "leave":
            if node.election.state in (State.MEMBER, State.LORD):
                now = node.clock(self.now)
                self._act(node, node.election.leave(now, node.wall(self.now)))
            self._stop(node, lasts)
        elif kind == "stall":
            node.stalled = True
            self._at(lasts, partial(self._continue, node, node.life))
        elif kind == "step":
            node.wall_offset += draw.choice((-1, 1)) * draw.choice((0.5, 30, 4000))
        elif kind == "hook":
            node.hooks_fail = True
            self._at(lasts, partial(setattr, node, "hooks_fail", False))
        else:
            self._cut(node, lasts, one_way=kind == "one-way")

    def _stop(self, node: Node, lasts: float) -> None:
        node.up = False
        node.waiting.clear()
        if self.scenario.remembers:
            node.term = node.election.term
        self._at(lasts * self.random.choice((0.02, 1)), partial(self._start, node))

    def _continue(self, node: Node, life: int) -> None:
        if not node.up or node.life != life:
            return
        node.stalled = False
        self._say(f"n{node.number} goes on")
        self._tick(node)
        # It is no lord any more, but its hooks have not had the time that they were promised.
        node.cleaning_late = node.election.state is State.FALLING
        if node.election.state in ACTING:
            self._check(node)
        # What came meanwhile, in the order in which it did.
        waiting, node.waiting = node.waiting, []
        for message in waiting:
            self._hear(node, message)

    def _cut(self, node: Node, lasts: float, *, one_way: bool) -> None:
        numbers = [other.number for other in self.nodes if other is not node]
        side = {node.number, *self.random.sample(numbers, self.random.randrange(len(numbers)))}
        cuts = set()
        for a in side:
            for b in set(numbers) - side:
                cuts.add((a, b))
                if not one_way:
                    cuts.add((b, a))
        if one_way and self.random.random() < 0.5:
            cuts = {(b, a) for a, b in cuts}
        self._cuts |= cuts
        self._at(lasts, partial(self._heal, frozenset(cuts)))

    def _heal(self, cuts: frozenset[tuple[int, int]]) -> None:
        self._say("a cut heals")
        self._cuts -= cuts

    # What there is to see.

    def _see_lords(self) -> None:
        has_lord = any(
            node.up and not node.stalled and node.life and node.election.state is State.LORD
            for node in self.nodes
        )
        if has_lord or not self._is_calm():
            self._end_gap()
        elif self._lordless_since is None:
            self._lordless_since = self.now
            self._lost_lord = self._had_lord
        self._had_lord = has_lord

    def _end_gap(self) -> None:
        if self._lordless_since is not None:
            gap = self.now - self._lordless_since
            (self.findings.takeovers if self._lost_lord else self.findings.starts).append(gap)
            self.findings.lordless += gap
            self._lordless_since = None

    def _is_calm(self) -> bool:
        """Whether a majority, one of which can be lord, is up and nothing cut between them."""
        running = [n for n in self.nodes if n.life and n.up and not n.stalled]
        if not self._cuts:
            return len(running) >= self.scenario.majority and any(n.can_be_lord for n in running)
        for node in running:
            side = [
                other
                for other in running
                if other is node
                or not {(node.number, other.number), (other.number, node.number)} & self._cuts
            ]
            if len(side) >= self.scenario.majority and any(n.can_be_lord for n in side):
                return True
        return False
