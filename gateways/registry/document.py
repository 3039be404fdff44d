"""What a stats server says (spec/gateways.md section 11): uWSGI's fields in its order, then ours.

A document is made piece by piece, one key of the table at a time: with a hundred thousand nodes
it takes seconds, and others want to be served meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uwgate.gateways.registry.figures import NodeFigures, ProcessFigures, StaticFigures
from uwgate.gateways.registry.ledger import Ledger
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.slot import Slot
from uwgate.subscriptions.statistics import hash_of, slot_statistics
from uwgate.subscriptions.table import Table

Fields = Iterable[tuple[str, Any]]  # an iterator as the value is a list that is made on the way

HTTP_HEAD = (
    b"HTTP/1.0 200 OK\r\n"
    b"Connection: close\r\n"
    b"Access-Control-Allow-Origin: *\r\n"
    b"Content-Type: application/json\r\n"
    b"\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What does not change while a registry runs: whom a document is about.

    ``addresses`` are those of all sockets of this kind, ``static`` those of ``-to``.
    """

    kind: str
    version: str
    cwd: str
    addresses: Sequence[str]
    static: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is known when the document is asked for.

    ``legions`` are shown as they are.
    ``own`` is the process that answers. ``processes`` are the gateways; ``silent`` are the pids
    of those that said nothing in time, for which what they said before stands. ``ledger`` has the
    sums. ``table`` is None without subscription servers; ``epoch`` is when its clock was 0, in
    seconds since 1970.
    ``announcements``, ``checks``, ``caches`` and ``metrics`` are shown as they are, if there
    are any.
    """

    own: ProcessFigures
    processes: Sequence[ProcessFigures]
    silent: Collection[int]
    ledger: Ledger
    table: Table | None
    epoch: float
    legions: Sequence[Mapping[str, Any]] = ()
    cheap: bool = False
    announcements: Mapping[str, Any] = field(default_factory=dict[str, Any])
    checks: Mapping[str, Any] = field(default_factory=dict[str, Any])
    caches: Sequence[Mapping[str, Any]] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])


def fields_of(subject: Subject, moment: Moment) -> Iterator[tuple[str, Any]]:
    """All fields of a document, in order."""
    one = moment.processes[0] if moment.processes else moment.own
    total = moment.ledger.process
    yield "version", subject.version
    yield "pid", one.pid
    yield "uid", one.uid
    yield "gid", one.gid
    yield "cwd", subject.cwd
    yield "active_sessions", total.active_sessions
    yield subject.kind, list(subject.addresses)
    if subject.static:
        yield "static_nodes", [_static(name, total.static.get(name)) for name in subject.static]
    if moment.table is not None:
        yield "subscriptions", _slots(moment.table, moment.ledger, moment.epoch)
    yield "cheap", int(moment.cheap)
    yield "processes", [_process(one, silent=one.pid in moment.silent) for one in moment.processes]
    if moment.legions:
        yield "legions", list(moment.legions)
    yield "answers", dict(sorted(total.answers.items()))
    if subject.kind == "http":
        yield "static_requests", total.static_requests
    yield "requests_refused", dict(sorted(total.refused.items()))
    yield "retries", {"spent": total.retries_spent, "refused": total.retries_refused}
    if moment.metrics:
        yield "metrics", dict(moment.metrics)
    if moment.caches:
        yield "caches", [dict(one) for one in moment.caches]
    if moment.announcements:
        yield "announcements", dict(moment.announcements)
    if moment.checks:
        yield "checks", dict(moment.checks)


def _process(figures: ProcessFigures, *, silent: bool) -> dict[str, int]:
    return {
        "pid": figures.pid,
        "active_sessions": figures.active_sessions,
        "silent": int(silent),
    }


def _static(name: str, figures: StaticFigures | None) -> dict[str, Any]:
    figures = figures or StaticFigures()
    return {"name": name, "hits": figures.hits, "grace": int(figures.failed_at)}


def _slots(table: Table, ledger: Ledger, epoch: float) -> Iterator[dict[str, Any]]:
    leaving: dict[str, list[dict[str, Any]]] = {}
    for (key, name), row in ledger.leaving.items():
        if table.node(key, name) is None:
            leaving.setdefault(key, []).append(_with(row, ledger.node(key, name)))
    for key in list(table.slots):
        slot = table.slots.get(key)
        if slot is not None:
            yield _slot(table, slot, ledger, epoch, leaving.pop(key, []))
    for key, rows in leaving.items():
        yield {
            "key": key,
            "hash": hash_of(key),
            "hits": ledger.hits(key),
            "algo": "",
            "sni_enabled": 0,
            "nodes": rows,
        }


def _slot(
    table: Table, slot: Slot, ledger: Ledger, epoch: float, leaving: list[dict[str, Any]]
) -> dict[str, Any]:
    row = slot_statistics(table, slot, epoch)
    row["hits"] += ledger.hits(slot.key)
    members: Iterable[Node] = slot.members.values()
    row["nodes"] = [
        _with(one, ledger.node(slot.key, node.name), own_failures=node.failcnt)
        for one, node in zip(row["nodes"], members, strict=True)
    ] + leaving
    return row


def _with(row: dict[str, Any], figures: NodeFigures, *, own_failures: int = 0) -> dict[str, Any]:
    """A node's entry with what all gateway processes together have done."""
    return row | {
        "requests": figures.requests,
        "last_requests": figures.last_requests,
        "tx": figures.tx,
        "rx": figures.rx,
        "wrr": figures.wrr,
        "ref": figures.reference,
        "failcnt": figures.failcnt + own_failures,
        "latency": round(figures.latency * 1e6),
    }


def text_of(fields: Fields, *, minified: bool) -> Iterator[str]:
    """A JSON object, piece by piece; not minified it has tabs and line ends as uWSGI's."""
    start, middle, end = ("", ",", "") if minified else ("\n\t", ",\n\t", "\n")
    separator = "{" + start
    for name, value in fields:
        yield f"{separator}{json.dumps(name)}:"
        if isinstance(value, Iterator):
            yield from _list(value, minified=minified)
        else:
            yield _indented(value, 1, minified=minified)
        separator = middle
    yield end + "}"


def _list(values: Iterator[Any], *, minified: bool) -> Iterator[str]:
    start, middle, end = ("", ",", "") if minified else ("\n\t\t", ",\n\t\t", "\n\t")
    separator = "[" + start
    for value in values:
        yield separator + _indented(value, 2, minified=minified)
        separator = middle
    yield "[]" if separator == "[" + start else end + "]"


def _indented(value: Any, depth: int, *, minified: bool) -> str:
    if minified:
        return json.dumps(value, separators=(",", ":"))
    text = json.dumps(value, indent="\t", separators=(",", ":"))
    return text.replace("\n", "\n" + "\t" * depth)
