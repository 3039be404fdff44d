"""The algorithms by the names that options and packets give them."""

from __future__ import annotations

from collections.abc import Callable

from uwgate.subscriptions.balancing.algorithm import Algorithm
from uwgate.subscriptions.balancing.consistent import ConsistentHash
from uwgate.subscriptions.balancing.iphash import IpHash
from uwgate.subscriptions.balancing.lrc import LeastReferences, WeightedLeastReferences
from uwgate.subscriptions.balancing.two_choices import LeastTime, PowerOfTwo
from uwgate.subscriptions.balancing.wrr import WeightedRoundRobin

DEFAULT = "wrr"
ALGORITHMS: dict[str, Callable[[], Algorithm]] = {
    "wrr": WeightedRoundRobin,
    "lrc": LeastReferences,
    "wlrc": WeightedLeastReferences,
    "iphash": IpHash,
    "p2c": PowerOfTwo,
    "least-time": LeastTime,
    "chash": ConsistentHash,
}


def make(name: str, default: str = DEFAULT) -> tuple[str, Algorithm]:
    """A new algorithm and its name; an unknown name means the default (section 8)."""
    known = name if name in ALGORITHMS else default
    return known, ALGORITHMS[known]()
