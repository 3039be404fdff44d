"""The rawrouter: TCP in, TCP out (spec/gateways.md section 7)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class RawrouterOptions:
    """Where the rawrouter listens."""

    rawrouter: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, help="Take connections of any protocol here, for a backend."
    )
    rawrouter_xclient: bool = option(
        False,
        kind=Kind.BOOL,
        help="Answer a mail server's greeting with XCLIENT, which says who the client is.",
    )
