"""Zergs: instances that serve on the sockets of another one (spec/gateways.md section 10)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option
from uwgate.conf.zergs import parse_pool, parse_server


@dataclass(frozen=True, slots=True, kw_only=True)
class ZergOptions:
    """Sockets that are given to other instances, or had from them."""

    zerg_server: str | None = option(
        None,
        kind=Kind.TEXT,
        check=parse_server,
        help="Give the sockets of our workers to whoever connects to this UNIX socket.",
    )
    zergpool: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        aliases=("zerg-pool",),
        check=parse_pool,
        help="PATH:ADDRESS[,ADDRESS...]; bind the addresses, and give them away at the path.",
    )
    zerg: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=parse_server,
        help="Serve on the sockets that the zerg server or pool at this path gives.",
    )
    zerg_fallback: bool = option(
        False, kind=Kind.BOOL, help="Go on with our own sockets if a zerg server is not there."
    )
    zerg_timeout: float = option(
        30.0,
        kind=Kind.SECONDS,
        minimum=0.1,
        ours=True,
        help="All zerg servers must have given their sockets within this time.",
    )

    @property
    def servers(self) -> bool:
        """Whether sockets are given to others."""
        return bool(self.zerg_server or self.zergpool)
