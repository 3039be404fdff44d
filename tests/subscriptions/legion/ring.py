"""Some elections on one perfect network with a virtual clock, for tests that read as a story."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from uwgate.subscriptions.legion.election import (
    Election,
    Identity,
    Rise,
    Send,
    State,
    StepDown,
    Timing,
)
from uwgate.subscriptions.legion.promises import PromiseElection
from uwgate.subscriptions.legion.unanimity import UnanimousElection

EPOCH = 1_800_000_000.0
HOP = 0.001  # seconds that a packet takes
SEALED = Timing(period=1.0, tolerance=3.0)


class Ring:
    """Nodes by name; ``valors`` says who starts at once. Hooks take no time unless ``slow``."""

    def __init__(
        self, *, sealed: bool = True, quorum: int = 2, timing: Timing | None = None, **valors: int
    ) -> None:
        self.sealed = sealed
        self.quorum = quorum
        self.timing = timing or (SEALED if sealed else Timing())
        self.now = 0.0
        self.nodes: dict[str, Election[Any]] = {}
        self.actions: dict[str, list[Any]] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.stalled: dict[str, list[Any]] = {}
        self.slow: set[str] = set()  # whose hooks run until the test calls rose or fell
        self.failing: set[str] = set()  # whose lord hooks fail
        self.under_way: list[tuple[float, str, Any]] = []
        self.lives = 0
        for name, valor in valors.items():
            self.start(name, valor)

    def start(self, name: str, valor: int, **changes: Any) -> None:
        """Start a node, or another life of it."""
        self.lives += 1
        uuid = f"{name}{self.lives}".encode()
        arguments: dict[str, Any] = {"quorum": self.quorum, "timing": self.timing, "now": self.now}
        arguments |= changes
        if self.sealed:
            identity = Identity(uuid.rjust(16, b"-"), name.encode(), valor)
            self.nodes[name] = PromiseElection(identity, **arguments)
        else:
            identity = Identity(uuid.rjust(36, b"-"), name.encode(), valor)
            self.nodes[name] = UnanimousElection(identity, legion=b"l", pid=1, **arguments)
        self.actions.setdefault(name, [])

    def kill(self, name: str) -> None:
        """Without a word."""
        del self.nodes[name]

    def leave(self, name: str) -> None:
        """With one."""
        self.act(name, self.nodes[name].leave(self.now, self.wall))
        del self.nodes[name]

    def abdicate(self, name: str) -> None:
        """It has lost something that a lord needs."""
        self.act(name, self.nodes[name].abdicate(self.now, self.wall, "lost"))

    def stall(self, name: str) -> None:
        self.stalled[name] = []

    def go_on(self, name: str) -> None:
        waiting = self.stalled.pop(name)
        self.tick(name)
        for message in waiting:
            self.act(name, self.nodes[name].receive(message, self.now, self.wall))

    def cut(self, *pairs: str) -> None:
        """``"ab"``: nothing comes from a to b any more."""
        self.cuts |= {(pair[0], pair[1]) for pair in pairs}

    def heal(self) -> None:
        self.cuts.clear()

    @property
    def wall(self) -> float:
        return EPOCH + self.now

    @property
    def lords(self) -> set[str]:
        """Who may act as lord at this moment."""
        return {name for name, node in self.nodes.items() if node.is_lord(self.now)}

    def did(self, name: str, kind: type) -> list[Any]:
        """A node's actions of one kind."""
        return [action for action in self.actions[name] if isinstance(action, kind)]

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            times = {
                name: node.next_time()
                for name, node in self.nodes.items()
                if name not in self.stalled
            }
            name = min(times, key=lambda each: times[each], default=None)
            arrives = min((time for time, _, _ in self.under_way), default=end)
            due = max(self.now, min(times[name] if name else end, arrives))
            if due >= end:
                break
            self.now = due
            if arrives <= due:
                self._arrive()
            elif name is not None:
                self.tick(name)
        self.now = end

    def _arrive(self) -> None:
        arrived = [item for item in self.under_way if item[0] <= self.now]
        self.under_way = [item for item in self.under_way if item[0] > self.now]
        for _, name, message in arrived:
            if name in self.stalled:
                self.stalled[name].append(message)
            elif name in self.nodes:
                self.tick(name)
                self.act(name, self.nodes[name].receive(message, self.now, self.wall))

    def tick(self, name: str) -> None:
        self.act(name, self.nodes[name].tick(self.now, self.wall))

    def act(self, name: str, actions: list[Any]) -> None:
        self.actions[name] += actions
        node = self.nodes[name]
        for action in actions:
            if isinstance(action, Send):
                self._send(name, action)
            elif isinstance(action, Rise) and name not in self.slow:
                succeeded = name not in self.failing
                self.act(name, node.rose(self.now, self.wall, succeeded=succeeded))
            elif isinstance(action, StepDown) and name not in self.slow:
                self.act(name, node.fell(self.now, self.wall))

    def _send(self, name: str, send: Send[Any]) -> None:
        for peer, node in self.nodes.items():
            if peer == name or (name, peer) in self.cuts:
                continue
            if send.to is None or send.to == node.identity.uuid:
                self.under_way.append((self.now + HOP, peer, send.message))


def changed(timing: Timing, **changes: float) -> Timing:
    return replace(timing, **changes)


def state_of(ring: Ring, name: str) -> State:
    return ring.nodes[name].state
