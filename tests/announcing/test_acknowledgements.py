"""What servers answer (announcing/acknowledgements.py)."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock as Clock

from uwgate.announcing.acknowledgements import MAX_LINES, MAX_TEXT, Acknowledgements
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.sockets import SocketOptions
from uwgate.conf.groups.subscribe import SubscribeOptions
from uwgate.conf.settings import Settings

from .conftest import settled


def settings_of(path: Path | None, *, chmod: int | None = None) -> Settings:
    return Settings(
        subscribe=SubscribeOptions(notify_socket=None if path is None else str(path)),
        sockets=SocketOptions(chmod_socket=chmod),
    )


def tell(path: Path, *texts: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for text in texts:
            sender.sendto(text, str(path))


@pytest.fixture
async def acknowledgements() -> AsyncIterator[Acknowledgements]:
    one = Acknowledgements()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        yield one
        nursery.cancel_scope.cancel()
    one.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level("INFO")
    return lambda: caplog.messages


async def test_an_answer_is_logged(
    acknowledgements: Acknowledgements, tmp_path: Path, logged: Callable[[], list[str]]
) -> None:
    acknowledgements.open(settings_of(tmp_path / "n"))
    tell(tmp_path / "n", b"[subscription ack] foo.com => new node: 127.0.0.1:43031")
    await settled()
    assert logged() == ["[subscription ack] foo.com => new node: 127.0.0.1:43031"]


async def test_an_answer_cannot_forge_lines_or_fill_the_log(
    acknowledgements: Acknowledgements,
    tmp_path: Path,
    logged: Callable[[], list[str]],
    autojump_clock: Clock,
) -> None:
    acknowledgements.open(settings_of(tmp_path / "n"))
    tell(tmp_path / "n", b"a\nERROR \x1b[31mb\xff", b"x" * 5000)
    await settled()
    assert logged() == ["a?ERROR ?[31mb\N{REPLACEMENT CHARACTER}", "x" * MAX_TEXT]
    for _ in range(MAX_LINES * 2):
        tell(tmp_path / "n", b"y")
        await settled()
    assert len(logged()) == MAX_LINES
    await trio.sleep(1.0)
    tell(tmp_path / "n", b"z")
    await settled()
    assert logged()[MAX_LINES:] == [f"{MAX_LINES + 2} answers more were not logged", "z"]


async def test_a_reload_moves_the_socket_or_keeps_it(
    acknowledgements: Acknowledgements, tmp_path: Path, logged: Callable[[], list[str]]
) -> None:
    acknowledgements.open(settings_of(tmp_path / "a"))
    await settled()
    inode = (tmp_path / "a").stat().st_ino
    acknowledgements.open(settings_of(tmp_path / "a"))
    assert (tmp_path / "a").stat().st_ino == inode
    acknowledgements.open(settings_of(tmp_path / "b"))
    assert not (tmp_path / "a").exists()
    tell(tmp_path / "b", b"moved")
    await settled()
    acknowledgements.open(settings_of(None))
    await settled()
    assert os.listdir(tmp_path) == []
    assert logged() == ["moved"]


async def test_what_a_killed_instance_left_is_replaced(
    acknowledgements: Acknowledgements, tmp_path: Path, logged: Callable[[], list[str]]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(tmp_path / "n"))
    acknowledgements.open(settings_of(tmp_path / "n", chmod=0o666))
    assert (tmp_path / "n").stat().st_mode & 0o777 == 0o666
    tell(tmp_path / "n", b"hello")
    await settled()
    assert logged() == ["hello"]


async def test_what_others_use_or_need_is_left_alone(
    acknowledgements: Acknowledgements, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("precious")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as alive:
        alive.bind(str(tmp_path / "alive"))
        with pytest.raises(ConfigError, match="is in use"):
            acknowledgements.open(settings_of(tmp_path / "alive"))
    with pytest.raises(ConfigError, match="exists and is not a socket"):
        acknowledgements.open(settings_of(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("name", ["no/such/folder", "n" * 120])
async def test_a_path_that_cannot_be_had_is_an_error(
    acknowledgements: Acknowledgements, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match=r"notify-socket = .*: (.*No such file|path of)"):
        acknowledgements.open(settings_of(tmp_path / name))
