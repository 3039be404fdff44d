"""attendant/touched.py and smart.py: files that say something."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from uwgate.attendant.smart import read_pid, write_pid
from uwgate.attendant.touched import Touched


def test_a_file_that_changes_or_comes_is_told_once(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.touch()
    touched = Touched([str(one), str(two)])
    assert not touched.look()
    os.utime(one, ns=(1, 1))
    assert touched.look()
    assert not touched.look()
    two.touch()
    assert touched.look()


def test_a_file_that_goes_says_nothing_until_it_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.touch()
    touched = Touched([str(path)])
    path.unlink()
    assert not touched.look()
    path.touch()
    os.utime(path, ns=(1, 1))
    assert touched.look()


@pytest.mark.parametrize(
    "content", ["", "\n", "x", "-1", "0", "1", "99999999999", "1e3", "4194305 "]
)
def test_what_names_no_process_of_a_daemon_is_nobody(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pid"
    path.write_text(content)
    assert read_pid(str(path)) is None


def test_a_pid_file_names_a_process_as_long_as_it_lives(tmp_path: Path) -> None:
    path = str(tmp_path / "pid")
    assert read_pid(path) is None
    process = subprocess.Popen(["sleep", "1000"])
    write_pid(path, process.pid)
    assert read_pid(path) == process.pid
    process.kill()
    process.wait()
    assert read_pid(path) is None
    assert os.listdir(tmp_path) == ["pid"]
