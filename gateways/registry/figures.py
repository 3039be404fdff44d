"""What a gateway process has counted, as rows of JSON values for the registry.

The first row is of the process, each further one of some nodes of one key. The registry adds up
those of all processes of a kind (``ledger``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from uwgate.subscriptions.node import Node
from uwgate.subscriptions.statistics import node_statistics
from uwgate.subscriptions.table import Table

FAREWELL = 0  # the question that nobody asks: a process answers it before it ends
NODES_OF_ROW = 64

Row = dict[str, Any]  # of JSON values


@dataclass(slots=True, kw_only=True)
class StaticFigures:
    """A backend of ``-to``. ``failed_at`` is seconds since 1970, 0 unless it is left alone."""

    hits: int = 0
    failed_at: float = 0.0

    def add(self, other: StaticFigures) -> None:
        """What another process has seen of it."""
        self.hits += other.hits
        self.failed_at = max(self.failed_at, other.failed_at)


@dataclass(slots=True, kw_only=True)
class NodeFigures:
    """What one process, or all together, have done with a node; names as in ``Node``.

    ``latency`` is the mean in seconds of ``measured`` requests.
    """

    requests: int = 0
    last_requests: int = 0
    tx: int = 0
    rx: int = 0
    reference: int = 0
    failcnt: int = 0
    wrr: int = 0
    latency: float = 0.0
    measured: int = 0

    @classmethod
    def of(cls, node: Node) -> NodeFigures:
        """Those of this process."""
        return cls(
            requests=node.requests,
            last_requests=node.last_requests,
            tx=node.tx,
            rx=node.rx,
            reference=node.reference,
            failcnt=node.failcnt,
            wrr=node.wrr,
            latency=node.latency,
            measured=node.requests if node.latency else 0,
        )

    def add(self, other: NodeFigures) -> None:
        """What another process has done."""
        measured = self.measured + other.measured
        if measured:
            total = self.latency * self.measured + other.latency * other.measured
            self.latency = total / measured
        self.measured = measured
        self.requests += other.requests
        self.last_requests += other.last_requests
        self.tx += other.tx
        self.rx += other.rx
        self.reference += other.reference
        self.failcnt += other.failcnt
        self.wrr += other.wrr

    def end(self) -> None:
        """The process has ended: nothing runs there any more."""
        self.reference = 0
        self.wrr = 0


@dataclass(slots=True, kw_only=True)
class ProcessFigures:
    """What a process has counted, but for its nodes.

    ``pid`` and ``born``, on the machine's monotonic clock, tell it from all others. ``answers``
    are those that clients got, by the class of their status (``2xx``); ``refused`` by reason;
    ``static_requests`` got a file without any worker; ``static`` is by the address of a backend.
    """

    pid: int = 0
    born: float = 0.0
    uid: int = 0
    gid: int = 0
    active_sessions: int = 0
    retries_spent: int = 0
    retries_refused: int = 0
    static_requests: int = 0
    answers: dict[str, int] = field(default_factory=dict[str, int])
    refused: dict[str, int] = field(default_factory=dict[str, int])
    static: dict[str, StaticFigures] = field(default_factory=dict[str, StaticFigures])

    def add(self, other: ProcessFigures) -> None:
        """What another process has counted."""
        self.active_sessions += other.active_sessions
        self.retries_spent += other.retries_spent
        self.retries_refused += other.retries_refused
        self.static_requests += other.static_requests
        _add_counts(self.answers, other.answers)
        _add_counts(self.refused, other.refused)
        for name, figures in other.static.items():
            self.static.setdefault(name, StaticFigures()).add(figures)

    def end(self) -> None:
        """The process has ended: what it had open is closed, what it left alone is forgotten."""
        self.active_sessions = 0
        for figures in self.static.values():
            figures.failed_at = 0.0


def rows_of(process: ProcessFigures, table: Table | None, epoch: float) -> Iterator[Row]:
    """All rows of a process. The table may change between two of them.

    ``epoch`` is when the table's clock was 0, in seconds since 1970.
    """
    yield {"process": asdict(process)}
    if table is None:
        return
    for key in list(table.slots):
        slot = table.slots.get(key)
        if slot is None:
            continue
        nodes = [node for node in slot.members.values() if node.death_mark or _has_figures(node)]
        for begin in range(0, len(nodes), NODES_OF_ROW) or range(1 if slot.hits else 0):
            some = nodes[begin : begin + NODES_OF_ROW]
            figures = [(node.name, NodeFigures.of(node)) for node in some]
            leaving = [node_statistics(node, epoch) for node in some if node.death_mark]
            yield nodes_row(key, slot.hits, figures) | {"leaving": leaving}


def nodes_row(key: str, hits: int, nodes: Iterable[tuple[str, NodeFigures]]) -> Row:
    """A row of some nodes of a key, by name. ``hits`` is that of the key."""
    return {
        "key": key,
        "hits": hits,
        "nodes": {name: list(_values(figures)) for name, figures in nodes},
        "leaving": [],
    }


def process_from(row: Mapping[str, Any]) -> ProcessFigures:
    """What the first row says.

    Raises:
        ValueError: it is damaged.
    """
    known = {one.name for one in fields(ProcessFigures)}
    try:
        values = {name: value for name, value in row["process"].items() if name in known}
        static = values.pop("static", {})
        return ProcessFigures(
            **values, static={name: StaticFigures(**one) for name, one in static.items()}
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"damaged figures: {error!r}") from error


def nodes_from(row: Mapping[str, Any]) -> dict[str, NodeFigures]:
    """The nodes of a further row, by name.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return {
            name: NodeFigures(**dict(zip(NODE_FIELDS, values, strict=True)))
            for name, values in row["nodes"].items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"damaged figures: {error!r}") from error


def _has_figures(node: Node) -> bool:
    return bool(node.requests or node.failcnt or node.reference or node.tx or node.rx)


def _values(figures: NodeFigures) -> Iterable[int | float]:
    return (getattr(figures, name) for name in NODE_FIELDS)


def _add_counts(to: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        to[name] = to.get(name, 0) + count


NODE_FIELDS = tuple(one.name for one in fields(NodeFigures))
