"""The figures of all gateway processes of a kind, those that have ended included.

What was shown once never becomes less because a process died: what it said last is kept. What it
has counted since is lost with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from uwgate.gateways.registry.figures import (
    NODES_OF_ROW,
    NodeFigures,
    ProcessFigures,
    Row,
    nodes_from,
    nodes_row,
    process_from,
)

MAX_ENDED = 16

NodeName = tuple[str, str]  # key, Node.name
ProcessName = tuple[int, float]  # pid, born
PAST: ProcessName = (0, 0.0)


@dataclass(slots=True)
class Account:
    """What one process said last. ``leaving`` are its nodes that only finish what runs there."""

    process: ProcessFigures = field(default_factory=ProcessFigures)
    nodes: dict[NodeName, NodeFigures] = field(default_factory=dict[NodeName, NodeFigures])
    hits: dict[str, int] = field(default_factory=dict[str, int])
    leaving: dict[NodeName, dict[str, Any]] = field(default_factory=dict[NodeName, dict[str, Any]])

    def take(self, row: Mapping[str, Any]) -> None:
        """One row of ``figures.rows_of``, in order.

        Raises:
            ValueError: it is damaged.
        """
        if "process" in row:
            self.process = process_from(row)
            return
        nodes = nodes_from(row)
        try:
            key = str(row["key"])
            self.hits[key] = int(row["hits"])
            self.nodes |= {(key, name): figures for name, figures in nodes.items()}
            self.leaving |= {(key, str(one["name"])): one for one in row["leaving"]}
        except (KeyError, TypeError) as error:
            raise ValueError(f"damaged figures: {error!r}") from error

    def add(self, other: Account) -> None:
        """What another process said that has ended."""
        self.process.add(other.process)
        for name, figures in other.nodes.items():
            self.nodes.setdefault(name, NodeFigures()).add(figures)
        for key, hits in other.hits.items():
            self.hits[key] = self.hits.get(key, 0) + hits

    def rows(self) -> Iterator[Row]:
        """What ``take`` makes the same account of, but for ``leaving``."""
        yield {"process": asdict(self.process)}
        keys: defaultdict[str, list[tuple[str, NodeFigures]]] = defaultdict(list)
        for (key, name), figures in self.nodes.items():
            keys[key].append((name, figures))
        for key, hits in self.hits.items():
            nodes = keys[key]
            for begin in range(0, len(nodes), NODES_OF_ROW) or range(1):
                yield nodes_row(key, hits, nodes[begin : begin + NODES_OF_ROW])

    def end(self) -> None:
        """The process has ended."""
        self.process.end()
        self.leaving.clear()
        for figures in self.nodes.values():
            figures.end()


class Ledger:
    """One account for each process that lives, and the sum of those that have ended.

    Accounts are replaced as a whole: who reads never sees half of what a process said. A process
    that was only disconnected may go on with its account: the last ``MAX_ENDED`` are kept apart.
    """

    def __init__(self) -> None:
        self._accounts: dict[ProcessName, Account] = {}
        self._ended: dict[ProcessName, Account] = {}
        self._past = Account()
        self._told: Account | None = None  # which is being taken over

    def put(self, account: Account) -> ProcessName:
        """What a process says now; returns its name."""
        name = (account.process.pid, account.process.born)
        self._ended.pop(name, None)
        self._accounts[name] = account
        return name

    def close(self, name: ProcessName) -> None:
        """A process has ended, or was disconnected."""
        account = self._accounts.pop(name, None)
        if account is None:
            return
        account.end()
        self._ended[name] = account
        if len(self._ended) > MAX_ENDED:
            self._past.add(self._ended.pop(next(iter(self._ended))))

    def forget(self, key: str, node: str) -> None:
        """A node has gone: should it come back, its figures begin anew."""
        for account in (self._past, *self._ended.values()):
            account.nodes.pop((key, node), None)

    def forget_key(self, key: str) -> None:
        """The last node of a key has gone."""
        for account in (self._past, *self._ended.values()):
            account.hits.pop(key, None)

    # From one registry to the next.

    def hand_over(self) -> Iterator[Row]:
        """All accounts, one after the other. What runs now is not handed over."""
        for account in self._all():
            account.end()
            yield from account.rows()

    def take_over(self, row: Mapping[str, Any]) -> None:
        """The next row of another ledger.

        Raises:
            ValueError: it is damaged, or comes before the account to which it belongs.
        """
        if "process" in row:
            account = Account()
            account.take(row)
            name = (account.process.pid, account.process.born)
            if name == PAST:
                self._past = account
            elif name not in self._accounts:
                self._ended[name] = account
            self._told = account
        elif self._told is None:
            raise ValueError("damaged figures: no account")
        else:
            self._told.take(row)

    @property
    def processes(self) -> list[ProcessFigures]:
        """Those that live."""
        return [account.process for account in self._accounts.values()]

    # Sums. They are made when somebody asks: with many nodes it would take long to make all.

    @property
    def process(self) -> ProcessFigures:
        """What all processes together have counted."""
        total = ProcessFigures()
        for account in self._all():
            total.add(account.process)
        return total

    def node(self, key: str, node: str) -> NodeFigures:
        """What all processes together have done with a node."""
        total = NodeFigures()
        for account in self._all():
            figures = account.nodes.get((key, node))
            if figures is not None:
                total.add(figures)
        return total

    def hits(self, key: str) -> int:
        """How often a node of a key was chosen."""
        return sum(account.hits.get(key, 0) for account in self._all())

    @property
    def leaving(self) -> dict[NodeName, dict[str, Any]]:
        """Nodes that only finish what runs there, each as one of the processes shows it."""
        found: dict[NodeName, dict[str, Any]] = {}
        for account in self._accounts.values():
            found |= account.leaving
        return found

    def _all(self) -> Iterator[Account]:
        yield self._past
        yield from self._ended.values()
        yield from self._accounts.values()
