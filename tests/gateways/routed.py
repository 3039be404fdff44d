"""Rules in the HTTP gateway of a test, and what clients and workers say around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.gateways.instance import Instance, running
from tests.gateways.peers import Client, Packet, Response
from uwgate.gateways.wire import lease as wire


@asynccontextmanager
async def ruled(*rules: str) -> AsyncIterator[Instance]:
    async with running(rules=rules) as instance:
        yield instance


async def ask(instance: Instance, data: bytes) -> tuple[Client, Response]:
    """A response that no worker gives."""
    client = await instance.connect()
    await client.send(data)
    return client, await client.response(data.partition(b" ")[0])


async def through(
    instance: Instance,
    data: bytes,
    head: bytes = b"200 OK\r\nContent-Length: 5\r\n",
    body: bytes = b"hello",
    flags: int = wire.LENGTH,
) -> tuple[Packet, Response]:
    """A request that a worker answers so."""
    client = await instance.connect()
    await client.send(data)
    lease = await instance.workers.accept()
    packet = await lease.packet()
    await lease.answer(body, head, flags)
    return packet, await client.response(data.partition(b" ")[0])


def lines(response: Response) -> list[tuple[bytes, bytes]]:
    """The fields without those of the gateway itself."""
    return [pair for pair in response.lines if pair[0] not in (b"Date", b"Content-Length")]


async def next_chunk(client: Client) -> bytes:
    """The next chunk of a body; empty: the last one."""
    size = int(await client.until(b"\r\n"), 16)
    return (await client.exactly(size + 2))[:-2]
