"""The rounds of looks (gateways/registry/checks.py): real UNIX sockets, a clock that jumps."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from trio.abc import Clock
from trio.testing import MockClock, wait_all_tasks_blocked

from uwgate.conf.groups.corerouter import CorerouterOptions
from uwgate.gateways.registry.checks import Checks
from uwgate.subscriptions.change import Back, Cause, Change, Out
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.table import Table, TableOptions

KEY = "shop.example"
OPTIONS = CorerouterOptions(check="tcp", check_interval=2.0, check_timeout=1.0)


class Backend:
    """A UNIX socket that connects, and does not when it is down."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.up()

    def up(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.address)
        self.sock.listen(1000)

    def down(self) -> None:
        self.sock.close()
        Path(self.address).unlink(missing_ok=True)


class Watched:
    """A table that is looked after, and what came of it: (seconds, change)."""

    def __init__(self, options: CorerouterOptions) -> None:
        self.table = Table(TableOptions(tolerance=0.0))
        self.found: list[tuple[float, Change]] = []
        self.checks = Checks(options, self.table, self._note, clock=trio.current_time)

    def _note(self, changes: list[Change]) -> None:
        self.found += [(trio.current_time(), change) for change in changes]

    def announce(self, backend: Backend, key: str = KEY) -> Node:
        self.table.follow(Packet(key=key, address=backend.address), trio.current_time())
        return self.table.slots[key].members[backend.address]

    def leave(self, backend: Backend) -> None:
        packet = Packet(key=KEY, address=backend.address, command=Command.UNSUBSCRIBE)
        self.table.follow(packet, trio.current_time())


@contextlib.asynccontextmanager
async def watched(options: CorerouterOptions = OPTIONS) -> AsyncIterator[Watched]:
    one = Watched(options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.checks.run)
        yield one
        nursery.cancel_scope.cancel()


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    one = Backend(tmp_path / "one")
    yield one
    one.down()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Backend]:
    one = Backend(tmp_path / "other")
    yield one
    one.down()


async def test_a_node_that_cannot_be_connected_is_out_after_two_looks(
    backend: Backend, autojump_clock: Clock
) -> None:
    async with watched() as one:
        node = one.announce(backend)
        await trio.sleep(10.0)
        assert one.found == []
        backend.down()
        await trio.sleep(4.0)
        assert [change for _, change in one.found] == [Out(node, Cause.CHECKS, None)]
        assert one.table.find(KEY) is None


async def test_a_node_that_is_well_again_comes_back_with_the_next_look(
    backend: Backend, autojump_clock: Clock
) -> None:
    async with watched() as one:
        node = one.announce(backend)
        backend.down()
        await trio.sleep(10.0)
        backend.up()
        await trio.sleep(2.0)
        assert [change for _, change in one.found][1:] == [Back(node, Cause.CHECKS)]
        assert one.table.find(KEY) is not None


async def test_an_announcement_does_not_take_back_a_node_that_fails(
    backend: Backend, autojump_clock: Clock
) -> None:
    async with watched() as one:
        one.announce(backend)
        backend.down()
        await trio.sleep(10.0)
        one.announce(backend)
        assert one.table.find(KEY) is None


async def test_who_hangs_is_out_within_the_intervals_and_one_time_out(
    backend: Backend, autojump_clock: Clock
) -> None:
    options = CorerouterOptions(check="uwsgi", check_interval=2.0, check_timeout=1.0, check_fall=3)
    async with watched(options) as one:
        one.announce(backend)
        await trio.sleep(2.0 + 3 * 2.0 + 1.0)  # a node is looked at from the next round on
        assert len(one.found) == 1


async def test_two_looks_at_a_node_are_one_interval_apart(
    backend: Backend, other: Backend, autojump_clock: Clock
) -> None:
    options = CorerouterOptions(check="tcp", check_interval=2.0, check_fall=1)
    async with watched(options) as one:
        for moment in range(3):
            one.announce(backend, f"k{moment}")
            await trio.sleep(2.0)
        backend.down()
        await trio.sleep(2.0)
        times = {time for time, _ in one.found}
        assert len(one.found) == 3
        assert len(times) == 1
        backend.up()
        await trio.sleep(2.0)
        assert one.found[3][0] - one.found[0][0] == pytest.approx(2.0)


async def test_one_address_of_many_keys_is_looked_at_once_a_round(
    backend: Backend, autojump_clock: Clock
) -> None:
    async with watched() as one:
        for number in range(50):
            one.announce(backend, f"k{number}")
        await trio.sleep(2.0)  # they came in the middle of a round
        before = one.checks.looks
        await trio.sleep(10.0)
        assert one.checks.looks - before == 5
        backend.down()
        await trio.sleep(4.0)
        assert len(one.found) == 50


async def test_looks_are_spread_over_the_interval(tmp_path: Path, autojump_clock: Clock) -> None:
    options = CorerouterOptions(check="tcp", check_interval=4.0, check_fall=1)
    with contextlib.ExitStack() as stack:
        async with watched(options) as one:
            for number in range(200):
                backend = Backend(tmp_path / str(number))
                backend.sock.close()
                stack.callback(backend.down)
                one.announce(backend)
            await trio.sleep(8.0)
            quarters = [int(time) % 4 for time, _ in one.found]
            assert len(quarters) == 200
            assert all(quarters.count(quarter) > 20 for quarter in range(4))


async def test_a_node_that_has_left_is_looked_at_no_more(
    backend: Backend, autojump_clock: Clock
) -> None:
    async with watched() as one:
        one.announce(backend)
        await trio.sleep(4.0)
        one.leave(backend)
        await trio.sleep(2.0)
        before = one.checks.looks
        await trio.sleep(10.0)
        assert one.checks.looks == before


async def test_a_time_out_longer_than_the_interval_makes_looks_rarer(
    backend: Backend, autojump_clock: Clock
) -> None:
    options = CorerouterOptions(check="uwsgi", check_interval=1.0, check_timeout=2.5)
    async with watched(options) as one:
        one.announce(backend)
        await trio.sleep(20.0)
        assert 5 <= one.checks.looks <= 7
        assert len(one.found) == 1


@pytest.fixture
def stepped_clock() -> MockClock:
    """It stands still until it is moved."""
    return MockClock()


async def test_a_look_during_which_we_were_stopped_says_nothing_of_the_node(
    backend: Backend, stepped_clock: MockClock
) -> None:
    options = CorerouterOptions(check="uwsgi", check_interval=2.0, check_timeout=1.0, check_fall=1)
    async with watched(options) as one:
        one.announce(backend)
        for jump, looks, found in ((20.0, 0, 0), (1.0, 1, 1)):
            while not one.checks._busy:
                stepped_clock.jump(0.1)
                await wait_all_tasks_blocked()
            stepped_clock.jump(jump)
            await wait_all_tasks_blocked()
            assert (one.checks.looks, len(one.found)) == (looks, found)


async def test_more_hanging_nodes_than_looks_at_a_time_wait_for_their_turn(
    tmp_path: Path, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uwgate.gateways.registry.checks.MOST_LOOKS", 2)
    options = CorerouterOptions(check="uwsgi", check_interval=2.0, check_timeout=1.0)
    with contextlib.ExitStack() as stack:
        async with watched(options) as one:
            for number in range(10):
                backend = Backend(tmp_path / str(number))
                stack.callback(backend.down)
                one.announce(backend)
            await trio.sleep(30.0)
            assert len(one.found) == 10
            assert one.checks.late > 0
