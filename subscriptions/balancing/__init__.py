"""Which node of a key gets the next request: one file per algorithm.

An algorithm sees the nodes that may be chosen and keeps what it needs between two requests.
It is told when they change; a choice then costs about the same for one node and for many.
"""

from uwgate.subscriptions.balancing.algorithm import Algorithm, Asked, Follower
from uwgate.subscriptions.balancing.registry import ALGORITHMS, make

__all__ = ["ALGORITHMS", "Algorithm", "Asked", "Follower", "make"]
