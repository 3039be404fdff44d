"""One generation: the spawner and the gateways that run one reading of the configuration.

A generation starts whole or not at all. Once it has started, children that die are replaced
until it is drained.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import trio

from uwgate import exits
from uwgate.announcing.backlog import backlog
from uwgate.announcing.occupation import Occupation
from uwgate.child import Child
from uwgate.children import Children, Command
from uwgate.conf.backoff import Backoff
from uwgate.conf.errors import ConfigError
from uwgate.conf.metric_file import MetricFile
from uwgate.conf.settings import Settings
from uwgate.sockets import ROUTER_ROLES, Sockets

log = logging.getLogger("uwgate.master")

SPAWNER_START_LIMIT = 600.0  # seconds; imports of large applications take their time
GATEWAY_START_LIMIT = 60.0  # seconds
CACHE_START_LIMIT = 600.0  # seconds; it may have files to check, and another instance to copy
PROGRESS_INTERVAL = 10.0  # seconds between log lines while a start takes long
REGISTRY_DRAIN_LIMIT = 10.0  # seconds; new gateways wait for the next one meanwhile
STOP_LIMIT = 3.0  # seconds a child has to obey SIGTERM
# There is one of them.
SINGLE = ("spawner", "keeper", "ssl-keeper", "registry", "zergpool", "cache")
KEEPERS = {"keeper": "http", "ssl-keeper": "sslrouter"}  # and the kind of gateways below them
SPARE = 2.0  # seconds on top of a mercy that the child itself keeps as well


class StartFailed(Exception):
    """A child could not start; the text may be a whole traceback.

    ``code`` is the exit code of the master if it must stop.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code

    @property
    def summary(self) -> str:
        """The last line of the text. The child itself has logged all of it."""
        return str(self).rstrip().rpartition("\n")[2]


@dataclass(frozen=True, slots=True)
class Commands:
    """How the programs below the master are called."""

    gateway: Command
    spawner: Command
    fastrouter: Command
    registry: Command
    zergpool: Command
    cache: Command
    rawrouter: Command
    sslrouter: Command

    def of(self, kind: str) -> Command:
        """For a kind of child; gateways and their keepers have the same."""
        own = {
            "spawner": self.spawner,
            "fastrouter": self.fastrouter,
            "registry": self.registry,
            "zergpool": self.zergpool,
            "cache": self.cache,
            "rawrouter": self.rawrouter,
            "sslrouter": self.sslrouter,
            "ssl-keeper": self.sslrouter,
        }
        return own.get(kind, self.gateway)


Message = Mapping[str, Any]  # a control message: its type, and its fields


@dataclass(frozen=True, slots=True)
class Place:
    """One child that a generation must have at all times. ``instance`` counts from 1."""

    kind: str
    instance: int

    @property
    def name(self) -> str:
        return self.kind if self.kind in SINGLE else f"{self.kind} {self.instance}"


class Generation:
    """See the module. ``number`` counts reloads from 1."""

    def __init__(
        self,
        number: int,
        settings: Settings,
        sockets: Sockets,
        children: Children,
        commands: Commands,
        *,
        board_fd: int | None = None,
        cache_folder: str | None = None,
        metric_file: MetricFile | None = None,
        tell_workers: Callable[[Message], None] = lambda message: None,
    ) -> None:
        self.number = number
        self.settings = settings
        self.sockets = sockets
        self._children = children
        self._commands = commands
        self._board_fd = board_fd
        self._cache_folder = cache_folder
        self._metric_file = metric_file
        self._tell_workers = tell_workers
        self._filled: dict[Place, Child] = {}
        self._orphans: set[int] = set()  # workers whose spawner died, until they are gone too
        self._orphaned_gateways: set[int] = set()  # they drain since their keeper died
        self._rests = False
        self._ending = trio.Event()

    @property
    def has_spawner(self) -> bool:
        """Whether workers of ours serve anything."""
        return bool(self.sockets.worker_listeners) and self.settings.workers.processes > 0

    async def start(self) -> None:
        """Start what others need, then the gateways; returns when all are ready.

        Raises:
            StartFailed: one of them failed, died, or took too long. The others still run.
        """
        if self._cache_folder is not None:
            await self._wait_ready(self._launch(Place("cache", 1)), CACHE_START_LIMIT)
        if self.has_spawner:
            await self._wait_ready(self._launch(Place("spawner", 1)), SPAWNER_START_LIMIT)
        if self.sockets.registry_address is not None:
            await self._wait_ready(self._launch(Place("registry", 1)), GATEWAY_START_LIMIT)
        for gateway in [self._launch(place) for place in self._gateway_places()]:
            await self._wait_ready(gateway, GATEWAY_START_LIMIT)

    def _gateway_places(self) -> list[Place]:
        places: list[Place] = []
        if self.settings.speaks_tls:  # gateways that share TLS tickets have a common parent
            places.append(Place("keeper", 1))
        elif self.sockets.gateway_listeners:
            places += self._places("http")
        for kind in ROUTER_ROLES:
            if kind == "sslrouter" and self.settings.terminates_tls:
                places.append(Place("ssl-keeper", 1))
            elif self.sockets.router_listeners(kind):
                places += self._places(kind)
        if self.settings.zerg.servers:
            places.append(Place("zergpool", 1))
        return places

    def _places(self, kind: str) -> list[Place]:
        return [Place(kind, 1 + one) for one in range(self.settings.corerouter(kind).processes)]

    def observe(self) -> Occupation | None:
        """How much the workers have to do; None: there are none, though there should be."""
        if not self.has_spawner:
            return Occupation()
        spawner = self._filled.get(Place("spawner", 1))
        has_workers = spawner is not None and spawner.status is None and bool(spawner.workers)
        if not has_workers and not self._children.has_any(self._orphans):
            return None
        board = None if spawner is None else spawner.scoreboard
        return Occupation(
            load=backlog(self.sockets.worker_queues), free=None if board is None else board.idle
        )

    def pause(self, *, rest: bool) -> None:
        """Let the workers accept nothing, or accept again; also those that are started later."""
        self._rests = rest
        spawner = self._filled.get(Place("spawner", 1))
        if spawner is not None:
            spawner.send("pause" if rest else "resume")

    def tell_spawner(self, message: Message) -> bool:
        """Have the spawner do something; False if there is none."""
        spawner = self._filled.get(Place("spawner", 1))
        if spawner is None or spawner.status is not None:
            return False
        spawner.send(**message)
        return True

    def _hear(self, message: dict[str, object]) -> bool:
        """Pass on what a gateway wants of the workers; False: it is something else."""
        match message:
            case {"type": "signal", "number": int(number)}:
                self._tell_workers({"type": "signal", "number": number})
            case {"type": "alarm", "name": str(name), "text": str(text)}:
                self._tell_workers({"type": "alarm", "name": name, "text": text})
            case _:
                return False
        return True

    def signal_workers(self, number: signal.Signals) -> None:
        """Send a signal to all workers; those that it ends are replaced."""
        spawner = self._filled.get(Place("spawner", 1))
        for pid in () if spawner is None else spawner.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def supervise(self, nursery: trio.Nursery) -> None:
        """Keep every place filled from now on, with tasks in ``nursery``."""
        for place in self._filled:
            nursery.start_soon(self._keep_filled, place, nursery)

    async def drain(self, *, idle: float, gateways_first: bool) -> None:
        """Let everything finish what it does, and exit; kill what takes too long.

        Idle connections of clients may bring one last request in within ``idle`` seconds.
        ``gateways_first``: workers keep serving until the gateways are gone. Without it
        both finish at the same time, for workers of another generation serve on.

        A registry hands over at once to the one of the next generation; if there is none
        (``idle`` is 0, the instance stops) it stays until the gateways are gone.
        """
        self._ending.set()
        mercy = self.settings.master.reload_mercy
        await self._drain_users(mercy, idle=idle, gateways_first=gateways_first)
        cache = self._filled.get(Place("cache", 1))
        if cache is not None:
            await self._drain_child(cache, mercy, 0.0)

    async def _drain_users(self, mercy: float, *, idle: float, gateways_first: bool) -> None:
        """``drain`` for all who may use a cache."""
        registry = self._filled.get(Place("registry", 1))
        patience = min(mercy, REGISTRY_DRAIN_LIMIT)
        async with trio.open_nursery() as nursery:
            if registry is not None and idle:
                nursery.start_soon(self._drain_child, registry, patience, idle)
            async with trio.open_nursery() as gateway_nursery:
                for place, child in self._filled.items():
                    if place.kind not in ("spawner", "registry", "cache"):
                        kind = KEEPERS.get(place.kind, place.kind)
                        limit = self.settings.mercy_of(kind) if idle else mercy
                        gateway_nursery.start_soon(self._drain_gateway, child, limit, idle)
                if not gateways_first:
                    nursery.start_soon(self._drain_workers)
            if registry is not None and not idle:
                nursery.start_soon(self._drain_child, registry, patience, idle)
            if gateways_first:
                nursery.start_soon(self._drain_workers)

    def kill(self) -> None:
        """SIGKILL for all children, at once."""
        self._ending.set()
        for child in self._filled.values():
            child.kill_group()
        self._children.signal_orphans(self._orphans | self._orphaned_gateways, signal.SIGKILL)

    async def _wait_ready(self, child: Child, limit: float) -> None:
        with trio.move_on_after(limit):
            while not child.settled.is_set():
                with trio.move_on_after(PROGRESS_INTERVAL):
                    await child.settled.wait()
                    break
                waited = trio.current_time() - child.started_at
                log.info("%s (pid: %d) is starting, for %.0f s now", child.name, child.pid, waited)
        if child.failure is not None:
            raise StartFailed(child.failure.reason, child.failure.code)
        if child.status is not None:
            code = child.status if child.status > 0 else exits.ERROR
            raise StartFailed(f"{child.name} {child.describe_exit()} before it was ready", code)
        if not child.is_ready:
            child.kill_group()
            raise StartFailed(f"{child.name} was not ready after {limit:g} s", exits.ERROR)

    def _launch(self, place: Place) -> Child:
        sockets = self.sockets
        is_spawner = place.kind == "spawner"
        listeners = {
            "spawner": sockets.worker_listeners,
            "registry": sockets.registry_listeners,
            "zergpool": sockets.zergpool_listeners,
            "cache": sockets.cache_listeners,
            **{kind: sockets.router_listeners(kind) for kind in ROUTER_ROLES},
        }
        served = KEEPERS.get(place.kind, place.kind)
        try:
            child = self._children.start(
                place.name,
                self._commands.of(place.kind),
                self.settings,
                listeners=listeners.get(served, sockets.gateway_listeners),
                lease_address=sockets.lease_address,
                registry_address=sockets.registry_address,
                bound=[(one.role, one.name) for one in sockets.listeners],
                instance=place.instance,
                generation=self.number,
                board_fd=self._board_fd,
                cache_folder=self._cache_folder,
                metric_file=self._metric_file,
                is_trusted=not is_spawner,
                is_first=self.number == 1 and place not in self._filled,
                slots=self.settings.workers.processes * self.settings.workers.threads
                if is_spawner
                else 0,
            )
        except OSError as error:
            raise StartFailed(f"{place.name}: cannot be executed: {error}", exits.ERROR) from error
        except ConfigError as error:  # such as a virtualenv without Python
            raise StartFailed(str(error), exits.ERROR) from error
        self._filled[place] = child
        if not is_spawner:
            child.on_other = self._hear
        if is_spawner and self._rests:
            child.send("pause")
        log.info("spawned uWSGI %s (pid: %d)", place.name, child.pid)
        return child

    async def _keep_filled(self, place: Place, nursery: trio.Nursery) -> None:
        backoff = Backoff()
        buried: Child | None = None
        while True:
            child = self._filled[place]
            await child.exited.wait()
            if place.kind == "spawner":
                self._orphans.update(self._children.adopt(child.workers))
            elif place.kind in KEEPERS:
                self._orphaned_gateways.update(self._children.adopt(child.workers))
            if self._ending.is_set():
                return
            if child is not buried:
                self._log_death(child)
                pause = backoff.pause_after(child.served)
            else:  # not even a process could be had
                pause = backoff.pause_after(0.0)
            buried = child
            with trio.move_on_after(pause):
                await self._ending.wait()
            if self._ending.is_set():
                return
            if await self._replace(place) and self._orphans and place.kind == "spawner":
                nursery.start_soon(self._dismiss_orphans)

    async def _replace(self, place: Place) -> bool:
        """Fill a place again; False if the new child did not get ready."""
        limits = {"spawner": SPAWNER_START_LIMIT, "cache": CACHE_START_LIMIT}
        limit = limits.get(place.kind, GATEWAY_START_LIMIT)
        try:
            child = self._launch(place)
            await self._wait_ready(child, limit)
        except StartFailed as error:
            if not self._ending.is_set():
                log.error("%s cannot start again: %s", place.name, error.summary)
            await self._end(self._filled[place])
            return False
        log.info("Respawned uWSGI %s (new pid: %d)", place.name, child.pid)
        return True

    async def _dismiss_orphans(self) -> None:
        orphans = sorted(self._orphans)
        log.info("workers serve again: orphaned workers %s finish and exit", orphans)
        await self._children.dismiss(orphans, mercy=self.settings.workers.worker_reload_mercy)
        self._orphans.difference_update(orphans)

    def _log_death(self, child: Child) -> None:
        log.error(
            "DAMN ! %s (pid: %d) died, %s :( trying respawn ...",
            child.name,
            child.pid,
            child.describe_exit(),
        )
        if child.workers and self._orphans and child.name == "spawner":
            log.warning("its workers %s keep serving meanwhile", sorted(self._orphans))

    async def _drain_child(self, child: Child, mercy: float, idle: float) -> None:
        if child.is_ready:
            child.send("drain", idle=idle)
            with trio.move_on_after(mercy + SPARE):
                await child.exited.wait()
                return
            log.warning("%s (pid: %d) did not finish in %g s", child.name, child.pid, mercy)
        await self._end(child)

    async def _end(self, child: Child) -> None:
        """Stop a child now; returns when it is dead."""
        child.send("stop")
        child.kill(signal.SIGTERM)
        with trio.move_on_after(STOP_LIMIT):
            await child.exited.wait()
        child.kill_group()
        await child.exited.wait()

    async def _drain_gateway(self, child: Child, mercy: float, idle: float) -> None:
        await self._drain_child(child, mercy, idle)
        # What a keeper has forked is here still only if the keeper was killed.
        self._orphaned_gateways.update(self._children.adopt(child.workers))
        if self._orphaned_gateways:
            await self._children.dismiss(sorted(self._orphaned_gateways), mercy=mercy)

    async def _drain_workers(self) -> None:
        mercy = self.settings.workers.worker_reload_mercy
        spawner = self._filled.get(Place("spawner", 1))
        if spawner is not None:
            await self._drain_child(spawner, mercy, 0.0)
            self._orphans.update(self._children.adopt(spawner.workers))
        if self._orphans:
            await self._children.dismiss(sorted(self._orphans), mercy=mercy)
