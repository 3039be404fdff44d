"""How the rawrouter and the sslrouter find a backend: every mapper, and what failures cost."""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.gateways.peers import Uwsgi
from tests.gateways.rawrouter.instance import Instance, living, running, start_of
from tests.gateways.sslrouter.instance import passing
from tests.gateways.wire.test_client_hello import message, name, records
from uwgate.gateways.rawrouter.process import Rawrouter

Router = Callable[..., AbstractAsyncContextManager[Instance]]
HELLO = records(message(name(b"a.example")))
KINDS = pytest.mark.parametrize(
    ("router", "key", "hello"), [(running, "door", b"raw"), (passing, "a.example", HELLO)]
)


async def is_served(gateway: Instance, backend: Uwsgi, hello: bytes) -> bool:
    """A client reaches that backend, and hears it."""
    client = await gateway.connect()
    await client.send(hello)
    async with await backend.accept() as server:
        assert await server.exactly(len(hello)) == hello
        await server.send(b"welcome")
        return await client.exactly(7) == b"welcome"


@KINDS
@pytest.mark.parametrize("mapper", ["use_pattern", "use_base"])
async def test_the_key_makes_the_path_of_the_backend(
    tmp_path: Path, router: Router, key: str, hello: bytes, mapper: str
) -> None:
    backend = Uwsgi.on_path(f"{tmp_path}/{key}")
    value = f"{tmp_path}/%s" if mapper == "use_pattern" else f"{tmp_path}/"
    async with router(**{mapper: value}) as gateway:
        assert await is_served(gateway, backend, hello)
    backend.close()


async def test_a_socket_of_the_instance_may_be_the_backend() -> None:
    backend = Uwsgi.on_tcp()

    def make(door: Any) -> Rawrouter:
        start = start_of(door, use_socket=1)
        return Rawrouter(replace(start, bound=(("uwsgi", ":1"), ("uwsgi", backend.address))))

    async with living(make) as gateway:
        assert await is_served(gateway, backend, b"raw")
    backend.close()


@KINDS
async def test_a_backend_that_does_not_accept_is_given_up(
    hurried_clock: trio.abc.Clock, router: Router, key: str, hello: bytes
) -> None:
    backend = Uwsgi.on_tcp()
    # TEST-NET-1 (RFC 5737): packets to it go nowhere, or there is no route.
    async with router(to=("192.0.2.1:9", backend.address), connect_timeout=2.0) as gateway:
        assert await is_served(gateway, backend, hello)
    backend.close()


@KINDS
async def test_who_was_connected_to_a_backend_gets_no_other_one(
    router: Router, key: str, hello: bytes
) -> None:
    first, second = Uwsgi.on_tcp(), Uwsgi.on_tcp()
    async with router(to=(first.address, second.address)) as gateway:
        client = await gateway.connect()
        await client.send(hello)
        async with await first.accept() as server:
            await server.exactly(len(hello))
        assert await client.rest() == b""
        client.close()
        assert await gateway.is_empty()
        assert not select.select([second.sock], [], [], 0)[0]
    first.close()
    second.close()
