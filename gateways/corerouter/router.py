"""The corerouter of a gateway process: which backend gets a request, and then?

After spec/gateways.md sections 3 and 4. Whoever has a request asks ``attempts`` for one backend
after the other, connects on its own, and says what became of it::

    attempts = router.attempts(Asked(key))
    while target := attempts.next(now):
        connect to target.address: attempts.failed(now, reason), or attempts.connected(now)
        hand over and relay: attempts.answered(now, good=...)
    attempts.end(now)
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from uwgate.caching.cache import LocalCache

from uwgate.conf.address import parse_backend
from uwgate.conf.codestring import parse_code_string
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.corerouter import CorerouterOptions
from uwgate.conf.start import Start
from uwgate.gateways.answers import Answers
from uwgate.gateways.corerouter.attempts import Attempts
from uwgate.gateways.corerouter.cached import Cached
from uwgate.gateways.corerouter.derived import Derived, Fixed
from uwgate.gateways.corerouter.function import Function, load
from uwgate.gateways.corerouter.looking import StaticChecks
from uwgate.gateways.corerouter.mapper import Mapper
from uwgate.gateways.corerouter.pool import Pool
from uwgate.gateways.corerouter.static import Static
from uwgate.gateways.corerouter.tables import replica_options
from uwgate.gateways.corerouter.target import Asked, Target
from uwgate.gateways.corerouter.template import Template
from uwgate.gateways.counters import Counters
from uwgate.gateways.registry.figures import ProcessFigures, StaticFigures
from uwgate.gateways.registry.replica import Replica
from uwgate.subscriptions.balancing.sticky import StickyCookies
from uwgate.subscriptions.change import Change, SniBrought, SniGone
from uwgate.subscriptions.health import Circuit, RetryBudget
from uwgate.subscriptions.table import Table

__all__ = ["Asked", "Attempts", "Corerouter", "Target"]

WORKER_ROLES = ("uwsgi", "http-socket", "http11-socket")
TICK = 0.4  # seconds between two looks at the nodes' times


class Corerouter:
    """One for each gateway process.

    ``table`` holds the nodes; None without subscription servers. ``clock`` tells the time that
    all methods with ``now`` mean. ``on_cheap`` is called when ``is_cheap`` has changed,
    ``on_certificate`` when nodes bring a certificate or the last one of a name goes, ``tell``
    when a request has found out something that the other processes should know.
    ``speaks_http``: all backends want HTTP.

    Raises:
        ConfigError: the function or the socket that the options name is not there.
    """

    BUSY_PATIENCE = 0.1  # seconds for a full accept queue while there are others to try

    def __init__(
        self,
        kind: str,
        start: Start,
        *,
        counters: Counters | None = None,
        sticky: StickyCookies | None = None,
        speaks_http: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self.options: CorerouterOptions = start.settings.corerouter(kind)
        self._start = start
        self._folder = start.settings.application.chdir
        self._sockets = [one for one in start.bound if one[0] in WORKER_ROLES]
        self.clock = clock
        self.counters = counters or Counters()
        self.budget = RetryBudget(ratio=self.options.retry_budget / 100)
        self.nothing = Mapper()
        self.fallbacks = [
            Target(parse_backend(text), speaks_http=speaks_http) for text in self.options.fallback
        ]
        self.table: Table | None = None
        self.pool: Pool | None = None
        self.static: Static | None = None
        self.answers = Answers()
        self.count_sessions: Callable[[], int] = int
        self.count_static: Callable[[], int] = int  # requests that got a file
        self.on_cheap: Callable[[], None] = _nothing_to_do
        self.on_certificate: Callable[[SniBrought | SniGone], None] = _nothing_to_do
        self.tell: Callable[[Change], None] = _nothing_to_do
        self._born = time.monotonic()
        self._replica: Replica | None = None
        if self.options.subscription_server:
            self.table = Table(replica_options(start.settings, kind))
        is_shown = self.options.stats_server is not None
        if start.registry_address is not None and (self.table is not None or is_shown):
            self._replica = Replica(kind, start, self.table, self.changed)
            self._replica.figures = self._figures
            self.tell = self._replica.tell
        self.mapper = self._make_mapper(speaks_http, sticky)
        # Whether choosing may have to wait: then ``await attempts.prepare()`` before ``next``.
        self.needs_task = self.mapper.may_wait
        self._was_cheap = self.is_cheap

    def _make_mapper(self, speaks_http: bool, sticky: StickyCookies | None) -> Mapper:
        """The first one in the order of spec/gateways.md section 3."""
        options = self.options
        if options.use_cache is not None:
            return Cached(self._cache(options.use_cache), self.counters, speaks_http=speaks_http)
        if options.use_pattern:
            return Derived(Template.of_pattern(options.use_pattern), speaks_http=speaks_http)
        if self.table is not None:
            self.pool = Pool(
                self.table, tell=self._found_out, sticky=sticky, speaks_http=speaks_http
            )
            return self.pool
        if options.use_base:
            return Derived(Template.of_base(options.use_base), speaks_http=speaks_http)
        if options.use_code_string:
            function = load(parse_code_string(options.use_code_string), self._folder)
            return Function(function, self.counters, speaks_http=speaks_http)
        if options.use_socket is not None:
            return Fixed(self._own_socket(options.use_socket))
        if options.to:
            self.static = Static(
                [Target(parse_backend(text), speaks_http=speaks_http) for text in options.to],
                grace=options.gracetime,
                circuit=Circuit(connections=options.node_connections, pending=options.node_pending),
            )
            return self.static
        return self.nothing

    def _cache(self, name: str) -> LocalCache:
        """The cache of that name; empty: the first one."""
        # Here, because it brings lmdb along, and most have no caches.
        from uwgate.caching.caches import shared_caches

        caches = shared_caches(self._start)
        cache = None if caches is None else caches.find_local(name)
        if cache is None:
            raise ConfigError(f"{self.kind}-use-cache = {name}: no such cache")
        return cache

    def _own_socket(self, number: int) -> Target:
        """The socket of this instance with that number."""
        sockets = self._sockets
        if number >= len(sockets):
            raise ConfigError(
                f"{self.kind}-use-socket = {number}: this instance has {len(sockets)} sockets "
                "of its workers, counted from 0"
            )
        role, name = sockets[number]
        return Target(parse_backend(name), speaks_http=role != "uwsgi")

    def attempts(self, asked: Asked) -> Attempts:
        """Begin with a request."""
        self.budget.request()
        return Attempts(self, asked)

    @property
    def is_cheap(self) -> bool:
        """Whether the doors are closed: the gateway is cheap, and nobody serves anything."""
        return self.options.cheap and self.table is not None and self.table.is_empty

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the table up to date, and look after fixed backends, until cancelled.

        Counts as started when the table is complete, or its registry does not answer.
        """
        looks = self.static is not None and self.options.check is not None
        if self.table is None and self._replica is None and not looks:
            task_status.started()
            return
        async with trio.open_nursery() as nursery:
            if self.static is not None and self.options.check is not None:
                nursery.start_soon(StaticChecks(self.options, self.static).run)
            if self._replica is not None:
                await nursery.start(self._replica.run)
            task_status.started()
            while True:
                self.advance()
                await trio.sleep(TICK)

    async def farewell(self) -> None:
        """This process is about to end: what it has counted shall not be lost."""
        if self._replica is not None and self.options.stats_server is not None:
            await self._replica.farewell()

    def advance(self) -> None:
        """Let time pass; at least twice a second."""
        if self.table is not None:
            self.changed(self.table.advance(self.clock()))

    def changed(self, changes: Sequence[Change]) -> None:
        """The table has changed: do what follows from that in this process."""
        for change in changes:
            if isinstance(change, SniBrought | SniGone):
                self.on_certificate(change)
        if changes and self.pool is not None:
            self.pool.changed(self.clock())
        if self.is_cheap is not self._was_cheap:
            self._was_cheap = self.is_cheap
            self.on_cheap()

    def _found_out(self, changes: Sequence[Change]) -> None:
        """A request has changed the table."""
        for change in changes:
            self.tell(change)
        if changes:
            self.changed(changes)

    def retry_after(self, asked: Asked, now: float) -> int:
        """Seconds until the next backend comes back, at least 1."""
        at = self.mapper.returns_at(asked, now)
        return 1 if at is None else max(1, math.ceil(at - now))

    def _figures(self) -> ProcessFigures:
        """What this process has counted."""
        epoch = time.time() - self.clock()
        static = self.static.nodes if self.static is not None else []
        return ProcessFigures(
            pid=os.getpid(),
            born=self._born,
            uid=os.getuid(),
            gid=os.getgid(),
            active_sessions=self.count_sessions(),
            retries_spent=self.budget.spent,
            retries_refused=self.budget.refused,
            static_requests=self.count_static(),
            answers=self.answers.as_dict(),
            refused=self.counters.as_dict(),
            static={
                node.target.name: StaticFigures(
                    hits=node.hits,
                    failed_at=0.0 if node.failed_at is None else node.failed_at + epoch,
                )
                for node in static
            },
        )

    def log_failure(self, asked: Asked, target: Target, reason: str) -> None:
        """Count, and unless -quiet say, that a backend could not be connected."""
        if self.options.quiet:
            self.counters.count("unreachable")
            return
        self.counters.refuse(
            "unreachable", "%s: %s: %s", asked.name, target.name, reason, level=logging.WARNING
        )


def _nothing_to_do(*_: object) -> None:
    """Nobody listens."""
