"""Looking after the backends of -to (gateways/corerouter/looking.py): real sockets, a clock that
jumps."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from tests.gateways.corerouter.routers import begin, name, router, served
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.router import Corerouter


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


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[list[Backend]]:
    made = [Backend(tmp_path / letter) for letter in "ab"]
    yield made
    for one in made:
        one.down()


@contextlib.asynccontextmanager
async def looking(backends: list[Backend], check: str = "tcp") -> AsyncIterator[Corerouter]:
    to = tuple(one.address for one in backends)
    made = router(to=to, check=check, check_interval=2.0, check_timeout=1.0, check_fall=2)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_a_backend_that_cannot_be_connected_gets_no_request_after_two_looks(
    backends: list[Backend], autojump_clock: Clock
) -> None:
    a, b = backends
    async with looking(backends) as made:
        await trio.sleep(1.5)
        a.down()
        assert [served(made) for _ in range(2)] == [a.address, b.address]
        await trio.sleep(4.0)
        assert [served(made) for _ in range(3)] == [b.address] * 3


async def test_a_backend_that_is_well_again_gets_its_turns(
    backends: list[Backend], autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = backends
    caplog.set_level(logging.INFO, "uwgate.checks")
    async with looking(backends) as made:
        a.down()
        await trio.sleep(5.5)
        a.up()
        await trio.sleep(3.0)
        assert {served(made) for _ in range(2)} == {a.address, b.address}
    assert f"{a.address} is well again" in caplog.text


async def test_when_all_fail_their_checks_nobody_is_asked(
    backends: list[Backend], autojump_clock: Clock
) -> None:
    async with looking(backends) as made:
        for one in backends:
            one.down()
        await trio.sleep(5.5)
        attempts = begin(made)
        assert name(attempts.next(0.0)) is None
        assert attempts.outcome is Outcome.EXHAUSTED
        assert attempts.retry_after(0.0) == 1
        attempts.end(0.0)


async def test_who_takes_connections_and_never_answers_a_ping_is_out(
    backends: list[Backend], autojump_clock: Clock
) -> None:
    async with looking(backends, "uwsgi") as made:
        await trio.sleep(8.5)
        attempts = begin(made)
        assert attempts.next(0.0) is None
        attempts.end(0.0)


async def test_without_check_nobody_looks(backends: list[Backend], autojump_clock: Clock) -> None:
    a, b = backends
    made = router(to=(a.address, b.address))
    async with trio.open_nursery() as nursery:
        await nursery.start(made.run)
        a.down()
        await trio.sleep(10.0)
        assert {served(made) for _ in range(2)} == {a.address, b.address}
