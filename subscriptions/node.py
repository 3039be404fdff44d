"""A node: a backend that announced itself for one key, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uwgate.subscriptions.health import Health

if TYPE_CHECKING:
    from uwgate.subscriptions.slot import Slot


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """Names are uWSGI's (spec/subscriptions.md section 5). Times are in seconds of one clock
    that all processes of a machine share.

    ``reference`` counts the requests that run on it. ``death_mark``: it left, or its
    announcements stopped; it stays until its last request has ended. ``wrr`` is what is left
    of its share of the current cycle, ``place`` where it stands in the list of an algorithm that
    keeps one. ``warm_at`` is when it gets its full share, after
    ``warming`` seconds of slow start. ``latency`` is a moving mean in seconds, taken at
    ``latency_at``; 0 means that nothing was measured. ``slot`` is None before it comes and
    after it went. ``said`` is when the newest signed packet about it was made, in microseconds
    since 1970; 0: none was signed.
    """

    key: str
    address: str
    vassal: str = ""
    modifier1: int = 0
    modifier2: int = 0
    cores: int = 0
    load: int = 0
    free: int | None = None
    weight: int = 1
    backup: int = 0
    proto: str = ""
    notify: str = ""
    via: str = ""
    said: int = 0
    pid: int = 0
    uid: int = 0
    gid: int = 0
    last_check: float = 0.0
    warm_at: float = 0.0
    warming: float = 0.0
    reference: int = 0
    requests: int = 0
    last_requests: int = 0
    tx: int = 0
    rx: int = 0
    failcnt: int = 0
    death_mark: bool = False
    wrr: int = 0
    place: int = 0
    latency: float = 0.0
    latency_at: float = 0.0
    health: Health = field(default_factory=Health)
    slot: Slot | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What identifies it within its slot. No address begins with a NUL."""
        return self.address or f"\0{self.vassal}"

    @property
    def is_live(self) -> bool:
        """Whether it may get requests."""
        return not self.death_mark and not self.health.is_out and self.address != ""


# What its announcements say; the rest is what a process has seen of it.
ANNOUNCED = (
    "vassal",
    "modifier1",
    "modifier2",
    "cores",
    "load",
    "free",
    "weight",
    "backup",
    "proto",
    "notify",
    "via",
    "said",
    "pid",
    "uid",
    "gid",
    "last_check",
)
