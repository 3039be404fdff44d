"""Looks after the nodes of one kind of gateway, in turn and all the time.

Every node has a moment of its own in the interval, so that looks are spread evenly and two looks
at a node are one interval apart: whoever hangs is out within ``fall`` intervals and a time-out.
"""

from __future__ import annotations

import logging
import random
import time
import zlib
from collections import defaultdict
from collections.abc import Callable

import trio

from uwgate.conf.groups.corerouter import CorerouterOptions
from uwgate.gateways.registry.probe import Probe
from uwgate.subscriptions.change import Back, Change, Out
from uwgate.subscriptions.health import CheckPolicy
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.table import Table

log = logging.getLogger("uwgate.checks")

MOST_LOOKS = 256  # at a time: as many descriptors are in use
LATE = 0.5  # seconds by which a look may take longer than its time-out
LINES = 10  # about nodes that fail or rise, in one interval


class Checks:
    """The checks of the nodes in a table.

    ``announce`` gets what looks have changed, at once. ``speaks_http``: all backends of this kind
    of gateway do. ``clock`` is the table's. ``looks`` and ``failures`` count; ``late`` is for how
    many seconds the last round took longer than an interval.
    """

    def __init__(
        self,
        options: CorerouterOptions,
        table: Table,
        announce: Callable[[list[Change]], None],
        *,
        speaks_http: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.looks = 0
        self.failures = 0
        self.late = 0.0
        self._check = options.check or ""
        self._interval = options.check_interval
        self._timeout = options.check_timeout
        self._policy = CheckPolicy(fall=options.check_fall, rise=options.check_rise)
        self._table = table
        self._announce = announce
        self._speaks_http = speaks_http
        self._clock = clock
        self._limiter = trio.CapacityLimiter(MOST_LOOKS)
        self._busy: set[Probe] = set()
        self._salt = random.getrandbits(32)  # another machine looks at other moments
        self._lines = 0

    async def run(self) -> None:
        """Look until cancelled."""
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            while True:
                self._lines = 0
                await self._round(began, nursery)
                ends = began + self._interval
                await trio.sleep_until(ends)
                now = trio.current_time()
                self.late = max(0.0, now - ends)
                if self.late >= self._interval:
                    log.warning("checks are late by %.1f s: too many nodes hang", self.late)
                began = max(ends, now - self._interval)

    async def _round(self, began: float, nursery: trio.Nursery) -> None:
        for moment, probe, nodes in self._plan():
            await trio.sleep_until(began + moment)
            if probe in self._busy:  # the time-out is longer than the interval
                continue
            await self._limiter.acquire_on_behalf_of(probe)
            self._busy.add(probe)
            nursery.start_soon(self._look, probe, nodes)

    def _plan(self) -> list[tuple[float, Probe, list[Node]]]:
        """Every probe of one round, and when, in seconds from its beginning."""
        nodes: defaultdict[Probe, list[Node]] = defaultdict(list)
        for slot in self._table.slots.values():
            for node in slot.members.values():
                if node.address and not node.death_mark:
                    probe = Probe.of(self._check, node, speaks_http=self._speaks_http)
                    nodes[probe].append(node)
        plan = [(self._moment(probe), probe, found) for probe, found in nodes.items()]
        plan.sort(key=lambda one: one[0])
        return plan

    def _moment(self, probe: Probe) -> float:
        part = zlib.crc32(probe.question, zlib.crc32(probe.address.encode(), self._salt))
        return self._interval * part / (1 << 32)

    async def _look(self, probe: Probe, nodes: list[Node]) -> None:
        began = trio.current_time()
        try:
            reason = await probe.fault(self._timeout)
        finally:
            self._busy.discard(probe)
            self._limiter.release_on_behalf_of(probe)
        if trio.current_time() - began > self._timeout + LATE:
            return  # we were stopped, or starved: that says nothing of the node
        self.looks += 1
        self.failures += reason is not None
        now = self._clock()
        changes: list[Change] = []
        for node in nodes:
            changes += self._table.looked(node, now, self._policy, good=reason is None)
        if changes:
            self._log(changes, reason)
            self._announce(changes)

    def _log(self, changes: list[Change], reason: str | None) -> None:
        for change in changes:
            self._lines += 1
            if self._lines > LINES:
                return
            match change:
                case Out():
                    log.warning("%s: out, its checks fail: %s", change.node.key, reason)
                case Back():
                    log.info("%s: %s is well again", change.node.key, change.node.address)
                case _:
                    pass
