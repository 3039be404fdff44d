"""A table as plain data: what one process tells another of it, in rows of a bounded size.

The other process may be of another release: fields that one side does not know are left out.
Running requests stay with the process that sent them, so references begin at 0 and nodes that
are leaving are left out. Times go over as they are: all processes use the machine's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, fields
from typing import Any

from uwgate.subscriptions.change import Cause, Change, SniPaths
from uwgate.subscriptions.health import Health
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import MAX_NUMBER
from uwgate.subscriptions.table import Table

NODES_OF_ROW = 64
# What a process has counted is added up elsewhere (gateways/registry/ledger.py).
COUNTED = frozenset({"requests", "last_requests", "tx", "rx", "failcnt"})
OF_THE_PROCESS = frozenset({"reference", "wrr", "place", "death_mark", "health", "slot"}) | COUNTED
Row = dict[str, Any]  # of JSON values
Types = dict[str, tuple[type, ...]]


def _types(of: type[Node] | type[Health]) -> Types:
    """What the fields hold, by their defaults. None stands for a number that is not known."""
    found: Types = {}
    for field in fields(of):
        match field.default:
            case bool() | str():
                found[field.name] = (type(field.default),)
            case float():
                found[field.name] = (float, int)
            case int():
                found[field.name] = (int,)
            case None:
                found[field.name] = (float, int, type(None))
            case _:
                found[field.name] = (str,)
    return found


HEALTH_FIELDS = _types(Health)
NODE_FIELDS = {name: types for name, types in _types(Node).items() if name not in OF_THE_PROCESS}


def rows(table: Table, keys: Iterable[str]) -> Iterator[Row]:
    """What a table has under some keys, at most ``NODES_OF_ROW`` nodes of one key in each row.

    The table may change between two rows.
    """
    for key in keys:
        slot = table.slots.get(key)
        if slot is None:
            continue
        nodes = [node for node in slot.members.values() if not node.death_mark]
        brought = table.sni.of(key)
        for begin in range(0, len(nodes), NODES_OF_ROW):
            row: Row = {
                "key": key,
                "algo": slot.algo,
                "nodes": [_plain(node) for node in nodes[begin : begin + NODES_OF_ROW]],
            }
            if brought is not None:
                row["sni"] = {"node": brought[1], "paths": asdict(brought[0])}
            yield row


def health_from(row: Row) -> Health:
    """The health of a node, as ``asdict`` has written it down.

    Raises:
        TypeError: a value is of another type.
    """
    return Health(**_known(row, HEALTH_FIELDS))


def add(table: Table, row: Row, now: float, *, without: Collection[tuple[str, str]]) -> bool:
    """Add those nodes of a row that a table does not know; returns whether there were any.

    ``without`` are keys and names of nodes that have gone meanwhile.

    Raises:
        ValueError: the row is damaged; a part of it may have been added.
    """
    try:
        unknown = [
            node
            for node in map(_node, row["nodes"])
            if table.node(node.key, node.name) is None and (node.key, node.name) not in without
        ]
        for node in unknown:
            table.put(node, row["algo"], now)
        brought = row.get("sni")
        if unknown and brought is not None:
            table.sni.bring(row["key"], brought["node"], SniPaths(**brought["paths"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(error) from error
    return bool(unknown)


class Copy:
    """Makes a table the same as another one, while that one goes on changing.

    Give it every row and what has changed meanwhile, in the order in which they were made.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._seen: set[tuple[str, str]] = set()
        self._keys: set[str] = set()  # whose certificates are known to be right

    def put(self, row: Row, now: float) -> list[Change]:
        """One row.

        Raises:
            ValueError: it is damaged; a part of it may have been followed.
        """
        changes: list[Change] = []
        table = self._table
        try:
            for node in map(_node, row["nodes"]):
                self._seen.add((node.key, node.name))
                changes += table.put(node, row["algo"], now)
            key, brought = row["key"], row.get("sni")
            if key in table.slots and key not in self._keys:
                self._keys.add(key)
                if brought is not None:
                    changes += table.sni.put(key, brought["node"], SniPaths(**brought["paths"]))
                else:
                    changes += table.sni.drop(key)
        except (KeyError, TypeError, AttributeError) as error:
            raise _damaged(error) from error
        return changes

    def heard_of(self, key: str, name: str) -> None:
        """A node was announced since the first row."""
        self._seen.add((key, name))

    def end(self) -> list[Change]:
        """There are no more rows: who was in none of them goes."""
        table = self._table
        gone = [
            node
            for slot in table.slots.values()
            for node in slot.members.values()
            if (node.key, node.name) not in self._seen
        ]
        changes: list[Change] = []
        for node in gone:
            changes += table.drop(node, Cause.TOLD)
        table.settle()
        return changes


def _plain(node: Node) -> Row:
    return {name: getattr(node, name) for name in NODE_FIELDS} | {"health": asdict(node.health)}


def _node(row: Row) -> Node:
    return Node(**_known(row, NODE_FIELDS), health=health_from(row["health"]))


def _known(row: Row, types: Types) -> Row:
    known = {name: row[name] for name in types if name in row}
    for name, value in known.items():
        is_sane = not isinstance(value, int | float) or abs(value) <= MAX_NUMBER  # NaN is not
        if not isinstance(value, types[name]) or not is_sane:
            raise TypeError(f"{name} is {value!r}")
    return known


def _damaged(error: Exception) -> ValueError:
    return ValueError(f"damaged row: {error!r}")
