"""What gateways whose sessions all live in the lane have in common: doors, time, and the end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import trio

from uwgate.conf.start import Listener, Start
from uwgate.gateways.corerouter.router import Corerouter
from uwgate.gateways.counters import Counters
from uwgate.gateways.door import Door
from uwgate.gateways.lane import Lane
from uwgate.gateways.latecomer import Latecomer
from uwgate.gateways.names import Names

TICK = 0.5  # seconds between two looks at the sessions' deadlines


class Resident(Protocol):
    """A session. ``deadline`` is of trio's clock."""

    deadline: float

    def expire(self) -> None:
        """The deadline is over."""
        ...


Session = TypeVar("Session", bound=Resident)


class LaneGateway(Generic[Session]):
    """One process of a kind of gateway.

    Sessions use its attributes: ``clock``, which the corerouter knows, ``counters``,
    ``corerouter``, ``names``, the ``lane``, the ``nursery`` of their tasks, and ``now`` (trio's
    clock, at most ``TICK`` old). ``most`` is how many of them there may be.
    """

    BRIEF = False  # whether clients' connections are (``Door``)

    nursery: trio.Nursery

    def __init__(
        self, kind: str, start: Start, clock: Callable[[], float], logger: logging.Logger, most: int
    ) -> None:
        self.clock = clock
        self.counters = Counters(logger)
        self.corerouter = Corerouter(kind, start, counters=self.counters, clock=clock)
        self.corerouter.on_cheap = self._open_or_shut
        self.corerouter.count_sessions = lambda: len(self._sessions)
        self.names = Names()
        self.lane = Lane()
        self.now = 0.0
        self._kind = kind
        self._start = start
        self._draining = False
        self._sessions: set[Session] = set()
        self._empty = trio.Event()  # draining, and the last session has ended
        self._doors: list[Door] = []
        self._most = most

    # For each kind of gateway

    def roles(self) -> tuple[str, ...]:
        """Whose listeners are ours."""
        return (self._kind,)

    def renew(self, name: str, material: bytes) -> None:
        """Use other certificates; without TLS there are none."""

    def _receiver(self, listener: Listener) -> Callable[[socket.socket, object], None]:
        """What makes the sessions of those who come in there, and adds them to ``_sessions``."""
        raise NotImplementedError

    def _dismiss(self, session: Session, idle: float) -> None:
        """A drain has begun; ``idle`` is that of ``drain``."""
        raise NotImplementedError

    def _look_at(self, session: Session) -> None:
        """A session whose time is not over, at each tick."""

    # For service.run

    async def serve(
        self, nursery: trio.Nursery, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept on every listener until cancelled."""
        self.nursery = nursery
        self._tick()
        nursery.start_soon(self.lane.run)
        nursery.start_soon(self._keep_time)
        self._doors = [
            Door(self, listener, self._receiver(listener), brief=self.BRIEF)
            for listener in self._start.listeners
            if listener.role in self.roles()
        ]
        task_status.started()
        try:
            await nursery.start(self.corerouter.run)
            self._open_or_shut()
            await trio.sleep_forever()
        finally:
            for door in self._doors:
                door.close()

    def drain(self, idle: float) -> None:
        """Accept no more; sessions that only began have ``idle`` seconds, 0: nobody comes after us.

        For how long the others live on is limited by who calls this (service.py).
        """
        for door in self._doors:
            door.close()
        self._draining = True
        for session in list(self._sessions):
            self._dismiss(session, idle)
        self._look_if_empty()

    async def drained(self) -> None:
        """Return when the last session has ended."""
        await self._empty.wait()
        await self.corerouter.farewell()

    # For doors and sessions

    @property
    def is_full(self) -> bool:
        """No more connections may come in for now."""
        return len(self._sessions) >= self._most

    def forget(self, session: Session) -> None:
        """A session has closed its connection."""
        self._sessions.discard(session)
        if self._draining:
            self._look_if_empty()

    # Inside

    def _look_if_empty(self) -> None:
        if not self._sessions:
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

    async def _keep_time(self) -> None:
        """Keep the time, and end the sessions whose time is over."""
        latecomer = Latecomer(TICK)
        while True:
            self._tick()
            if not latecomer.is_late(self.now):
                self._look_at_all()
            await trio.sleep(TICK)

    def _look_at_all(self) -> None:
        for session in list(self._sessions):
            if session.deadline <= self.now:
                session.expire()
            else:
                self._look_at(session)

    def _tick(self) -> None:
        self.now = trio.current_time()
        self.counters.tick(self.now)
