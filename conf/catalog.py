"""Every option name of uWSGI 2.0.31, as facts (``options.tsv``)."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Fact:
    """What uWSGI says of one of its options.

    ``argument`` is none, required or optional; ``kind`` names the way its value is read;
    ``flags`` are side effects (``master``, ``immediate``, ...); ``origin`` is core or the
    plugin that brings the option.
    """

    name: str
    short: str
    argument: str
    kind: str
    flags: tuple[str, ...]
    origin: str


@functools.cache
def catalog() -> Mapping[str, Fact]:
    """All facts by option name."""
    table = resources.files("uwgate.conf").joinpath("options.tsv").read_text(encoding="utf-8")
    return {
        row["name"]: Fact(
            name=row["name"],
            short=row["short"],
            argument=row["argument"],
            kind=row["kind"],
            flags=tuple(row["flags"].split(",")) if row["flags"] else (),
            origin=row["origin"],
        )
        for row in csv.DictReader(table.splitlines(), delimiter="\t")
    }
