"""attendant/cron.py: what is started when, with real commands and a clock of the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from uwgate.attendant import cron
from uwgate.attendant.cron import Crons
from uwgate.attendant.timetable import MINUTE, Timetable
from uwgate.conf.board import Board, Lords, Standing, clock, make_board
from uwgate.conf.crontab import read_cron2

LIMIT = 30.0  # seconds; only a failing test waits this long


class Table:
    """Some commands, the minute that it is, and what they have written into ``out``."""

    def __init__(self, folder: Path, *texts: str, lords: Lords | None = None) -> None:
        self.minute = 1000.0
        self.out = folder / "out"
        self.told: list[int] = []
        self.crons = Crons(
            [read_cron2(text.replace("OUT", str(self.out))) for text in texts],
            harakiri=0.0,
            lords=lords or Lords(None),
            timetable=Timetable(),
            told=self.told.append,
            scope=str(folder),
            wall=lambda: self.minute * MINUTE,
        )

    async def wait_lines(self, count: int) -> None:
        await until(lambda: len(self.lines()) >= count)
        assert len(self.lines()) == count

    async def pass_minutes(self, *minutes: float) -> None:
        for minute in minutes:
            self.minute = minute
            await until(partial(self.has_handled, int(minute)))

    def has_handled(self, minute: int) -> bool:
        return self.told[-1:] == [minute]

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines() if self.out.exists() else []


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(LIMIT):
        while not condition():  # noqa: ASYNC110  another process brings it about
            await trio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cron, "LOOK", 0.01)


@pytest.fixture
def board() -> Iterator[int]:
    fd = make_board(["ring"], scroll=1, scrolls=1)
    yield fd
    os.close(fd)


async def test_a_command_runs_in_its_minutes_only(tmp_path: Path) -> None:
    table = Table(tmp_path, "minute=*/2 echo x >> OUT")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.crons.run)
        await table.pass_minutes(1000, 1001, 1002, 1003)
        table.crons.stop()
    assert table.out.read_text() == "x\nx\n"
    assert table.told == [1000, 1001, 1002, 1003]


async def test_a_unique_command_is_left_out_while_it_runs(tmp_path: Path) -> None:
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    table = Table(tmp_path, f"unique=1 echo x >> OUT; {wait}")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.crons.run)
        await table.pass_minutes(1000, 1001, 1002)
        await table.wait_lines(1)
        (tmp_path / "go").touch()
        await until(lambda: table.crons.running == 0)
        await table.pass_minutes(1003)
        await table.wait_lines(2)
        table.crons.stop()


async def test_a_command_that_takes_too_long_is_killed_with_all_it_started(tmp_path: Path) -> None:
    table = Table(tmp_path, "harakiri=1 (echo x; exec sleep 1000) >> OUT")
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(table.crons.run)
            await table.pass_minutes(1000)
            table.crons.stop()  # returns when the last command has ended
    assert table.crons.running == 0


async def test_only_the_lord_runs_what_belongs_to_the_legion(tmp_path: Path, board: int) -> None:
    table = Table(tmp_path, "legion=ring echo $UWGATE_LEGION_TERM >> OUT", lords=Lords(board))
    notice = Board(board, writable=True).notices["ring"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.crons.run)
        await table.pass_minutes(1000)
        notice.standing = Standing(until=clock() + 1000, term=7)
        await table.pass_minutes(1001)
        await table.wait_lines(1)
        notice.standing = Standing(until=clock() - 1, term=7)
        await table.pass_minutes(1002)
        table.crons.stop()
    assert table.out.read_text() == "7\n"


async def test_a_command_without_end_is_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cron, "MAX_RUNS", 2)
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    table = Table(tmp_path, f"echo x >> OUT; {wait}")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.crons.run)
        await table.pass_minutes(1000, 1001, 1002)
        table.crons.stop()
        (tmp_path / "go").touch()
    assert table.out.read_text() == "x\nx\n"
    assert "left out, 2 runs of it last" in caplog.text
