"""A table as plain data: what an old gateway process hands over to the new one.

The old process may be an older release: fields that one side does not know are left out.
Running requests stay with the process that sent them, so references begin at 0 and nodes that
are leaving are left out. Times go over as they are: both processes use the machine's clock.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from uwgate.subscriptions.change import SniPaths
from uwgate.subscriptions.health import Health
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.table import Table

VERSION = 1
OF_THE_PROCESS = frozenset({"reference", "wrr", "death_mark", "health", "slot"})
NODE_FIELDS = tuple(field.name for field in fields(Node) if field.name not in OF_THE_PROCESS)

HEALTH_FIELDS = frozenset(field.name for field in fields(Health))


def to_json(table: Table) -> dict[str, Any]:
    """The table as lists, dicts, strings and numbers."""
    return {
        "version": VERSION,
        "slots": [
            {
                "key": slot.key,
                "algo": slot.algo,
                "hits": slot.hits,
                "nodes": [
                    {name: getattr(node, name) for name in NODE_FIELDS}
                    | {"health": asdict(node.health)}
                    for node in slot.members.values()
                    if not node.death_mark
                ],
            }
            for slot in table.slots.values()
        ],
        "sni": [
            {"key": key, "node": node, "paths": asdict(paths)}
            for key, node, paths in table.sni.rows()
        ],
    }


def from_json(table: Table, state: dict[str, Any]) -> None:
    """Put what another process knew into a table; what the table knows better stays.

    Raises:
        ValueError: the state is of another version, or damaged; the table may hold a part.
    """
    if state.get("version") != VERSION:
        raise ValueError(f"state of version {state.get('version')!r}, expected {VERSION}")
    try:
        table.take_over(
            (_node(row), slot["algo"]) for slot in state["slots"] for row in slot["nodes"]
        )
        for slot in state["slots"]:
            if slot["key"] in table.slots:
                table.slots[slot["key"]].hits += slot["hits"]
        for row in state["sni"]:
            if row["key"] in table.slots:
                table.sni.bring(row["key"], row["node"], SniPaths(**row["paths"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"damaged state: {error!r}") from error


def _node(row: dict[str, Any]) -> Node:
    health = {name: value for name, value in row["health"].items() if name in HEALTH_FIELDS}
    known = {name: row[name] for name in NODE_FIELDS if name in row}
    return Node(**known, health=Health(**health))
