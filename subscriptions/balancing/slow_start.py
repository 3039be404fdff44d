"""Slow start: a node that has just come gets its share little by little."""

from __future__ import annotations

from uwgate.subscriptions.node import Node

LEAST = 0.1  # of its weight; nothing at all would never warm it


def weight_of(node: Node, now: float) -> float:
    """The weight that counts now: it grows in a straight line until ``warm_at``."""
    left = node.warm_at - now
    if left <= 0.0 or node.warming <= 0.0:
        return node.weight
    return node.weight * max(LEAST, 1.0 - left / node.warming)
