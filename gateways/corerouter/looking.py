"""Looks after the backends of ``-to``: those that do not answer get no requests.

Every process looks for itself. Nodes that announced themselves are the registry's to look after.
"""

from __future__ import annotations

import logging

import trio

from uwgate.conf.groups.corerouter import CorerouterOptions
from uwgate.gateways.corerouter.static import Static, StaticNode
from uwgate.gateways.registry.probe import Probe
from uwgate.subscriptions.health import CheckPolicy
from uwgate.subscriptions.node import Node

log = logging.getLogger("uwgate.checks")

LATE = 0.5  # seconds by which a look may take longer than its time-out


class StaticChecks:
    """``options`` has a ``check``. ``host`` is the name that a page is asked for under."""

    def __init__(
        self, options: CorerouterOptions, static: Static, *, host: str = "localhost"
    ) -> None:
        self._check = options.check or ""
        self._interval = options.check_interval
        self._timeout = options.check_timeout
        self._policy = CheckPolicy(fall=options.check_fall, rise=options.check_rise)
        self._static = static
        self._host = host

    async def run(self) -> None:
        """Look until cancelled, at one backend after the other."""
        nodes = self._static.nodes
        async with trio.open_nursery() as nursery:
            for number, node in enumerate(nodes):
                nursery.start_soon(self._watch, node, self._interval * number / len(nodes))

    async def _watch(self, node: StaticNode, moment: float) -> None:
        probe = self._probe(node)
        await trio.sleep(moment)
        while True:
            began = trio.current_time()
            reason = await probe.fault(self._timeout)
            now = trio.current_time()
            # Else we were stopped, or starved: that says nothing of the backend.
            if now - began <= self._timeout + LATE:
                self._judge(node, reason)
            await trio.sleep_until(max(began + self._interval, now))

    def _probe(self, node: StaticNode) -> Probe:
        target = node.target
        asked = Node(
            key=self._host,
            address=target.name,
            modifier1=target.modifier1 or 0,
            modifier2=target.modifier2 or 0,
        )
        return Probe.of(self._check, asked, speaks_http=target.speaks_http)

    def _judge(self, node: StaticNode, reason: str | None) -> None:
        if not node.health.looked(self._policy, good=reason is None):
            return
        if reason is None:
            log.info("%s is well again", node.target.name)
        else:
            log.warning("%s: out, its checks fail: %s", node.target.name, reason)
