"""A fastrouter in the test's own process, with the test in the place of all its peers."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from tests.gateways.instance import listen
from tests.gateways.peers import Client, Uwsgi, Workers
from uwgate.conf.groups.corerouter import FastrouterCorerouterOptions
from uwgate.conf.groups.fastrouter import FastrouterOptions
from uwgate.conf.groups.subscriptions import SubscriptionOptions
from uwgate.conf.groups.workers import WorkerOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener, Start
from uwgate.gateways.fastrouter.process import Fastrouter
from uwgate.gateways.wire.uwsgi import encode

OWN = {field.name for field in dataclasses.fields(FastrouterOptions)}
COMMON = {field.name for field in dataclasses.fields(SubscriptionOptions)}
DRAINED = 20.0  # seconds in which a fastrouter whose peers are gone must be empty


class Instance:
    """A running fastrouter."""

    def __init__(self, gateway: Fastrouter, door: socket.socket) -> None:
        self.gateway = gateway
        self.door = door
        self.clients: list[Client] = []
        self.accepting = trio.CancelScope()

    async def connect(self) -> Client:
        sock = trio.socket.socket(self.door.family, socket.SOCK_STREAM)
        # Else the kernel takes megabytes on behalf of a gateway that does not read.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        await sock.connect(self.door.getsockname())
        client = Client(sock)
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> Client:
        """A new client that sends this."""
        client = await self.connect()
        await client.send(data)
        return client

    def drain(self, idle: float = 0.0) -> None:
        """What the process does when it is told to drain."""
        self.accepting.cancel()
        self.gateway.drain(idle)

    async def run(self, nursery: trio.Nursery) -> None:
        with self.accepting:
            await self.gateway.serve(nursery)


def packet(body: bytes = b"", modifier1: int = 0, modifier2: int = 0, /, **variables: str) -> bytes:
    """A request as a web server sends it. A length is added to a body."""
    found = {"REQUEST_METHOD": "GET", "HTTP_HOST": "a.example", "REMOTE_ADDR": "192.0.2.7"}
    if body:
        found["CONTENT_LENGTH"] = str(len(body))
    found |= variables
    pairs = [(key.encode(), value.encode()) for key, value in found.items()]
    return encode(pairs, modifier1, modifier2) + body


def start_of(
    door: socket.socket,
    *,
    lease_address: str | None = None,
    processes: int = 1,
    bound: tuple[tuple[str, str], ...] = (),
    **options: Any,
) -> Start:
    """What the master would hand over; options of the corerouter have no prefix."""
    core = options.keys() - OWN - COMMON
    settings = Settings(
        fastrouter=FastrouterOptions(**{key: options[key] for key in options.keys() & OWN}),
        fastrouter_corerouter=FastrouterCorerouterOptions(**{key: options[key] for key in core}),
        subscriptions=SubscriptionOptions(**{key: options[key] for key in options.keys() & COMMON}),
        workers=WorkerOptions(processes=processes),
    )
    listener = Listener(fd=door.fileno(), role="fastrouter", name="door")
    return Start(
        settings=settings,
        listeners=(listener,),
        control_fd=-1,
        life_fd=-1,
        lease_address=lease_address,
        instance=1,
        generation=1,
        bound=bound,
    )


@asynccontextmanager
async def running(*, path: str | None = None, **options: Any) -> AsyncIterator[Instance]:
    """A fastrouter that runs; in the end every session must have ended."""
    with listen(path) as door:
        gateway = Fastrouter(start_of(door, **options))
        instance = Instance(gateway, door)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(instance.run, nursery)
                await trio.testing.wait_all_tasks_blocked()
                yield instance
                for client in instance.clients:
                    client.close()
                instance.drain()
                with trio.fail_after(DRAINED):
                    await gateway.drained()
                assert gateway.lane.expected == 0
                assert gateway.lane.tasks == 0
                assert gateway.bodies.free == gateway.options.fastrouter_post_buffers
                nursery.cancel_scope.cancel()
        finally:
            for client in instance.clients:
                client.close()
            for session in gateway._sessions:  # of a failed test: else the next ones fail as well
                session.sock.close()
                backend = session.backend
                if backend is not None and backend.sock is not None:
                    backend.sock.close()
            if gateway.leases is not None:
                gateway.leases.close()


@asynccontextmanager
async def routing(**options: Any) -> AsyncIterator[tuple[Instance, Uwsgi]]:
    """A fastrouter with one backend."""
    backend = Uwsgi.on_tcp()
    try:
        async with running(to=(backend.address,), **options) as instance:
            yield instance, backend
    finally:
        backend.close()


@asynccontextmanager
async def leasing(**options: Any) -> AsyncIterator[tuple[Instance, Workers]]:
    """A fastrouter whose only backend are the workers of its own instance."""
    workers = Workers()
    try:
        async with running(lease_address=workers.address, **options) as instance:
            yield instance, workers
            workers.close()
    finally:
        workers.close()
