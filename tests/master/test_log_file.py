"""The log file in a process of its own, because it takes over descriptors 1 and 2."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.master.conftest import StartMaster, wait_until
from tests.master.test_master import GATEWAY, with_options
from uwgate import log_file
from uwgate.conf.errors import ConfigError


def test_logto_takes_the_log_of_all_processes(start_master: StartMaster, tmp_path: Path) -> None:
    target = tmp_path / "app.log"
    target.write_text("before\n")
    master = start_master(with_options(GATEWAY, log={"logto": "app.log"}))
    master.log_path = target
    master.wait_serving()
    master.ask("/noise")
    master.wait_log("noise\n")
    assert master.log.startswith("before\n")


def test_log_truncate_empties_the_file_first(start_master: StartMaster, tmp_path: Path) -> None:
    target = tmp_path / "app.log"
    target.write_text("before\n")
    master = start_master(with_options(GATEWAY, log={"logto": "app.log", "log_truncate": True}))
    master.log_path = target
    master.wait_serving()
    assert "before" not in master.log


def test_an_unwritable_log_file_stops_the_start(start_master: StartMaster) -> None:
    master = start_master(with_options(GATEWAY, log={"logto": "missing/app.log"}))
    assert master.wait() == 1
    assert "log file missing/app.log: No such file or directory" in master.log
    assert "spawned" not in master.log


def test_a_rotation_loses_and_cuts_no_line(start_master: StartMaster, tmp_path: Path) -> None:
    master = start_master(with_options(GATEWAY, log={"logto": "app.log", "log_maxsize": 1000}))
    master.log_path = tmp_path / "all"

    def whole_log() -> str:
        try:
            parts = sorted(tmp_path.glob("app.log*"), key=lambda one: one.stat().st_mtime_ns)
            text = "".join(part.read_text() for part in parts)
        except FileNotFoundError:  # just renamed
            return whole_log()
        master.log_path.write_text(text)
        return text

    wait_until(lambda: "spawned uWSGI http 1" in whole_log(), whole_log)
    wait_until(lambda: master.ask_or_none() is not None, whole_log)
    for _ in range(500):
        master.ask("/noise")
    master.send(signal.SIGTERM)
    assert master.wait() == 0
    text = whole_log()
    assert len(re.findall(r"^noise$", text, re.MULTILINE)) == 500
    rotated = list(tmp_path.glob("app.log.*"))
    assert len(rotated) >= 3
    assert all(one.read_bytes().endswith(b"\n") for one in rotated)
    assert all(one.stat().st_size < 1200 for one in rotated)


def test_log_backupname_names_the_rotated_file(start_master: StartMaster, tmp_path: Path) -> None:
    options = {"logto": "app.log", "log_maxsize": 100, "log_backupname": "app.old"}
    start_master(with_options(GATEWAY, log=options))
    wait_until((tmp_path / "app.old").exists, lambda: "app.old")


def test_log_master_passes_what_children_write(start_master: StartMaster) -> None:
    master = start_master(with_options(GATEWAY, log={"log_master": True}))
    master.wait_serving()
    master.ask("/noise")
    master.wait_log("noise\n")
    master.send(signal.SIGTERM)
    assert master.wait() == 0


def test_a_reload_reopens_a_log_file_that_was_moved(
    start_master: StartMaster, tmp_path: Path
) -> None:
    master = start_master(with_options(GATEWAY, log={"logto": "app.log"}))
    master.log_path = tmp_path / "app.log"
    master.wait_serving()
    port = master.port()
    os.rename(tmp_path / "app.log", tmp_path / "app.log.1")
    master.send(signal.SIGHUP)
    wait_until((tmp_path / "app.log").exists, lambda: "a new file")
    master.wait_log("generation 1 is gone")
    assert str(port) not in (tmp_path / "app.log.1").read_text().partition("reloading")[2]


def test_an_unwritable_log_is_found_before_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        log_file.check_writable(str(tmp_path))
