"""Nodes of an HTTP gateway in the test's own process, announced by hand."""

from __future__ import annotations

from tests.gateways.corerouter.routers import announce, table_of
from tests.gateways.instance import Instance
from tests.gateways.peers import Client, Response, Uwsgi
from uwgate.subscriptions.node import Node

KEY = "a.example"
SERVER = ("127.0.0.1:1",)  # nobody binds it
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def subscribe(instance: Instance, *backends: Uwsgi | str, key: str = KEY, **more: object) -> None:
    for backend in backends:
        address = backend if isinstance(backend, str) else backend.address
        router = instance.gateway.router
        announce(router, address, key=key, now=router.clock(), **more)


def node_of(instance: Instance, backend: Uwsgi) -> Node:
    return table_of(instance.gateway.router).slots[KEY].members[backend.address]


async def served_by(
    backend: Uwsgi, client: Client, *lines: bytes, target: bytes = b"/", answer: bytes = OK
) -> Response:
    """A request that this node gets and answers."""
    await client.get(target, *lines)
    connection = await backend.accept()
    await connection.packet()
    await connection.send(answer)
    connection.close()
    return await client.response()
