"""A rawrouter process: doors, time, and the end. The sslrouter is one as well."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

import trio

from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.corerouter.router import Corerouter
from uwgate.gateways.counters import Counters
from uwgate.gateways.door import Door, connection_limit
from uwgate.gateways.lane import Lane
from uwgate.gateways.names import Names
from uwgate.gateways.rawrouter import pipes
from uwgate.gateways.rawrouter.caller import Caller
from uwgate.gateways.rawrouter.pipes import Pipes
from uwgate.gateways.rawrouter.session import Session
from uwgate.gateways.rawrouter.states import UNHEARD

log = logging.getLogger("uwgate.rawrouter")

KIND = "rawrouter"
TICK = 0.5  # seconds between two looks at the sessions' deadlines
DESCRIPTORS = 2  # of a session


class RawGateway:
    """One process of a kind of gateway that carries bytes and knows nothing of them.

    Sessions use its attributes: ``options``, ``timeout`` and ``lifetime`` (seconds; 0: any),
    ``asks_for_greeting``, ``names``, ``pipes``, ``corerouter``, ``counters``, the ``lane``, the
    ``nursery`` of their tasks, ``buffer`` (what is received into, and sent on before anything else
    is received), ``now`` (trio's clock, at most ``TICK`` old), and ``clock``, which the corerouter
    knows.
    """

    nursery: trio.Nursery
    asks_for_greeting = False

    def __init__(
        self,
        kind: str,
        start: Start,
        clock: Callable[[], float] = time.monotonic,
        *,
        logger: logging.Logger = log,
    ) -> None:
        settings = start.settings
        self.options = options = settings.relay(kind)
        self.timeout = options.timeout
        self.lifetime = options.total_timeout
        self.clock = clock
        self.counters = Counters(logger)
        self.corerouter = Corerouter(kind, start, counters=self.counters, clock=clock)
        self.corerouter.on_cheap = self._open_or_shut
        self.corerouter.count_sessions = lambda: len(self._sessions)
        self.names = Names()
        self.pipes = Pipes(options.pipes)
        self.buffer = memoryview(bytearray(options.buffer_size))
        self.lane = Lane()
        self.now = 0.0
        self._start = start
        self._draining = False
        self._sessions: set[Session] = set()
        self._empty = trio.Event()  # draining, and the last session has ended
        self._doors: list[Door] = []
        self._most = connection_limit(
            options.max_connections, DESCRIPTORS, reserved=options.pipes * pipes.DESCRIPTORS
        )

    def roles(self) -> tuple[str, ...]:
        """Whose listeners are ours."""
        return (KIND,)

    def welcome(self, listener: Listener, client: socket.socket, caller: Caller) -> Session:
        """The session of a client that came in there."""
        return Session(self, client, caller, listener.name)

    async def serve(self, nursery: trio.Nursery) -> None:
        """Accept on every listener until cancelled."""
        self.nursery = nursery
        self._tick()
        nursery.start_soon(self.lane.run)
        nursery.start_soon(self._clock)
        self._doors = [
            Door(self, listener, self._receiver(listener))
            for listener in self._start.listeners
            if listener.role in self.roles()
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
        self._look_if_empty()

    def drain(self, idle: float) -> None:
        """Let connections live on; without anybody who comes after us (``idle`` is 0), end them.

        How long they live on is limited by who calls this (service.py).
        """
        for door in self._doors:
            door.close()
        self._draining = True
        for session in list(self._sessions):
            if not idle:
                session.close()
            elif session.state in UNHEARD:
                session.deadline = min(session.deadline, self.now + idle)
        self._look_if_empty()

    async def drained(self) -> None:
        """Return when the last session has ended."""
        await self._empty.wait()
        await self.corerouter.farewell()
        self.pipes.close()

    def _receiver(self, listener: Listener) -> Callable[[socket.socket, object], None]:
        def receive(client: socket.socket, address: object) -> None:
            session = self.welcome(listener, client, Caller.of(address))
            self._sessions.add(session)
            session.begin()

        return receive

    def _look_if_empty(self) -> None:
        if self._draining and not self._sessions:
            self._empty.set()

    def _open_or_shut(self) -> None:
        """A cheap gateway accepts only while it has nodes."""
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
            await trio.sleep(TICK)

    def _tick(self) -> None:
        self.now = trio.current_time()
        self.counters.tick(self.now)


class Rawrouter(RawGateway):
    """One rawrouter process."""

    def __init__(self, start: Start, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(KIND, start, clock)
        self.asks_for_greeting = start.settings.rawrouter.rawrouter_xclient


def main(fd: int) -> None:
    """Be a rawrouter; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    core = start.settings.rawrouter_corerouter
    mercy = start.settings.mercy_of(KIND)
    service.run(KIND, start, Rawrouter, core.uid, core.gid, mercy)
