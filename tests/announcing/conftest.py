"""A subscription server that hears datagrams, and an announcer on a virtual clock."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Container, Iterator
from pathlib import Path

import pytest
import trio

from uwgate.announcing.announcer import Announcer
from uwgate.announcing.occupation import Occupation
from uwgate.announcing.plan import Plan, make_plan
from uwgate.conf.groups.application import ApplicationOptions
from uwgate.conf.groups.legion import LegionOptions
from uwgate.conf.groups.subscribe import SubscribeOptions
from uwgate.conf.settings import Settings
from uwgate.sockets import Sockets
from uwgate.subscriptions.packet import MAX_DATAGRAM, Packet, decode

WALL = 1_700_000_000.0  # seconds since 1970 when the virtual clock stands at 0


class Latest(random.Random):
    """Dice that make every pause as long as it can be."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Ear:
    """A datagram socket at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))

    def heard(self) -> list[Packet]:
        """What has arrived since the last time."""
        found: list[Packet] = []
        while True:
            try:
                found.append(decode(self.socket.recv(MAX_DATAGRAM)))
            except BlockingIOError:
                return found

    def said(self) -> list[str]:
        """The same as a line each: ``+key`` or ``-key``."""
        return ["+-"[one.command] + one.key for one in self.heard()]

    def close(self) -> None:
        self.socket.close()


class Instance:
    """What the master would know: settings become plans, and how busy the workers are."""

    def __init__(self, folder: Path, announcer: Announcer, ruled: set[str] | None = None) -> None:
        self.ruled = set() if ruled is None else ruled  # the legions that this node is lord of
        self.folder = folder
        self.announcer = announcer
        self.occupation: Occupation | None = Occupation(load=0, free=1)
        self.notes: list[str] = []

    def plan(self, *values: str, **options: object) -> Plan:
        return make_plan(
            Settings(
                subscribe=SubscribeOptions(subscribe2=values, **options),  # type: ignore[arg-type]  # by name
                application=ApplicationOptions(chdir=str(self.folder)),
                legion=LegionOptions(legion=("ring :4242 1 aes-256-gcm:sixteen letters..",)),
            ),
            Sockets(),
            self.notes.append,
        )

    def announce(self, *values: str, **options: object) -> None:
        self.announcer.announce(self.plan(*values, **options), lambda: self.occupation)


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    one = Ear(tmp_path / "ear")
    yield one
    one.close()


def new_announcer(*, paused: bool = False, ruled: Container[str] = ()) -> Announcer:
    return Announcer(
        paused=paused,
        dice=Latest(),
        wall=lambda: WALL + trio.current_time(),
        is_lord=ruled.__contains__,
    )


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    ruled: set[str] = set()
    announcer = new_announcer(ruled=ruled)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announcer.run)
        nursery.start_soon(announcer.watch_lords)
        await trio.testing.wait_all_tasks_blocked()
        yield Instance(tmp_path, announcer, ruled)
        nursery.cancel_scope.cancel()


async def settled() -> None:
    """Let everything happen that takes no time."""
    await trio.testing.wait_all_tasks_blocked()
