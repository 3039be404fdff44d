"""What systemd is told."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.master.conftest import StartMaster
from tests.master.test_master import GATEWAY
from uwgate.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(60)
        yield sock


def lines(sock: socket.socket) -> list[str]:
    return sock.recv(4096).decode().splitlines()


def test_each_state_is_told(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
    notifier.ready("serving")
    assert lines(systemd) == ["READY=1", "STATUS=serving"]
    notifier.reloading()
    reloading, stamp, _ = lines(systemd)
    assert reloading == "RELOADING=1"
    assert int(stamp.removeprefix("MONOTONIC_USEC=")) > 0
    notifier.stopping()
    assert lines(systemd)[0] == "STOPPING=1"


def test_without_systemd_nothing_happens() -> None:
    Notifier({}).ready("serving")
    Notifier({"NOTIFY_SOCKET": "/nonexistent/socket"}).ready("serving")


async def test_the_watchdog_is_fed_twice_a_period(
    systemd: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "10000000"})
    with trio.move_on_after(11):
        await notifier.feed_watchdog()
    assert [lines(systemd) for _ in range(3)] == [["WATCHDOG=1"]] * 3


def test_a_master_tells_its_life(start_master: StartMaster, systemd: socket.socket) -> None:
    master = start_master(GATEWAY, NOTIFY_SOCKET=systemd.getsockname())
    ready, status = lines(systemd)
    assert ready == "READY=1"
    assert f"serves 127.0.0.1:{master.port()}" in status
    master.send(signal.SIGHUP)
    assert lines(systemd)[0] == "RELOADING=1"
    assert lines(systemd)[0] == "READY=1"
    master.send(signal.SIGTERM)
    assert lines(systemd)[0] == "STOPPING=1"
