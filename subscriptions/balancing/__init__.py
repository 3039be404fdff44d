"""Which node of a key gets the next request: one file per algorithm.

An algorithm sees the nodes that may be chosen and keeps what it needs between two requests.
It is told when they change; a choice then costs the same for one node and for many, except
for ``lrc`` and ``wlrc``, which uWSGI defines by a walk over all nodes.
"""

from uwgate.subscriptions.balancing.algorithm import Algorithm, Asked
from uwgate.subscriptions.balancing.registry import ALGORITHMS, make

__all__ = ["ALGORITHMS", "Algorithm", "Asked", "make"]
