"""FIFOs of the master: files, letters, and what the master does."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest
import trio

from tests.master.conftest import RunningMaster, StartMaster, wait_until
from uwgate import fifo
from uwgate.conf.errors import ConfigError

WORKERS = {"sockets": {"http_socket": ["127.0.0.1:0"]}}


def is_fifo(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.lstat().st_mode)
    except FileNotFoundError:
        return False


class Letters:
    """A FIFO of several files, and the letters that came."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        self.paths = [folder / str(number) for number in range(count)]
        self.taken = ""
        self.fifo = fifo.Fifo([str(path) for path in self.paths], self._take)
        self._news = trio.Event()

    def _take(self, letter: str) -> None:
        self.taken += letter
        self._news.set()
        self._news = trio.Event()

    async def wait(self, taken: str) -> None:
        with trio.fail_after(60):
            while self.taken != taken:
                await self._news.wait()


@pytest.fixture
def letters(tmp_path: Path) -> Letters:
    return Letters(tmp_path)


async def test_every_byte_of_a_write_is_a_command(letters: Letters, nursery: trio.Nursery) -> None:
    await nursery.start(letters.fifo.run)
    fifo.write(str(letters.paths[0]), "wwq")
    await letters.wait("wwq")


async def test_only_the_user_of_the_master_may_write(
    letters: Letters, nursery: trio.Nursery
) -> None:
    await nursery.start(letters.fifo.run)
    assert stat.S_IMODE(letters.paths[0].stat().st_mode) == 0o600


async def test_a_digit_makes_another_file_when_the_writer_has_closed(
    letters: Letters, nursery: trio.Nursery
) -> None:
    await nursery.start(letters.fifo.run)
    fifo.write(str(letters.paths[0]), "1p")
    await letters.wait("p")
    with trio.fail_after(60):
        while not is_fifo(letters.paths[1]):  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert not letters.paths[0].exists()
    fifo.write(str(letters.paths[1]), "q")
    await letters.wait("pq")


async def test_a_digit_without_a_file_changes_nothing(
    letters: Letters, nursery: trio.Nursery
) -> None:
    await nursery.start(letters.fifo.run)
    fifo.write(str(letters.paths[0]), "7p")
    await letters.wait("p")
    assert is_fifo(letters.paths[0])


async def test_what_is_not_offered_is_said(
    letters: Letters, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    await nursery.start(letters.fifo.run)
    fifo.write(str(letters.paths[0]), "+c\nq")
    await letters.wait("\nq")
    assert "master-fifo: +: the number of workers is fixed" in caplog.text
    assert "master-fifo: c: there is no chain reload" in caplog.text


async def test_the_file_of_another_instance_stays_there(letters: Letters) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(letters.fifo.run)
        letters.paths[0].unlink()
        os.mkfifo(letters.paths[0])
        nursery.cancel_scope.cancel()
    assert is_fifo(letters.paths[0])


def test_a_file_that_is_no_fifo_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="exists, and is no FIFO"):
        fifo.check_path(str(path))
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file can be made"):
        fifo.check_path(str(tmp_path / "none" / "fifo"))


def test_nobody_at_the_other_end_is_no_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "old")
    fifo.write(str(tmp_path / "old"), "q")
    fifo.write(str(tmp_path / "none"), "q")


@pytest.fixture
def master(start_master: StartMaster, tmp_path: Path) -> RunningMaster:
    hook = f"writefifo:{tmp_path}/a 1"
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    found = start_master(
        {**WORKERS, "master": {"master_fifo": paths, "hook_accepting1_once": [hook]}}
    )
    found.wait_serving()
    found.wait_log(f"active master fifo is now {tmp_path}/b")
    return found


def command(master: RunningMaster, letters: str) -> None:
    """Write to the second FIFO, where the hook has sent the master."""
    with (master.directory / "b").open("w") as file:
        file.write(letters)


def wait_for_fifo(master: RunningMaster) -> None:
    wait_until(lambda: is_fifo(master.directory / "b"), lambda: master.log)


@pytest.mark.parametrize("letter", ["q", "Q"])
def test_a_master_stops_and_removes_its_fifo(master: RunningMaster, letter: str) -> None:
    wait_for_fifo(master)
    command(master, letter)
    assert master.wait() == 0
    assert not (master.directory / "b").exists()


def test_a_master_pauses_and_a_reload_ends_the_pause(master: RunningMaster) -> None:
    wait_for_fifo(master)
    command(master, "p")
    master.wait_log('spawner: {"type": "pause"}')
    wait_for_fifo(master)
    command(master, "r")
    master.wait_serving(2)
    master.wait_log("reload: workers accept again")


def test_without_announcements_sigtstp_pauses(master: RunningMaster) -> None:
    master.send(signal.SIGTSTP)
    master.wait_log('spawner: {"type": "pause"}')
    master.send(signal.SIGTSTP)
    master.wait_log('spawner: {"type": "resume"}')
