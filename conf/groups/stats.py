"""How stats servers show what they know (spec/gateways.md section 11)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsOptions:
    """The form of the documents of all stats servers."""

    stats_http: bool = option(
        False, kind=Kind.BOOL, help="Stats servers read an HTTP request first and answer in HTTP."
    )
    stats_minified: bool = option(
        False, kind=Kind.BOOL, aliases=("stats-min",), help="Stats without blanks and line ends."
    )
