"""Clients and backends that do anything at any time: in the end nothing is left of them."""

from __future__ import annotations

import random
import socket
import struct
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.gateways.corerouter.routers import announce
from tests.gateways.fastrouter.instance import Instance, packet, running
from tests.gateways.fastrouter.test_session import nobody

REQUESTS = 120
RESET = struct.pack("ii", 1, 0)
SMALL = b"HTTP/1.1 200 OK\r\n\r\nok"


async def misbehave(dice: random.Random, sock: trio.socket.SocketType) -> None:
    """One connection of a backend."""
    with sock:
        act = dice.randrange(8)
        if act == 0:
            return
        try:
            await sock.recv(65536)
            if act == 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif act == 2:
                await trio.sleep(dice.choice((0.0, 0.01, 2.0)))
            elif act == 3:
                await sock.send(SMALL)
                sock.shutdown(socket.SHUT_WR)
                while await sock.recv(65536):
                    pass
            elif act == 4:
                for _ in range(20):
                    await sock.send(b"x" * 10_000)
            else:
                await sock.send(SMALL)
        except OSError:
            return


async def be_backend(dice: random.Random, listener: trio.socket.SocketType) -> None:
    async with trio.open_nursery() as nursery:
        while True:
            sock, _ = await listener.accept()
            nursery.start_soon(misbehave, dice, sock)


async def be_client(dice: random.Random, gateway: Instance) -> None:
    body = dice.choice((0, 0, 5, 100_000))
    length = body + dice.choice((0, 0, 7))
    data = packet(**{"CONTENT_LENGTH": str(length)} if length else {}) + b"b" * body
    act = dice.randrange(6)
    if act == 0:
        data = data[: dice.randrange(len(data))]
    with trio.move_on_after(dice.choice((0.005, 0.1, 2.0))):
        with trio.socket.socket(gateway.door.family) as sock:
            await sock.connect(gateway.door.getsockname())
            try:
                await trio.SocketStream(sock).send_all(data)
                if act == 1:
                    sock.shutdown(socket.SHUT_WR)
                elif act == 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    return
                while await sock.recv(65536):
                    pass
            except OSError:
                return


@pytest.mark.parametrize("buffering", [0, 50], ids=["streamed", "taken in"])
@pytest.mark.parametrize("path", [None, "door"], ids=["TCP", "UNIX"])
async def test_nothing_is_left_of_accidents(
    tmp_path: Path, path: str | None, buffering: int
) -> None:
    dice = random.Random(4)
    with trio.socket.socket() as tcp, trio.socket.socket(socket.AF_UNIX) as unix:
        await tcp.bind(("127.0.0.1", 0))
        await unix.bind(f"{tmp_path}/backend")
        tcp.listen(3)
        unix.listen(2)
        async with (
            trio.open_nursery() as backends,
            running(
                path=path and f"{tmp_path}/{path}",
                subscription_server=("127.0.0.1:4000",),
                fastrouter_timeout=1.0,
                connect_timeout=0.5,
                fastrouter_post_buffering=buffering,
                fastrouter_buffer_size=4096,
                node_connections=8,
                node_pending=5,
            ) as gateway,
        ):
            backends.start_soon(be_backend, dice, tcp)
            backends.start_soon(be_backend, dice, unix)
            core = gateway.gateway.corerouter
            assert core.table is not None
            port = tcp.getsockname()[1]
            for address in (f"127.0.0.1:{port}", f"{tmp_path}/backend", nobody()):
                announce(core, address, key="a.example")
            nodes = list(core.table.slots["a.example"].members.values())
            async with trio.open_nursery() as clients:
                for _ in range(REQUESTS):
                    clients.start_soon(partial(be_client, dice, gateway))
                    await trio.sleep(0.002)
            # ``running`` sees that sessions, expectations and buffers are gone.
            gateway.drain()
            await gateway.gateway.drained()
            assert [node.reference for node in nodes] == [0, 0, 0]
            assert sum(node.requests for node in nodes) > 0
            backends.cancel_scope.cancel()
