"""What the other tests rely on: no port twice, no process left, every log shown."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import logs

from .processes import Process, free_port, vacate


def test_no_port_is_given_twice() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200


def test_who_stays_in_a_folder_is_named_and_killed(tmp_path: Path) -> None:
    process = Process(["sleep", "1000"], folder=tmp_path)
    with pytest.raises(AssertionError, match=f"left behind: .*{process.pid} sleep 1000"):
        vacate(tmp_path, patience=0.1)
    assert process.wait() == -signal.SIGKILL


def test_an_empty_folder_is_vacant(tmp_path: Path) -> None:
    vacate(tmp_path)


def test_the_log_of_a_process_is_shown_until_another_test_begins(tmp_path: Path) -> None:
    process = Process(["echo", "hello"], folder=tmp_path, name="speaker")
    assert process.wait() == 0
    title = f"log of speaker (pid {process.pid}, exited with 0)"
    assert (title, "hello\n") in logs.sections()
    logs.forget_the_ended()
    assert title not in dict(logs.sections())
