"""The process that gives sockets away, in this process."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener, Start
from uwgate.gateways.wire import zerg
from uwgate.gateways.zerg.process import Zergpool

ROOM = socket.CMSG_SPACE(253 * array.array("i").itemsize)


class House:
    """Two places: one with two sockets, one with one."""

    def __init__(self, folder: Path) -> None:
        self.sockets: list[socket.socket] = []
        self.listeners: list[Listener] = []
        self.paths = [str(folder / "a.sock"), str(folder / "b.sock")]
        self._listen("zergpool", self.paths[0])
        self._listen("zerg-server", self.paths[1])
        self._listen("zerg-socket", "", self.paths[0])
        self._listen("zerg-socket", "", self.paths[0])
        self._listen("zerg-socket", "", self.paths[1])
        self.pool = Zergpool(
            Start(
                settings=Settings(),
                listeners=tuple(self.listeners),
                control_fd=-1,
                life_fd=-1,
                lease_address=None,
                instance=1,
                generation=1,
            )
        )

    def _listen(self, role: str, path: str, endpoint: str = "") -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        sock.listen(4096)
        sock.setblocking(False)
        self.sockets.append(sock)
        name = path or str(sock.getsockname())
        self.listeners.append(Listener(fd=sock.fileno(), role=role, name=name, endpoint=endpoint))

    def names(self, *numbers: int) -> list[object]:
        return [self.sockets[one].getsockname() for one in numbers]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    for sock in found.sockets:
        sock.close()


async def receive(path: str) -> tuple[bytes, list[object]]:
    """What a zerg gets: the message, and the names of the sockets."""
    with trio.socket.socket(socket.AF_UNIX) as sock:
        await sock.connect(path)
        data, ancillary, _, _ = await sock.recvmsg(64, ROOM)
        assert await sock.recv(64) == b""
    numbers = array.array("i")
    for _, _, found in ancillary:
        numbers.frombytes(found)
    names: list[object] = []
    for fd in numbers:
        with socket.socket(fileno=fd) as got:
            names.append(got.getsockname())
    return data, names


async def test_each_place_gives_its_own_sockets_in_order(
    house: House, nursery: trio.Nursery
) -> None:
    nursery.start_soon(house.pool.serve, nursery)
    assert await receive(house.paths[0]) == (zerg.encode(2), house.names(2, 3))
    assert await receive(house.paths[1]) == (zerg.encode(1), house.names(4))


async def test_clients_that_receive_nothing_cost_no_descriptor(
    house: House, nursery: trio.Nursery
) -> None:
    nursery.start_soon(house.pool.serve, nursery)
    await receive(house.paths[0])
    idle = [socket.socket(socket.AF_UNIX) for _ in range(300)]
    for one in idle:
        one.connect(house.paths[0])
    before = len(os.listdir("/proc/self/fd"))
    assert await receive(house.paths[0]) == (zerg.encode(2), house.names(2, 3))
    assert len(os.listdir("/proc/self/fd")) == before
    for one in idle:
        one.close()


async def test_a_client_that_leaves_at_once_disturbs_nobody(
    house: House, nursery: trio.Nursery
) -> None:
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(house.paths[0])
    nursery.start_soon(house.pool.serve, nursery)
    assert await receive(house.paths[0]) == (zerg.encode(2), house.names(2, 3))


async def test_a_client_that_talks_is_not_listened_to(house: House, nursery: trio.Nursery) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(house.paths[0])
        sock.sendall(b"x" * 100_000)
        nursery.start_soon(house.pool.serve, nursery)
        assert await receive(house.paths[0]) == (zerg.encode(2), house.names(2, 3))
    assert house.pool.counters["zergs"] == 2


async def test_a_pool_that_drains_is_drained_at_once(house: House) -> None:
    house.pool.drain(5.0)
    with trio.fail_after(60):
        await house.pool.drained()
