"""Configurations that cannot work: the start fails at once, and says what is wrong and where."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from .processes import APPS, start_uwgate

if TYPE_CHECKING:
    from pathlib import Path

WITNESS = ("--wsgi-file", str(APPS / "witness.py"))
HTTP = ("--http", "127.0.0.1:0")


@dataclass(frozen=True)
class Failure:
    """How a start failed."""

    status: int
    log: str


def fail(*arguments: str, folder: Path) -> Failure:
    """Start uwgate, which has to end by itself."""
    program = start_uwgate(*arguments, folder=folder)
    try:
        return Failure(program.wait(), program.log)
    finally:
        program.stop()


def test_a_port_in_use_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        failure = fail("--http", address, *WITNESS, folder=folder)
    assert failure.status == 1
    assert address in failure.log
    assert "in use" in failure.log


def test_a_missing_configuration_file_is_named(folder: Path) -> None:
    failure = fail("nowhere.ini", folder=folder)
    assert failure.status == 1
    assert "nowhere.ini" in failure.log


def test_a_missing_application_file_is_named(folder: Path) -> None:
    failure = fail(*HTTP, "--wsgi-file", "nowhere.py", folder=folder)
    assert failure.status in (1, 22)
    assert "nowhere.py" in failure.log


def test_a_missing_module_is_named(folder: Path) -> None:
    failure = fail(*HTTP, "--module", "nowhere.wsgi", folder=folder)
    assert failure.status in (1, 22)
    assert "nowhere" in failure.log


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user has to be unable to read")
def test_an_unreadable_application_is_named(folder: Path) -> None:
    application = folder / "app.py"
    application.write_text((APPS / "witness.py").read_text())
    application.chmod(0o600)
    arguments = ("--wsgi-file", str(application), "--uid", "nobody", "--gid", "nogroup")
    failure = fail(*HTTP, *arguments, folder=folder)
    assert failure.status in (1, 22)
    assert "app.py" in failure.log
    assert "ermission" in failure.log


def test_an_application_that_is_not_callable_is_named(folder: Path) -> None:
    (folder / "app.py").write_text("application = 42\n")
    failure = fail(*HTTP, "--wsgi-file", "app.py", folder=folder)
    assert failure.status == 22
    assert "application" in failure.log
    assert "callable" in failure.log


def test_a_callable_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "app.py").write_text("app = print\n")
    failure = fail(*HTTP, "--wsgi-file", "app.py", folder=folder)
    assert failure.status == 22
    assert "application" in failure.log


@pytest.mark.parametrize("lazy", [(), ("--lazy-apps",)], ids=["preloaded", "lazy"])
def test_an_application_that_does_not_import_shows_its_traceback(
    folder: Path, lazy: tuple[str, ...]
) -> None:
    (folder / "app.py").write_text("import nowhere_to_be_found\n")
    failure = fail(*HTTP, "--wsgi-file", "app.py", *lazy, folder=folder)
    assert failure.status == 22
    assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" in failure.log
    assert 'app.py", line 1' in failure.log


def test_a_directory_where_a_socket_should_be_is_named(folder: Path) -> None:
    (folder / "place").mkdir()
    failure = fail("--socket", str(folder / "place"), *WITNESS, folder=folder)
    assert failure.status == 1
    assert f"{folder}/place" in failure.log


def test_a_socket_in_a_directory_that_is_not_there_is_named(folder: Path) -> None:
    failure = fail("--socket", str(folder / "nowhere/app.sock"), *WITNESS, folder=folder)
    assert failure.status == 1
    assert f"{folder}/nowhere/app.sock" in failure.log


def test_an_unknown_user_is_named(folder: Path) -> None:
    failure = fail(*HTTP, *WITNESS, "--uid", "nobody-of-that-name", folder=folder)
    assert failure.status == 1
    assert "nobody-of-that-name" in failure.log


def test_an_unknown_option_brings_the_nearest_name(folder: Path) -> None:
    failure = fail(*HTTP, *WITNESS, "--procesess", "2", folder=folder)
    assert failure.status == 1
    assert "procesess" in failure.log
    assert "processes" in failure.log


def test_a_value_of_the_wrong_kind_is_named(folder: Path) -> None:
    failure = fail(*HTTP, *WITNESS, "--processes", "many", folder=folder)
    assert failure.status == 1
    assert "processes" in failure.log
    assert "many" in failure.log


def test_a_bad_line_of_a_file_is_named(folder: Path) -> None:
    (folder / "bad.ini").write_text("[uwsgi]\nhttp = 127.0.0.1:0\nprocesses = lots\n")
    failure = fail("bad.ini", folder=folder)
    assert failure.status == 1
    assert "bad.ini:3" in failure.log


@pytest.mark.parametrize("line", ["<<<<<<< HEAD", "=======", ">>>>>>> feature"])
def test_a_merge_that_was_not_finished_is_named(folder: Path, line: str) -> None:
    (folder / "merge.ini").write_text(f"[uwgate]\nhttp = 127.0.0.1:0\n{line}\nprocesses = 2\n")
    failure = fail("merge.ini", *WITNESS, folder=folder)
    assert failure.status == 1
    assert "merge.ini:3" in failure.log


def test_in_a_file_for_uwsgi_such_a_merge_is_a_warning(folder: Path) -> None:
    (folder / "merge.ini").write_text("[uwsgi]\n<<<<<<< HEAD\nprocesses = 2\n")
    program = fail("--check", "merge.ini", folder=folder)
    assert program.status == 0
    assert "merge.ini:2: left over from a merge conflict" in program.log


def test_nothing_to_do_is_an_error(folder: Path) -> None:
    failure = fail(folder=folder)
    assert failure.status == 1
    assert failure.log.strip()


def test_an_option_that_is_not_offered_yet_says_so(folder: Path) -> None:
    failure = fail(*HTTP, *WITNESS, "--emperor", "/etc/vassals", folder=folder)
    assert failure.status == 1
    assert "emperor" in failure.log


def test_no_configuration_error_shows_a_traceback(folder: Path) -> None:
    failure = fail("nowhere.ini", folder=folder)
    assert "Traceback" not in failure.log


def test_a_failed_start_leaves_no_socket_behind(folder: Path) -> None:
    path = folder / "app.sock"
    (folder / "app.py").write_text("1 / 0\n")
    arguments = ("--socket", str(path), "--vacuum", "--wsgi-file", "app.py")
    assert fail(*arguments, folder=folder).status == 22
    assert not path.exists()


def test_check_starts_nothing(folder: Path) -> None:
    (folder / "good.ini").write_text(f"[uwsgi]\nsocket = {folder}/app.sock\nprocesses = 3\n")
    program = start_uwgate("--check", "good.ini", folder=folder)
    try:
        assert program.wait() == 0
    except subprocess.TimeoutExpired:
        program.stop()
        raise
    assert "processes" in program.log
    assert not (folder / "app.sock").exists()
