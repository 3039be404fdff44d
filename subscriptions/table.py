"""The table: every key, its nodes, and what announcements, failures and time do to them.

After spec/subscriptions.md section 5, with these differences: what a refresh says about
modifiers counts, expiry does not wait for a request, a node that failed stays listed, and there
are bounds. No I/O and no clock: ``now`` is an argument, in seconds of one clock that all
processes of the machine share and that does not jump (``time.monotonic``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from uwgate.subscriptions import balancing
from uwgate.subscriptions.admission import Credentials
from uwgate.subscriptions.balancing.registry import DEFAULT
from uwgate.subscriptions.balancing.two_choices import measure
from uwgate.subscriptions.calendar import Calendar
from uwgate.subscriptions.change import Back, Cause, Change, Joined, Left, Out
from uwgate.subscriptions.health import CheckPolicy, Circuit, EjectionPolicy, Health
from uwgate.subscriptions.lookup import Lookup
from uwgate.subscriptions.node import ANNOUNCED, Node
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.slot import Slot
from uwgate.subscriptions.sni import SniTable, paths_of

COPIED = ("modifier1", "modifier2", "cores", "load", "free", "backup", "notify", "via")
TOLERANCE = 17.0  # seconds without announcement; subscription-tolerance (section 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """What an operator decides about a table. Times are in seconds.

    ``tolerance`` 0 lets nodes stay for ever. ``slow_start`` 0 gives new nodes their full
    share at once. ``algo`` is for keys that are not in ``algos`` and whose first packet names
    no algorithm.
    """

    algo: str = DEFAULT
    algos: Mapping[str, str] = field(default_factory=dict[str, str])
    tolerance: float = TOLERANCE
    tolerance_inactive: float = TOLERANCE  # of vassals without an address
    slow_start: float = 0.0
    max_keys: int = 100_000
    max_nodes: int = 200_000
    max_nodes_of_key: int = 1024
    ejection: EjectionPolicy = field(default_factory=EjectionPolicy)
    circuit: Circuit = field(default_factory=Circuit)
    lookup: Lookup = field(default_factory=Lookup)


class Table:
    """Slots by key. Call ``advance`` at least twice a second."""

    def __init__(self, options: TableOptions | None = None) -> None:
        self.options = options or TableOptions()
        self.slots: dict[str, Slot] = {}
        self.sni = SniTable()
        self.node_count = 0
        self._calendar = Calendar()
        lookup = self.options.lookup
        self._is_plain = lookup.is_plain
        self._fold_case = lookup.fold_case

    # What nodes say.

    def follow(
        self, packet: Packet, now: float, sender: Credentials | None = None, *, sni: bool = False
    ) -> list[Change]:
        """Do what an admitted packet says.

        ``sni``: the certificate paths in it may be used; without a signature or a folder they
        are whatever somebody wrote into a datagram.

        Raises:
            Refused: FULL, a bound would be broken; nothing has changed.
        """
        if packet.command is Command.UNSUBSCRIBE:
            return self.unsubscribe(packet, now)
        return self.subscribe(packet, now, sender, sni=sni)

    def subscribe(
        self, packet: Packet, now: float, sender: Credentials | None = None, *, sni: bool = False
    ) -> list[Change]:
        """Add a node or refresh what is known of it; see ``follow``."""
        key = self.options.lookup.normal(packet.key)
        slot = self.slots.get(key)
        node = self._find(slot, packet)
        changes: list[Change] = []
        if slot is None or node is None:
            self._check_bounds(key, slot)
            slot = slot or self._open(key, packet.algo)
            node = Node(key=slot.key, address=packet.address, vassal=packet.vassal)
            slot.add(node)
            self.node_count += 1
            self._begin(node, now)
            changes.append(Joined(node))
        elif node.death_mark:  # it was leaving, or its announcements had stopped
            node.death_mark = False
            node.health.announced(now)
            self._begin(node, now)
            changes.append(Joined(node))
        elif node.health.announced(now):
            self._begin(node, now)
            changes.append(Back(node, Cause.ANNOUNCED))
        if self._update(slot, node, packet, sender, now) or changes:
            slot.refresh()
        paths = paths_of(packet) if sni else None
        if paths is not None:
            changes += self.sni.bring(key, node.name, paths)
        return changes

    def unsubscribe(self, packet: Packet, now: float) -> list[Change]:
        """Let a node go: it gets no more requests, those that run there finish.

        An unknown one is passed over. A vassal that says ``clear`` loses its address but
        stays (section 13).
        """
        slot = self.slots.get(self.options.lookup.normal(packet.key))
        node = self._find(slot, packet)
        if slot is None or node is None or node.death_mark:
            return []
        if (
            packet.clear
            and node.vassal
            and node.address
            and slot.members.get(f"\0{node.vassal}") is None
        ):
            return self._put_to_sleep(slot, node, now)
        node.failcnt += 1
        return self._let_go(node, Cause.UNSUBSCRIBED)

    # What requests ask and tell.

    def find(self, name: str, path: str = "") -> Slot | None:
        """The slot that serves a name; None if no key of it has a live node.

        ``path`` is the decoded path of the request, for mountpoints.
        """
        if self._is_plain:
            slot = self.slots.get(name.lower() if self._fold_case else name)
            return slot if slot is not None and slot.nodes else None
        for key in self.options.lookup.candidates(name, path):
            slot = self.slots.get(key)
            if slot is not None and slot.nodes:
                return slot
        return None

    def find_sleeping(self, name: str, path: str = "") -> Slot | None:
        """The slot of a name whose vassals have to be started first (section 13)."""
        for key in self.options.lookup.candidates(name, path):
            slot = self.slots.get(key)
            if slot is not None and slot.sleeping:
                return slot
        return None

    def connected(self, node: Node) -> None:
        """A connection to a chosen node succeeded."""
        if node.slot is not None:
            node.slot.connected(node)

    def answered(self, node: Node, now: float, seconds: float) -> None:
        """A node has answered well, ``seconds`` after it got the request."""
        node.health.good(self.options.ejection, now)
        measure(node, seconds, now)

    def answered_badly(self, node: Node, now: float) -> list[Change]:
        """A node broke off, took too long, or answered with an error of its own (5xx)."""
        slot = node.slot
        if slot is None or node.death_mark or not node.health.bad(self.options.ejection):
            return []
        count = len(slot.live) + slot.out
        if not self.options.ejection.may_eject(slot.out, count):
            return []
        return self._put_out(slot, node, Cause.BAD_ANSWERS, now)

    def unreachable(self, node: Node, now: float) -> list[Change]:
        """A connection to a node was refused or not made in time: it gets no requests.

        It comes back with its next announcement, or after a period if it was put out twice
        without a good answer in between.
        """
        node.failcnt += 1
        slot = node.slot
        if slot is None or node.death_mark or node.health.is_out:
            return []
        return self._put_out(slot, node, Cause.UNREACHABLE, now)

    def looked(self, node: Node, now: float, policy: CheckPolicy, *, good: bool) -> list[Change]:
        """Somebody looked after a node, without a request.

        Unlike bad answers, failed looks may put out all nodes of a key.
        """
        if node.slot is None or node.death_mark or not node.health.looked(policy, good=good):
            return []
        return self._checked(node, now)

    def release(self, node: Node, *, tx: int = 0, rx: int = 0) -> list[Change]:
        """A request that was given to a node has ended, whatever became of it.

        ``tx`` and ``rx`` are bytes; as in uWSGI those from the node, and those to it.

        Raises:
            ValueError: nothing runs on it; that is a bug of the caller.
        """
        node.tx += tx
        node.rx += rx
        slot = node.slot
        if slot is None:
            raise ValueError(f"{node.key}: {node.address} has no request to release")
        return self._remove(slot, node) if slot.release(node) else []

    # What time does.

    def advance(self, now: float, *, expire: bool = True) -> list[Change]:
        """Drop nodes whose announcements stopped; take back those whose period is over.

        Without ``expire`` nobody is dropped: announcements may have been lost on the way.
        """
        changes: list[Change] = []
        calendar = self._calendar
        limits = (self.options.tolerance, self.options.tolerance_inactive)
        while expire and (node := calendar.next_silent(now, *limits)) is not None:
            node.failcnt += 1
            changes += self._let_go(node, Cause.EXPIRED)
        while (node := calendar.next_return(now)) is not None:
            slot = node.slot
            if slot is not None and node.health.tick(now) and not node.death_mark:
                self._begin(node, now)
                slot.refresh()
                changes.append(Back(node, Cause.PERIOD_OVER))
        return changes

    @property
    def is_empty(self) -> bool:
        """Whether nobody serves anything: a cheap gateway then stops accepting."""
        return not self.slots

    def set_weight(self, node: Node, weight: int) -> None:
        """Change a weight at run time; the node's next announcement changes it again."""
        node.weight = max(1, weight)
        if node.slot is not None:
            node.slot.refresh()

    # What other processes tell (state).

    def put(self, said: Node, algo: str, now: float) -> list[Change]:
        """Take over a node as another process has it; call ``settle`` after the last one.

        ``algo`` is that of its slot there. A node that is here already keeps its requests
        and its figures.
        """
        slot = self.slots.get(said.key) or self._open(said.key, algo)
        node = slot.members.get(said.name)
        if node is None:
            slot.add(node := said)
            self.node_count += 1
        else:
            for name in ANNOUNCED:
                setattr(node, name, getattr(said, name))
        changes: list[Change] = []
        if node is said or node.death_mark:
            node.death_mark = False
            node.health = said.health
            self._calendar.is_out(node)
            changes.append(Joined(node))
        else:
            changes += self.set_health(node, said.health, Cause.TOLD, now)
        self._calendar.heard_of(node)
        slot.refresh()
        return changes

    def settle(self) -> None:
        """Put nodes that came from another process in the order in which they expire."""
        self._calendar.settle()

    def node(self, key: str, name: str) -> Node | None:
        """The node of this name (``Node.name``), unless it is leaving."""
        slot = self.slots.get(key)
        node = None if slot is None else slot.members.get(name)
        return None if node is None or node.death_mark else node

    def drop(self, node: Node, cause: Cause) -> list[Change]:
        """Let a node go that another process has let go."""
        return [] if node.death_mark else self._let_go(node, cause)

    def set_health(self, node: Node, health: Health, cause: Cause, now: float) -> list[Change]:
        """Whether a node is well, as another process has found out."""
        was_out = node.health.is_out
        node.health = health
        self._calendar.is_out(node)
        if node.slot is None or was_out == health.is_out:
            return []
        if not health.is_out:
            self._begin(node, now)
        node.slot.refresh()
        return [Out(node, cause, health.out_until)] if health.is_out else [Back(node, cause)]

    # Inside.

    def _find(self, slot: Slot | None, packet: Packet) -> Node | None:
        """By address; a vassal that has just got one is still known by its name."""
        if slot is None:
            return None
        node = slot.members.get(packet.address) if packet.address else None
        if node is None and packet.vassal:
            node = slot.members.get(f"\0{packet.vassal}")
        return node

    def _check_bounds(self, key: str, slot: Slot | None) -> None:
        options = self.options
        if slot is None and len(self.slots) >= options.max_keys:
            raise Refused(Refusal.FULL, f"{key}: there are {options.max_keys} keys already")
        if self.node_count >= options.max_nodes:
            raise Refused(Refusal.FULL, f"{key}: there are {options.max_nodes} nodes already")
        if slot is not None and len(slot.members) >= options.max_nodes_of_key:
            raise Refused(Refusal.FULL, f"{key}: it has {options.max_nodes_of_key} nodes already")

    def _open(self, key: str, algo: str) -> Slot:
        wanted = self.options.algos.get(key) or algo
        name, algorithm = balancing.make(wanted, self.options.algo)
        slot = self.slots[key] = Slot(key, name, algorithm, self.options.circuit)
        return slot

    def _begin(self, node: Node, now: float) -> None:
        """It is about to get requests, for the first time or again."""
        node.wrr = 0
        node.warming = self.options.slow_start
        node.warm_at = now + node.warming

    def _update(
        self, slot: Slot, node: Node, packet: Packet, sender: Credentials | None, now: float
    ) -> bool:
        """Take over what a packet says; returns whether the choice is another one now."""
        before = (node.weight, node.backup, node.address)
        if node.address != packet.address and packet.address:
            slot.remove(node)
            node.address = packet.address
            slot.add(node)
        for name in COPIED:
            setattr(node, name, getattr(packet, name))
        node.weight = packet.weight or 1
        node.vassal = packet.vassal or node.vassal
        node.proto = packet.proto[:1]
        if packet.unix is not None:
            node.said = packet.said
        if sender is not None:
            node.pid, node.uid, node.gid = sender.pid, sender.uid, sender.gid
        node.last_check = now
        slot.announced(node)
        self._calendar.heard_of(node)
        return before != (node.weight, node.backup, node.address)

    def _put_out(self, slot: Slot, node: Node, cause: Cause, now: float) -> list[Change]:
        until = node.health.eject(self.options.ejection, now)
        self._calendar.is_out(node)
        slot.refresh()
        return [Out(node, cause, until)]

    def _checked(self, node: Node, now: float) -> list[Change]:
        """Checks have put it out or taken it back; what else keeps it out stays in force."""
        assert node.slot is not None
        is_back = not node.health.is_out
        if is_back:
            self._begin(node, now)
        node.slot.refresh()
        if node.health.fails_checks:
            return [Out(node, Cause.CHECKS, None)]
        return [Back(node, Cause.CHECKS)]

    def _put_to_sleep(self, slot: Slot, node: Node, now: float) -> list[Change]:
        slot.remove(node)
        node.address = ""
        slot.add(node)
        self._calendar.heard_of(node)
        node.last_check = now
        slot.refresh()
        return [Left(node, Cause.UNSUBSCRIBED)]

    def _let_go(self, node: Node, cause: Cause) -> list[Change]:
        """It gets no more requests; with the last that runs there it is removed."""
        slot = self.slots[node.key]
        node.death_mark = True
        self._calendar.forget(node)
        slot.refresh()
        changes: list[Change] = [Left(node, cause)]
        if node.reference == 0:
            changes += self._remove(slot, node)
        return changes

    def _remove(self, slot: Slot, node: Node) -> list[Change]:
        slot.remove(node)
        self.node_count -= 1
        if slot.members:
            self.sni.leave(slot.key, node.name)
            return []
        del self.slots[slot.key]
        return self.sni.drop(slot.key)
