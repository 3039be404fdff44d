"""One node of ours in one legion: a UDP socket and time around an election.

The election decides, here it is carried out. Whatever comes back from a wait asks the election
for the time first (``Node.beat``), so that a process that was stopped for a while does nothing
as a lord that it is no more.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import trio

from uwgate.conf.board import Standing, clock
from uwgate.legion.addresses import Addresses
from uwgate.legion.chronicle import Chronicle
from uwgate.legion.lordship import Lordship
from uwgate.legion.mode import Mode
from uwgate.legion.publisher import Publisher
from uwgate.legion.refusals import Refusals
from uwgate.subscriptions.legion.election import NodeJoined, Rise, Send, State, StepDown
from uwgate.subscriptions.legion.hook import Event
from uwgate.subscriptions.legion.spec import LegionSpec

log = logging.getLogger("uwgate.legion")

MAX_DATAGRAM = 65536  # bytes
MAX_BATCH = 64  # datagrams that are heard before the time is looked at again
RESUME_CHECK = 0.25  # seconds; timers stand still while the machine sleeps, a lord must not
SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
TIMESTAMP = struct.Struct("@qq")  # struct timespec
ANCILLARY = socket.CMSG_SPACE(TIMESTAMP.size)
ACTING = (State.RISING, State.LORD)


class Node:
    """See the module. ``run`` is its life; ``leave`` ends it well."""

    def __init__(
        self,
        spec: LegionSpec,
        mode: Mode,
        sock: socket.socket,
        *,
        lordship: Lordship,
        chronicle: Chronicle,
        publisher: Publisher,
        keep_term: Callable[[int], None],
    ) -> None:
        self.spec = spec
        self._mode = mode
        self._election = mode.election
        self._socket = sock
        self._lordship = lordship
        self._chronicle = chronicle
        self._publisher = publisher
        self._keep_term = keep_term
        self._addresses = Addresses(spec)
        self._nursery: trio.Nursery | None = None
        self._waiting = trio.CancelScope()
        self._era = 0  # counts rises and falls
        self._term = 0  # of our own lordship
        self._since = 0  # the second at which it began
        self._highest = self._election.term
        self._rising = trio.CancelScope()
        self._risen = done()  # the lord hooks have run, or were stopped
        self._fallen = done()  # the unlord hooks have
        self._is_leaving = False
        self._send_trouble = ""
        self._refusals = Refusals(spec.name, mode.refused, is_sealed=spec.is_sealed)

    async def run(self) -> None:
        """Take part in the legion until cancelled."""
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._forget_waiting()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._addresses.resolve)
            nursery.start_soon(self._chronicle.run_hooks)
            nursery.start_soon(self._lordship.run)
            self._chronicle.begin()
            try:
                await self._serve()
            finally:
                self._lordship.drop()
                self._publisher.publish(Standing(term=self._highest))

    async def leave(self) -> None:
        """Stop being lord, run the death hooks, say goodbye.

        Nothing is announced meanwhile, so that others do not wait for slow hooks.
        """
        await self._fallen.wait()
        was_acting = self._election.state in ACTING
        self._is_leaving = True
        self._era += 1
        self._lordship.drop()
        self._publisher.publish(Standing(term=self._highest))
        self._rising.cancel()
        await self._risen.wait()
        if was_acting:
            await self._end_lordship("this node leaves")
        await self._chronicle.run(Event.DEATH)
        for action in self._election.leave(clock(), time.time()):
            if isinstance(action, Send):
                self._send(action)
        log.info("legion %s: left", self.spec.name)

    # Time and packets

    async def _serve(self) -> None:
        self.beat()
        while not self._is_leaving:
            with trio.CancelScope(deadline=self._next_deadline()) as self._waiting:
                await trio.lowlevel.wait_readable(self._socket)
            if not self._is_leaving:
                self.beat()
                self._hear()
            await trio.lowlevel.checkpoint()
        await trio.sleep_forever()

    def beat(self) -> None:
        """Do what is due by now."""
        self._do(self._election.tick(clock(), time.time()))

    def _next_deadline(self) -> float:
        delay = max(self._election.next_time() - clock(), 0.0)
        if self._election.state in ACTING:
            delay = min(delay, RESUME_CHECK)
        return trio.current_time() + delay

    def _hear(self) -> None:
        for _ in range(MAX_BATCH):
            try:
                datagram, ancillary, _, address = self._socket.recvmsg(MAX_DATAGRAM, ANCILLARY)
            except BlockingIOError:
                return
            except OSError as error:  # ICMP's answer to something that we sent
                log.debug("legion %s: %s", self.spec.name, error)
                continue
            now, wall = clock(), time.time()
            message = self._mode.open(datagram, wall)
            if message is None:
                self._refusals.note(f"{address[0]}:{address[1]}" if address else "nobody", now)
            else:
                self._addresses.note(self._mode.sender(message), address)
                arrived = now - age(ancillary, wall)
                self._do(self._election.receive(message, now, wall, arrived=arrived))

    def _forget_waiting(self) -> None:
        """Throw away what came before this election began."""
        for _ in range(MAX_DATAGRAM):
            try:
                self._socket.recv(1)
            except BlockingIOError:
                return
            except OSError:
                continue

    def _send(self, send: Send[Any]) -> None:
        datagram = self._mode.seal(send.message)
        for address in self._addresses.of(send.to):
            trouble = ""
            try:
                self._socket.sendto(datagram, address)
            except BlockingIOError:
                trouble = "the socket's buffer is full"
            except OSError as error:
                trouble = str(error)
            if trouble and trouble != self._send_trouble:
                log.warning("legion %s: to %s:%d: %s", self.spec.name, *address, trouble)
            self._send_trouble = trouble or self._send_trouble

    # What the election asks for

    def _do(self, actions: list[Any]) -> None:
        assert self._nursery is not None
        for action in actions:
            match action:
                case Send():
                    self._send(action)
                case Rise(term):
                    self._era += 1
                    self._term, self._since = term, int(time.time())
                    self._nursery.start_soon(self._rise, self._era)
                case StepDown(_, reason):
                    self._era += 1
                    self._lordship.drop()
                    self._rising.cancel()
                    self._fallen = trio.Event()
                    self._nursery.start_soon(self._fall, reason)
                case _:
                    self._chronicle.note(action)
                    if isinstance(action, NodeJoined):
                        # It may come from behind a cut, where our address was another machine's.
                        self._lordship.announce()
        self._publish()
        self._waiting.deadline = min(self._waiting.deadline, self._next_deadline())

    async def _rise(self, era: int) -> None:
        def still() -> bool:
            if not self._is_leaving:
                self.beat()
            return self._era == era

        if not still():
            return
        log.info("legion %s: becoming lord in term %d", self.spec.name, self._term)
        self._risen = trio.Event()
        try:
            with trio.CancelScope() as self._rising:
                succeeded = await self._lordship.take(
                    self._environ(), still, stop_at_failure=bool(self.spec.times.suspension)
                )
        finally:
            self._risen.set()
        if not self._rising.cancelled_caught and still():
            self._do(self._election.rose(clock(), time.time(), succeeded=succeeded))
            if self._era == era:
                log.info("legion %s: this node is the lord now", self.spec.name)

    async def _abdicate(self, era: int) -> None:
        if self._era == era and not self._is_leaving:
            self.beat()
            reason = "a service address is lost"
            self._do(self._election.abdicate(clock(), time.time(), reason))

    async def _fall(self, reason: str) -> None:
        began = trio.current_time()
        log.warning("legion %s: not lord any more: %s", self.spec.name, reason)
        try:
            await self._risen.wait()
            await self._end_lordship(reason, trio.current_time() - began)
        finally:
            self._fallen.set()
        if not self._is_leaving:
            self.beat()
            self._do(self._election.fell(clock(), time.time()))

    async def _end_lordship(self, reason: str, spent: float = 0.0) -> None:
        environ = {**self._environ(), "UWGATE_LEGION_REASON": reason}
        await self._lordship.end(environ, max(self.spec.times.release - spent, 0.0))

    def _environ(self) -> dict[str, str]:
        return self._chronicle.environ(self._term)

    def _publish(self) -> None:
        election, now = self._election, clock()
        if election.term > self._highest:
            self._highest = election.term
            self._keep_term(election.term)
        standing = Standing(term=self._highest)
        if election.state in ACTING:
            # Even where a lordship has no end, what comes with it ends unless it is renewed.
            end = min(self._mode.lease_end(), now + self.spec.times.tolerance)
            if not self._lordship.renew(end - now) and self._nursery is not None:
                self._nursery.start_soon(self._abdicate, self._era)
            if election.state is State.LORD:
                standing = Standing(until=end, term=self._term, since=self._since)
        self._publisher.publish(standing)


def age(ancillary: list[tuple[int, int, bytes]], wall: float) -> float:
    """How many seconds ago the kernel took a datagram in, as far as it says so."""
    for level, kind, content in ancillary:
        if (level, kind, len(content)) == (socket.SOL_SOCKET, SO_TIMESTAMPNS, TIMESTAMP.size):
            seconds, nanoseconds = TIMESTAMP.unpack(content)
            stamp: float = seconds + nanoseconds / 1e9
            return max(wall - stamp, 0.0)
    return 0.0


def done() -> trio.Event:
    """An event that has happened."""
    event = trio.Event()
    event.set()
    return event
