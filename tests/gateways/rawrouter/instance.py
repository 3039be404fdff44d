"""A rawrouter in the test's own process, with the test in the place of all its peers."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from tests.gateways.instance import listen
from tests.gateways.peers import PATIENCE, Client, Stream, Uwsgi
from uwgate.conf.groups.corerouter import RawrouterCorerouterOptions
from uwgate.conf.groups.rawrouter import RawrouterOptions
from uwgate.conf.groups.relay import RawrouterRelayOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener, Start
from uwgate.gateways.rawrouter.process import RawGateway, Rawrouter

OWN = {field.name for field in dataclasses.fields(RawrouterOptions)}
RELAY = {field.name for field in dataclasses.fields(RawrouterRelayOptions)}
SMALL = 65536  # bytes that the kernel may hold for a peer of a test


class Instance:
    """A running gateway; ``address`` of its listener is "door"."""

    def __init__(self, gateway: RawGateway, door: socket.socket) -> None:
        self.gateway = gateway
        self.door = door
        self.clients: list[Stream] = []
        self.accepting = trio.CancelScope()

    async def connect(self) -> Client:
        """A client whose connection the kernel has taken."""
        sock = trio.socket.socket(self.door.family, socket.SOCK_STREAM)
        # Else the kernel takes megabytes on behalf of a gateway that does not read.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        await sock.connect(self.door.getsockname())
        client = Client(sock)
        self.clients.append(client)
        return client

    def drain(self, idle: float = 0.0) -> None:
        """What the process does when it is told to drain."""
        self.accepting.cancel()
        self.gateway.drain(idle)

    async def is_empty(self) -> bool:
        """All sessions end."""
        with trio.move_on_after(PATIENCE):
            while self.gateway._sessions:  # noqa: ASYNC110  # nobody tells
                await trio.sleep(0.01)
        return not self.gateway._sessions

    async def run(self, nursery: trio.Nursery) -> None:
        with self.accepting:
            await self.gateway.serve(nursery)


def start_of(door: socket.socket, **options: Any) -> Start:
    """What the master would hand over; options have no prefix."""
    core = options.keys() - OWN - RELAY
    settings = Settings(
        rawrouter=RawrouterOptions(**{key: options[key] for key in options.keys() & OWN}),
        rawrouter_relay=RawrouterRelayOptions(
            **{key: options[key] for key in options.keys() & RELAY}
        ),
        rawrouter_corerouter=RawrouterCorerouterOptions(**{key: options[key] for key in core}),
    )
    return make_start(settings, Listener(fd=door.fileno(), role="rawrouter", name="door"))


def make_start(settings: Settings, listener: Listener) -> Start:
    """What the master would hand over."""
    return Start(
        settings=settings,
        listeners=(listener,),
        control_fd=-1,
        life_fd=-1,
        lease_address=None,
        instance=1,
        generation=1,
    )


@asynccontextmanager
async def living(
    make: Callable[[socket.socket], RawGateway], path: str | None = None
) -> AsyncIterator[Instance]:
    """A gateway that runs; in the end every session must have ended."""
    with listen(path) as door:
        gateway = make(door)
        instance = Instance(gateway, door)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(instance.run, nursery)
                await trio.testing.wait_all_tasks_blocked()
                yield instance
                for client in instance.clients:
                    client.close()
                instance.drain()
                with trio.fail_after(PATIENCE):
                    await gateway.drained()
                assert gateway.pipes.used == 0
                assert gateway.lane.tasks == 0
                assert gateway.lane.expected == 0
                nursery.cancel_scope.cancel()
        finally:
            for client in instance.clients:
                client.close()
            for session in list(gateway._sessions):  # of a failed test: else the next ones fail
                session.reset()


def descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def running(*, path: str | None = None, **options: Any) -> AsyncIterator[Instance]:
    """A rawrouter that runs."""
    async with living(lambda door: Rawrouter(start_of(door, **options)), path) as instance:
        yield instance


@asynccontextmanager
async def routing(**options: Any) -> AsyncIterator[tuple[Instance, Uwsgi]]:
    """A rawrouter with one backend."""
    backend = Uwsgi.on_tcp()
    try:
        async with running(to=(backend.address,), **options) as instance:
            yield instance, backend
    finally:
        backend.close()
