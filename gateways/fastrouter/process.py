"""A fastrouter process: doors, time, and the end."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

import trio

from uwgate.conf.start import Start
from uwgate.gateways import service
from uwgate.gateways.corerouter.router import Corerouter
from uwgate.gateways.counters import Counters
from uwgate.gateways.door import Door, connection_limit
from uwgate.gateways.fastrouter.body import Bodies
from uwgate.gateways.fastrouter.head import HeadReader
from uwgate.gateways.fastrouter.leased import leads_to_workers
from uwgate.gateways.fastrouter.session import Session
from uwgate.gateways.fastrouter.states import State
from uwgate.gateways.lane import Lane
from uwgate.gateways.leases import LeasePool
from uwgate.gateways.names import Names

log = logging.getLogger("uwgate.fastrouter")

KIND = "fastrouter"
TICK = 0.5  # seconds between two looks at the sessions' deadlines
MAX_PIECE = 65536  # bytes; memory for more takes longer to get than it takes to read twice
DESCRIPTORS = 2  # of a session; a third one for a body in a file


class Fastrouter:
    """One process.

    Sessions use its attributes: ``options``, ``timeout`` (seconds), ``heads``, ``bodies``,
    ``names``, ``corerouter``, ``counters``, ``answers``, the ``lane``, the ``nursery`` of their
    tasks, ``buffer`` (what is received into, and sent on before anything else is received),
    ``piece`` (bytes received at a time without it), ``now`` (trio's clock, at most ``TICK`` old),
    ``clock``, which the corerouter knows, and ``leases``, with which our own workers are the only
    backend; None: there are others.
    """

    nursery: trio.Nursery

    def __init__(self, start: Start, clock: Callable[[], float] = time.monotonic) -> None:
        settings = start.settings
        self.options = options = settings.fastrouter
        self.timeout = options.fastrouter_timeout
        self.clock = clock
        self.counters = Counters(log)
        self.corerouter = Corerouter(KIND, start, counters=self.counters, clock=clock)
        self.corerouter.on_cheap = self._open_or_shut
        self.answers = self.corerouter.answers
        self.corerouter.count_sessions = lambda: len(self._sessions)
        self.heads = HeadReader(settings)
        self.bodies = Bodies(
            options.fastrouter_post_buffering,
            options.fastrouter_post_buffering_dir,
            options.fastrouter_post_buffers,
        )
        self.names = Names()
        self.buffer = memoryview(bytearray(options.fastrouter_buffer_size))
        self.piece = min(options.fastrouter_buffer_size, MAX_PIECE)
        self.lane = Lane()
        self.leases: LeasePool | None = None
        self.now = 0.0
        self._start = start
        self._draining = False
        self._sessions: set[Session] = set()
        self._empty = trio.Event()  # draining, and the last session has ended
        self._doors: list[Door] = []
        self._most = connection_limit(
            options.fastrouter_max_connections,
            DESCRIPTORS + bool(options.fastrouter_post_buffering),
        )

    async def serve(self, nursery: trio.Nursery) -> None:
        """Accept on every fastrouter listener until cancelled."""
        self.nursery = nursery
        self._tick()
        start = self._start
        if leads_to_workers(start) and start.lease_address is not None:
            slots = start.settings.workers.processes * start.settings.workers.threads
            self.leases = LeasePool(
                start.lease_address, slots, len(self.buffer), self.lane, nursery
            )
        nursery.start_soon(self.lane.run)
        nursery.start_soon(self._clock)
        self._doors = [
            Door(self, listener, self._admit)
            for listener in self._start.listeners
            if listener.role == KIND
        ]
        try:
            await nursery.start(self.corerouter.run)
            self._open_or_shut()
            await trio.sleep_forever()
        finally:
            for door in self._doors:
                door.close()

    def renew(self, name: str, material: bytes) -> None:
        """There is no TLS here."""

    @property
    def is_full(self) -> bool:
        """No more connections may come in for now."""
        return len(self._sessions) >= self._most

    def forget(self, session: Session) -> None:
        """A session has closed its connection."""
        self._sessions.discard(session)
        if self._draining:
            self._look_if_empty()

    def drain(self, idle: float) -> None:
        """Finish what runs; who has said nothing yet has ``idle`` seconds."""
        for door in self._doors:
            door.close()
        self._draining = True
        for session in list(self._sessions):
            if session.is_idle:
                session.deadline = min(session.deadline, self.now + idle)
                if not idle:
                    session.expire()
        self._look_if_empty()

    async def drained(self) -> None:
        """Return when the last session has ended."""
        await self._empty.wait()
        await self.corerouter.farewell()
        if self.leases is not None:
            self.leases.close()

    def _admit(self, client: socket.socket, address: object) -> None:
        session = Session(self, client)
        self._sessions.add(session)
        session.receive_head(0)

    def _look_if_empty(self) -> None:
        if self._draining and not self._sessions:
            self._empty.set()

    def _open_or_shut(self) -> None:
        """A cheap fastrouter accepts only while it has nodes."""
        if self._draining:
            return
        for door in self._doors:
            if self.corerouter.is_cheap:
                door.shut()
            else:
                door.open()

    async def _clock(self) -> None:
        """Keep the time, and end the sessions whose time is over."""
        while True:
            self._tick()
            for session in list(self._sessions):
                if session.deadline <= self.now:
                    session.expire()
                elif session.state is not State.HEAD:
                    session.watch()  # it takes so long that the client may leave meanwhile
            await trio.sleep(TICK)

    def _tick(self) -> None:
        self.now = trio.current_time()
        self.counters.tick(self.now)


def main(fd: int) -> None:
    """Be a fastrouter; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    core = start.settings.fastrouter_corerouter
    service.run(KIND, start, Fastrouter, core.uid, core.gid)
