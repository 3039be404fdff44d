"""daemonize, with pid file: the caller waits for the start."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.master.conftest import RunningMaster, StartMaster, is_alive, wait_until
from tests.master.test_master import GATEWAY, with_options
from uwgate import pid_file
from uwgate.cli import main

DAEMON = with_options(
    GATEWAY, master={"daemonize": "app.log", "pidfile": "app.pid"}, sockets={"vacuum": True}
)


@pytest.fixture
def daemon(start_master: StartMaster, tmp_path: Path) -> Iterator[RunningMaster]:
    master = start_master(DAEMON)
    code = master.wait()
    master.log_path = tmp_path / "app.log"
    assert code == 0, master.log
    pid = pid_file.read(str(tmp_path / "app.pid"))
    yield master
    if is_alive(pid):
        os.kill(pid, signal.SIGKILL)


def test_the_caller_returns_when_the_daemon_serves(daemon: RunningMaster, tmp_path: Path) -> None:
    assert daemon.ask()["generation"] == 1
    pid = pid_file.read(str(tmp_path / "app.pid"))
    assert pid != daemon.process.pid
    assert os.getsid(pid) not in (os.getsid(0), pid)


def test_reload_and_stop_find_the_daemon_by_its_pid_file(
    daemon: RunningMaster, tmp_path: Path
) -> None:
    path = str(tmp_path / "app.pid")
    pid = pid_file.read(path)
    assert main(["--reload", path]) == 0
    daemon.wait_log("generation 1 is gone")
    assert daemon.ask()["generation"] == 2
    assert main(["--stop", path]) == 0
    wait_until(lambda: not is_alive(pid), lambda: daemon.log)
    assert not Path(path).exists()


def test_a_start_that_fails_is_told_to_the_caller(
    start_master: StartMaster, tmp_path: Path
) -> None:
    master = start_master(with_options(DAEMON, application={"pyargv": "fail"}))
    assert master.wait() == 22
    assert "ImportError: no app here" in master.log
    assert "ImportError: no app here" in (tmp_path / "app.log").read_text()
    wait_until(lambda: not (tmp_path / "app.pid").exists(), lambda: "the end of the daemon")


def test_a_port_in_use_is_told_before_anything_is_started(
    start_master: StartMaster, daemon: RunningMaster
) -> None:
    address = f"127.0.0.1:{daemon.port()}"
    other = start_master(with_options(DAEMON, http={"http": [address]}))
    assert other.wait() == 1
    assert f"http: {address} is in use" in (other.directory / "log").read_text()


def test_unix_sockets_of_a_daemon_are_open_to_all(
    start_master: StartMaster, tmp_path: Path
) -> None:
    master = start_master(with_options(DAEMON, http={"http": ["a.sock"]}))
    assert master.wait() == 0
    assert (tmp_path / "a.sock").stat().st_mode & 0o777 == 0o777
    assert (tmp_path / "app.pid").stat().st_mode & 0o022 == 0
    os.kill(pid_file.read(str(tmp_path / "app.pid")), signal.SIGKILL)
