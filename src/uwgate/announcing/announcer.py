"""When this instance announces itself (spec/subscriptions.md section 4).

There is one idea: ``wanted`` is what servers should know, ``told`` what they have been told. A
round tells them what is wanted, and takes back what is wanted no more. It comes at once when
something has changed (a start, a reload, a pause, the end), again a second later, and then every
``subscribe-freq`` seconds. Every pause is up to a tenth shorter, by chance, so that nodes which
were started together do not speak together for ever.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator

import trio

from uwgate.announcing.occupation import Occupation
from uwgate.announcing.plan import Plan
from uwgate.announcing.server import Server
from uwgate.conf.address import Address
from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.announcement import Announcement, Ident
from uwgate.subscriptions.dates import Dates
from uwgate.subscriptions.packet import Command
from uwgate.subscriptions.refusal import Refused

log = logging.getLogger("uwgate.announce")

AGAIN = 1.0  # seconds; a first datagram may be lost
JITTER = 0.1  # of a pause
SEND_LIMIT = 5.0  # seconds for what one server is sent in one round
LEAVE_LIMIT = 2.0  # seconds for the last round
# A router that has just chosen us connects within this time; until then we have to accept.
LINGER = 0.5  # seconds
LINGER_LOOKS = 100  # at the sockets' queues, until what waits there has been accepted
LINGER_STEP = 0.05  # seconds between two of them
NAMES_IN_LOG = 5
LOOK = 0.25  # seconds between two looks at who is lord


IsLord = Callable[[str], bool]  # of the legion with this name, at this moment
Observe = Callable[[], Occupation | None]  # None: no worker is there


class Announcer:
    """Knows what was announced. ``paused``: says nothing until ``toggle``.

    ``wall`` is the time in seconds since 1970, for signatures. ``is_lord``: who is no lord does
    not announce what only a lord may.
    """

    def __init__(
        self,
        *,
        paused: bool = False,
        dice: random.Random | None = None,
        wall: Callable[[], float] = time.time,
        is_lord: IsLord = lambda legion: False,
    ) -> None:
        self._paused = paused
        self._dice = dice or random.Random()
        self._wall = wall
        self._is_lord = is_lord
        self._ruled: set[str] = set()  # of what legions this node is lord
        self._planned = trio.Event()
        self._plan = Plan()
        self._observe: Observe = Occupation
        self._withdrawn = True
        self._told: dict[Ident, Announcement] = {}
        self._servers: dict[Address, Server] = {}
        self._dates = Dates[Ident]()
        self._changed = trio.Event()
        self._settled = trio.Event()
        self._settled.set()
        self._round = trio.CancelScope()
        self._soon = False  # the next pause is the short one
        self._took_back = False  # since the last change
        self._is_absent = False  # no worker is there, and the log says so

    @property
    def is_useful(self) -> bool:
        """Whether there is anything that could be announced."""
        return bool(self._plan.sources)

    def announce(self, plan: Plan, observe: Observe) -> None:
        """From now on this plan holds, for an instance that can serve."""
        self._plan = plan
        self._observe = observe
        self._withdrawn = False
        self._planned.set()
        self._change()

    def withdraw(self) -> None:
        """Take everything back, until the next ``announce``."""
        self._withdrawn = True
        self._change()

    @property
    def is_paused(self) -> bool:
        """Whether nothing is announced for now."""
        return self._paused

    def toggle(self) -> bool:
        """Pause, or go on; returns whether it is paused now."""
        self._paused = not self._paused
        self._change()
        return self._paused

    async def settle(self) -> bool:
        """Wait until the servers were told of the last change, but not for long.

        Returns whether something was taken back, so that some router may just be about to
        connect to it. Then ``linger``.
        """
        with trio.move_on_after(LEAVE_LIMIT):
            await self._settled.wait()
        return self._took_back

    async def leave(self) -> None:
        """Take everything back, and return when nobody should come any more.

        Gateways of this same instance are told nothing: they end as well, and finish what they
        have with our workers.
        """
        own = {one.origin for one in self._plan.sources if one.is_own}
        self._told = {name: one for name, one in self._told.items() if one.origin not in own}
        self.withdraw()
        if await self.settle():
            await self.linger()

    async def linger(self) -> None:
        """Give those who are on their way the time to arrive, and to be accepted."""
        await trio.sleep(LINGER)
        for _ in range(LINGER_LOOKS):
            now = self._observe()
            if now is None or not now.load:
                return
            await trio.sleep(LINGER_STEP)

    async def run(self) -> None:
        """Announce, for ever."""
        try:
            while True:
                self._changed = trio.Event()
                begin = trio.current_time()
                with trio.CancelScope() as self._round:
                    await self._tell_all()
                if not self._changed.is_set():
                    self._settled.set()
                with trio.move_on_at(begin + self._pause()):
                    await self._changed.wait()
        finally:
            self._close()

    async def watch_lords(self) -> None:
        """Announce, or take back, what only lords may announce; for ever."""
        while True:
            self._planned = trio.Event()
            legions = {one.legion for one in self._plan.sources if one.legion}
            ruled = {legion for legion in legions if self._is_lord(legion)}
            if ruled != self._ruled:
                self._ruled = ruled
                self._change()
            with trio.move_on_after(LOOK if legions else math.inf):
                await self._planned.wait()

    def _change(self) -> None:
        """Something has changed: end a round that runs, and begin another."""
        if self._settled.is_set():
            self._settled = trio.Event()
        self._soon = True
        self._took_back = False
        self._changed.set()
        self._round.cancel()

    def _pause(self) -> float:
        if not self._told and (self._withdrawn or self._paused or not self.is_useful):
            return math.inf
        pause = AGAIN if self._soon else self._plan.frequency
        self._soon = False
        return pause * self._dice.uniform(1 - JITTER, 1)

    async def _tell_all(self) -> None:
        occupation = self._observe()
        active = not self._withdrawn and not self._paused
        self._note_absence(active and occupation is None)
        if active and occupation is None:
            return
        wanted, held = self._wanted() if active else ({}, self._held())
        gone = [
            one for name, one in self._told.items() if name not in wanted and one.origin not in held
        ]
        if gone:
            self._took_back = True
        self._log_news([one for name, one in wanted.items() if name not in self._told], gone)
        says: dict[Address, list[tuple[Command, Announcement]]] = {}
        for command, several in ((Command.SUBSCRIBE, wanted.values()), (Command.UNSUBSCRIBE, gone)):
            for one in several:
                says.setdefault(one.server, []).append((command, one))
        self._forget_servers(says)
        self._dates.forget(self._wall())
        async with trio.open_nursery() as nursery:
            for address, messages in says.items():
                datagrams = self._datagrams(messages, occupation or Occupation())
                nursery.start_soon(self._send, self._server(address), datagrams)

    async def _send(self, server: Server, datagrams: Iterator[bytes]) -> None:
        await server.send(datagrams, limit=min(SEND_LIMIT, self._plan.frequency))

    def _datagrams(
        self, messages: list[tuple[Command, Announcement]], occupation: Occupation
    ) -> Iterator[bytes]:
        """The datagrams for one server; what is taken from here counts as told."""
        for command, one in messages:
            if command is Command.SUBSCRIBE:
                self._told[one.ident] = one
            try:
                datagram = one.datagram(
                    command,
                    load=occupation.load,
                    free=occupation.free,
                    now=self._date(one, command),
                )
            except (Refused, ConfigError) as error:  # a surprise: make_plan has tried it
                log.error("%s: %s", one.origin, error)
            else:
                yield datagram
            if command is Command.UNSUBSCRIBE:
                self._told.pop(one.ident, None)

    def _date(self, one: Announcement, command: Command) -> float:
        """The time in seconds since 1970 that a datagram bears."""
        now = self._wall()
        if one.signer is None or one.signer.scheme.modern:
            return now
        return self._dates.date(one.ident, command, now)

    def _wanted(self) -> tuple[dict[Ident, Announcement], set[str]]:
        """What is to be announced, and the origins of which nothing is to be said."""
        wanted: dict[Ident, Announcement] = {}
        held = self._held()
        for source in self._plan.sources:
            if source.origin in held or (source.legion and not self._is_lord(source.legion)):
                continue
            found = source.announcements()
            if found is None:
                held.add(source.origin)
            else:
                wanted.update((one.ident, one) for one in found)
        return wanted, held

    def _held(self) -> set[str]:
        return {one.origin for one in self._plan.sources if one.is_held}

    def _server(self, address: Address) -> Server:
        server = self._servers.get(address)
        if server is None or server.credentials != self._plan.credentials:
            if server is not None:
                server.close()
            server = self._servers[address] = Server(address, self._plan.credentials)
        return server

    def _forget_servers(self, used: dict[Address, list[tuple[Command, Announcement]]]) -> None:
        planned = {one.pattern.server for one in self._plan.sources}
        for address in self._servers.keys() - planned - used.keys():
            self._servers.pop(address).close()

    def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    def _note_absence(self, is_absent: bool) -> None:
        if is_absent and not self._is_absent:
            log.warning("no worker runs: nothing is announced")
        elif self._is_absent and not is_absent:
            log.info("workers run again")
        self._is_absent = is_absent

    def _log_news(self, new: list[Announcement], gone: list[Announcement]) -> None:
        for several, text in ((new, "announcing %s"), (gone, "no longer announcing %s")):
            if several:
                log.info(text, _names(several))


def _names(announcements: Iterable[Announcement]) -> str:
    """The first few of them, for the log."""
    texts = [f"{one.packet.key} at {one.packet.address} to {one.server}" for one in announcements]
    more = len(texts) - NAMES_IN_LOG
    return ", ".join(texts[:NAMES_IN_LOG]) + (f" and {more} more" if more > 0 else "")
