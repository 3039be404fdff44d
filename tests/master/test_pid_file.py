"""Pid files."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from uwgate import pid_file
from uwgate.conf.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "pid")


def test_a_pid_file_holds_our_pid(path: str) -> None:
    pid_file.write(path)
    assert Path(path).read_text() == f"{os.getpid()}\n"
    assert pid_file.read(path) == os.getpid()


def test_a_stale_longer_content_is_overwritten(path: str) -> None:
    Path(path).write_text("123456789012345\n")
    pid_file.write(path)
    assert pid_file.read(path) == os.getpid()


def test_a_check_leaves_the_content(path: str) -> None:
    Path(path).write_text("999999999\n")
    pid_file.check_writable(path)
    assert Path(path).read_text() == "999999999\n"


def test_a_living_owner_is_warned_about(path: str, caplog: pytest.LogCaptureFixture) -> None:
    command = [sys.executable, "-c", "print(flush=True); input()", "uwgate"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()  # before its exec is complete, it has no command line
        Path(path).write_text(str(other.pid))
        with caplog.at_level(logging.WARNING):
            pid_file.check_writable(path)
        other.kill()
    assert f"names another uwgate that runs (pid {other.pid})" in caplog.text


def test_an_unwritable_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        pid_file.check_writable(str(tmp_path / "missing" / "pid"))


def test_a_file_that_became_another_process_s_is_not_removed(path: str) -> None:
    Path(path).write_text("1234567\n")
    pid_file.remove(path)
    assert Path(path).exists()


@pytest.mark.parametrize("text", ["", "x", "-5", "0", "1", "12 34"])
def test_a_file_without_a_usable_pid_is_an_error(path: str, text: str) -> None:
    Path(path).write_text(text)
    with pytest.raises(ConfigError, match="is no process number"):
        pid_file.send_signal(path, signal.SIGHUP)


def test_a_stale_pid_is_an_error(path: str) -> None:
    Path(path).write_text("4194304999")
    with pytest.raises((ConfigError, OverflowError)):
        pid_file.send_signal(path, signal.SIGHUP)
