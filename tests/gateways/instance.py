"""An HTTP gateway in the test's own process, with the test in the place of all its peers."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from tests.gateways.peers import Client, Stream, Workers
from uwgate.conf.groups.corerouter import HttpCorerouterOptions
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.conf.groups.http2 import Http2Options
from uwgate.conf.groups.https import HttpsOptions
from uwgate.conf.groups.static import StaticOptions
from uwgate.conf.groups.subscriptions import SubscriptionOptions
from uwgate.conf.groups.workers import WorkerOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener, Start
from uwgate.gateways.http import HttpGateway
from uwgate.gateways.tls.ring import Ring

CORE = {field.name for field in dataclasses.fields(HttpCorerouterOptions)}
COMMON = {field.name for field in dataclasses.fields(SubscriptionOptions)}
EDGE = {field.name for field in dataclasses.fields(EdgeOptions)}
DRAINED = 60.0  # seconds in which a gateway whose peers are gone must be empty


class Instance:
    """A running gateway."""

    def __init__(self, gateway: HttpGateway, door: socket.socket, workers: Workers) -> None:
        self.gateway = gateway
        self.workers = workers
        self.door = door
        self.clients: list[Client] = []
        self.streams: list[Stream] = []  # other connections
        self.accepting = trio.CancelScope()

    async def connect(self) -> Client:
        client = Client(await self.connected())
        self.clients.append(client)
        return client

    async def connected(self) -> trio.socket.SocketType:
        """A new connection to the gateway."""
        sock = trio.socket.socket(self.door.family, socket.SOCK_STREAM)
        # Else the kernel takes megabytes on behalf of a gateway that does not read.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        await sock.connect(self.door.getsockname())
        return sock

    def close_clients(self) -> None:
        for client in (*self.clients, *self.streams):
            client.close()

    def drain(self, idle: float = 0.0) -> None:
        """What the gateway's process does when it is told to drain."""
        self.accepting.cancel()
        self.gateway.drain(idle)

    def clean_up(self) -> None:
        """After a failed test: what is still open would fail the tests that follow as well."""
        for session in self.gateway._sessions:
            session.sock.close()
            if session._lease is not None:
                session._lease.sock.close()
        for connection in self.gateway._connections:
            connection.sock.close()
        if self.gateway.leases is not None:
            self.gateway.leases.close()

    async def run(self, nursery: trio.Nursery) -> None:
        with self.accepting:
            await self.gateway.serve(nursery)


def start_of(
    door: socket.socket,
    lease_address: str | None,
    *,
    processes: int = 1,
    threads: int = 1,
    limit_post: int = 0,
    role: str = "http",
    endpoint: str = "",
    https: HttpsOptions | None = None,
    http2: Http2Options | None = None,
    rules: Sequence[str] = (),
    static: StaticOptions | None = None,
    **options: Any,
) -> Start:
    """What the master would hand over. ``rules`` are lines of a configuration."""
    name = door.getsockname()
    options.setdefault("http_body_buffer", 0)  # bodies are forwarded as they come
    options.setdefault("http_response_buffer", 0)  # and so are responses
    common = {key: options.pop(key) for key in COMMON if key in options}
    core = {key: options.pop(f"http_{key}") for key in CORE if f"http_{key}" in options}
    settings = Settings(
        http=HttpOptions(**{key: options[key] for key in options.keys() - EDGE}),
        http_corerouter=HttpCorerouterOptions(**core),
        subscriptions=SubscriptionOptions(**common),
        edge=EdgeOptions(**{key: options[key] for key in options.keys() & EDGE}),
        https=https or HttpsOptions(),
        http2=http2 or Http2Options(),
        rules=tuple(map(rule_of, enumerate(rules, 1))),
        static=static or StaticOptions(),
        workers=WorkerOptions(processes=processes, threads=threads, limit_post=limit_post),
    )
    listener = Listener(
        fd=door.fileno(),
        role=role,
        name=name if isinstance(name, str) else f"{name[0]}:{name[1]}",
        endpoint=endpoint,
    )
    return Start(
        settings=settings,
        listeners=(listener,),
        control_fd=-1,
        life_fd=-1,
        lease_address=lease_address,
        instance=1,
        generation=1,
        secret="known to all gateways",
    )


def rule_of(numbered: tuple[int, str]) -> tuple[str, str, str]:
    """Name, value and place of a rule."""
    number, line = numbered
    name, _, value = line.partition("=")
    return name.strip(), value.strip(), f"rules:{number}"


def listen(path: str | None = None) -> socket.socket:
    """A listening socket as the master makes it."""
    if path is not None:
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.bind(path)
    else:
        door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # As in Instance.connect; what is accepted inherits it.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        door.bind(("127.0.0.1", 0))
    door.listen(64)
    door.setblocking(False)
    return door


@asynccontextmanager
async def running(
    *,
    path: str | None = None,
    workers: Workers | None = None,
    ring: Ring | None = None,
    **options: Any,
) -> AsyncIterator[Instance]:
    """A gateway that runs; in the end every session must have ended.

    ``workers``: share the slots of another gateway. ``ring``: what speaks TLS needs it.
    """
    own = Workers() if workers is None else workers
    with listen(path) as door:
        gateway = HttpGateway(start_of(door, own.address, **options), ring, clock=trio.current_time)
        instance = Instance(gateway, door, own)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(instance.run, nursery)
                await trio.testing.wait_all_tasks_blocked()
                yield instance
                instance.close_clients()
                if workers is None:
                    own.close()
                instance.drain()
                with trio.fail_after(DRAINED):
                    await gateway.drained()
                nursery.cancel_scope.cancel()
        finally:
            if workers is None:
                own.close()
            instance.close_clients()
            instance.clean_up()
