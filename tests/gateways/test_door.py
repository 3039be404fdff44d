"""Doors: open, shut, full."""

from __future__ import annotations

import resource
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
import trio.testing

from tests.gateways.instance import listen
from tests.gateways.peers import PATIENCE
from uwgate.conf.start import Listener
from uwgate.gateways.door import CROWD, IN_A_ROW, RESERVED_DESCRIPTORS, Door, connection_limit
from uwgate.gateways.lane import Lane


class House:
    """Keeps who comes in; full at ``most``."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.lane = Lane()
        self.nursery = nursery
        self.guests: list[socket.socket] = []
        self.most = 100
        self.on_guest: Callable[[], None] = lambda: None
        self._came = trio.Event()

    @property
    def is_full(self) -> bool:
        return len(self.guests) >= self.most

    def receive(self, client: socket.socket, address: object) -> None:
        self.guests.append(client)
        self._came.set()
        self.on_guest()

    async def wait_for(self, count: int) -> None:
        """Wait until so many have come in."""
        with trio.fail_after(PATIENCE):
            while len(self.guests) < count:
                self._came = trio.Event()
                await self._came.wait()


@asynccontextmanager
async def house_with_door(
    *, brief: bool = False
) -> AsyncIterator[tuple[House, Door, socket.socket]]:
    with listen() as listening:
        async with trio.open_nursery() as nursery:
            house = House(nursery)
            nursery.start_soon(house.lane.run)
            listener = Listener(fd=listening.fileno(), role="x", name="door")
            door = Door(house, listener, house.receive, brief=brief)
            yield house, door, listening
            door.close()
            door.close()
            for guest in house.guests:
                guest.close()
            nursery.cancel_scope.cancel()


def knock(listening: socket.socket, count: int) -> list[socket.socket]:
    return [socket.create_connection(listening.getsockname()) for _ in range(count)]


async def test_everybody_who_waits_comes_in_when_the_door_opens() -> None:
    async with house_with_door() as (house, door, listening):
        clients = knock(listening, 20)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert house.guests == []
        door.open()
        door.open()
        await house.wait_for(20)
        for client in clients:
            client.close()


async def test_guests_do_not_block() -> None:
    async with house_with_door() as (house, door, listening):
        door.open()
        clients = knock(listening, 1)
        await house.wait_for(1)
        assert house.guests[0].gettimeout() == 0.0
        clients[0].close()


def rows(house: House, door: Door, events: int) -> list[int]:
    """How many come in at each of so many events."""
    counts = []
    for _ in range(events):
        before = len(house.guests)
        door.ready(select.EPOLLIN)
        counts.append(len(house.guests) - before)
    return counts


async def test_brief_guests_come_in_rows_when_there_is_a_crowd() -> None:
    async with house_with_door(brief=True) as (house, door, listening):
        door.open()
        clients = knock(listening, CROWD + 2 * IN_A_ROW + 2)
        assert rows(house, door, CROWD + 3) == [1] * CROWD + [IN_A_ROW, IN_A_ROW, 2]
        clients += knock(listening, 3)
        assert rows(house, door, 2) == [3, 0]
        clients += knock(listening, 2)
        assert rows(house, door, 3) == [1, 1, 0]
        for client in clients:
            client.close()


async def test_guests_that_stay_come_in_one_by_one() -> None:
    async with house_with_door() as (house, door, listening):
        door.open()
        clients = knock(listening, CROWD + 2)
        assert rows(house, door, CROWD + 2) == [1] * (CROWD + 2)
        for client in clients:
            client.close()


async def test_nobody_of_a_row_comes_in_behind_a_door_that_was_shut() -> None:
    async with house_with_door(brief=True) as (house, door, listening):
        door.open()
        clients = knock(listening, CROWD + 2)
        rows(house, door, CROWD)
        house.on_guest = door.shut
        assert rows(house, door, 2) == [1, 0]
        for client in clients:
            client.close()


async def test_a_door_that_is_shut_may_be_opened_again() -> None:
    async with house_with_door() as (house, door, listening):
        door.open()
        clients = knock(listening, 1)
        await house.wait_for(1)
        door.shut()
        clients += knock(listening, 1)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(house.guests) == 1
        door.open()
        await house.wait_for(2)
        for client in clients:
            client.close()


async def test_a_full_house_lets_people_in_as_others_leave() -> None:
    async with house_with_door() as (house, door, listening):
        house.most = 2
        door.open()
        clients = knock(listening, 3)
        await house.wait_for(2)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(house.guests) == 2
        house.most = 3
        await house.wait_for(3)
        for client in clients:
            client.close()


async def test_a_door_that_is_shut_while_the_house_is_full_stays_shut(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with house_with_door() as (house, door, listening):
        house.most = 0
        door.open()
        clients = knock(listening, 1)
        await trio.sleep(1)
        door.shut()
        house.most = 1
        await trio.sleep(1)
        assert house.guests == []
        clients[0].close()


def test_the_limit_is_what_was_asked_for_as_far_as_there_are_descriptors() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = (soft - RESERVED_DESCRIPTORS) // 2
    assert connection_limit(0, 2) == possible
    assert connection_limit(5, 2) == 5
    assert connection_limit(possible + 1, 2) == possible
