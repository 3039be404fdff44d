"""The command line, as far as it starts nothing."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from uwgate import __version__
from uwgate.cli import main


@pytest.fixture(autouse=True)
def no_options_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith(("UWSGI_", "UWGATE_"))]:
        monkeypatch.delenv(name)


def test_without_arguments_it_says_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "uwgate --http :8080 --wsgi-file app.py" in capsys.readouterr().err


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help", "http"]) == 0
    assert "--http-timeout" in capsys.readouterr().out


def test_check_prints_the_effective_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "app.ini"
    file.write_text("[uwsgi]\nhttp = :8080\nmodule = app\nprocesses = 3\n")
    assert main(["--check", str(file)]) == 0
    out = capsys.readouterr().out
    assert "processes = 3" in out
    assert "http = :8080" in out


def test_check_finds_an_unknown_user(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "app.ini"
    file.write_text("[uwsgi]\nhttp = :8080\nmodule = app\nuid = nobody-has-this\n")
    assert main(["--check", str(file)]) == 1
    assert "error: uid: there is no user 'nobody-has-this'" in capsys.readouterr().err


def test_get_prints_values(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "app.ini"
    file.write_text("[uwsgi]\nprocesses = 3\n")
    assert main(["--ini", str(file), "--get", "processes"]) == 0
    assert capsys.readouterr().out == "3\n"


def test_each_problem_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--http", ":8080", "--nonsense", "--processes", "many"]) == 1
    problems = capsys.readouterr().err.splitlines()
    assert len(problems) == 2
    assert all(one.startswith("error: ") for one in problems)


def test_nothing_is_coloured_that_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--nonsense"])
    assert "\x1b" not in capsys.readouterr().err


def test_a_port_in_use_is_told_before_anything_starts(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert main(["--http", address, "--http-to", "127.0.0.1:9"]) == 1
    err = capfd.readouterr().err
    assert f"error: http: {address} is in use by" in err
    assert "spawned" not in err


@pytest.mark.parametrize(
    ("option", "number"), [("--stop", signal.SIGINT), ("--reload", signal.SIGHUP)]
)
def test_stop_and_reload_signal_the_process_in_the_pid_file(
    option: str, number: signal.Signals, tmp_path: Path
) -> None:
    received: list[int] = []
    previous = signal.signal(number, lambda one, _: received.append(one))
    try:
        (tmp_path / "pid").write_text(str(os.getpid()))
        assert main([option, str(tmp_path / "pid")]) == 0
    finally:
        signal.signal(number, previous)
    assert received == [number]


def test_a_missing_pid_file_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--stop", str(tmp_path / "pid")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
