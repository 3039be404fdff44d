"""What a stats server shows of a table, with uWSGI's names (spec/gateways.md section 11)."""

from __future__ import annotations

from typing import Any

from uwgate.subscriptions.djb33x import BUCKETS, djb33x
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.slot import Slot
from uwgate.subscriptions.sni import server_name
from uwgate.subscriptions.table import Table


def statistics(table: Table, now: float, unix: float) -> list[dict[str, Any]]:
    """One entry for every key. ``now`` is the table's clock, ``unix`` seconds since 1970."""
    return [slot_statistics(table, slot, unix - now) for slot in table.slots.values()]


def slot_statistics(table: Table, slot: Slot, epoch: float) -> dict[str, Any]:
    """One entry for a key; ``epoch`` is when the table's clock was 0, in seconds since 1970."""
    return {
        "key": slot.key,
        "hash": hash_of(slot.key),
        "hits": slot.hits,
        "algo": slot.algo,
        "sni_enabled": int(table.sni.find(server_name(slot.key)) is not None),
        "nodes": [node_statistics(node, epoch) for node in slot.members.values()],
    }


def hash_of(key: str) -> int:
    """The number that uWSGI shows with a key (spec/subscriptions.md section 5)."""
    return djb33x(key.encode()) % BUCKETS


def node_statistics(node: Node, epoch: float) -> dict[str, Any]:
    """One entry for a node; ``epoch`` as for ``slot_statistics``."""
    return {
        "name": node.address,
        "vassal": node.vassal,
        "modifier1": node.modifier1,
        "modifier2": node.modifier2,
        "last_check": int(node.last_check + epoch),
        "pid": node.pid,
        "uid": node.uid,
        "gid": node.gid,
        "requests": node.requests,
        "last_requests": node.last_requests,
        "tx": node.tx,
        "rx": node.rx,
        "cores": node.cores,
        "load": node.load,
        "weight": node.weight,
        "backup": node.backup,
        "proto": node.proto,
        "wrr": node.wrr,
        "ref": node.reference,
        "failcnt": node.failcnt,
        "death_mark": int(node.death_mark or node.health.is_out),
        "ejections": node.health.ejections,
        "check_failed": int(node.health.fails_checks),
        "check_row": node.health.looks,  # looks in a row; failed ones are negative
        "latency": round(node.latency * 1e6),  # microseconds, as uWSGI's avg_rt
    }
