"""What the other tests rely on: no port twice, no process left, every log shown."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import logs

from .processes import LEAVING, Process, birth, free_port, still, vacate


def test_no_port_is_given_twice() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200


def test_who_stays_in_a_folder_is_named_and_killed(tmp_path: Path) -> None:
    process = Process(["sleep", "1000"], folder=tmp_path)
    with pytest.raises(AssertionError, match=f"left behind: .*{process.pid} sleep 1000"):
        vacate(tmp_path, patience=0.1)
    assert process.wait() == -signal.SIGKILL


def test_who_outlives_the_stop_of_his_parent_is_named_and_killed(tmp_path: Path) -> None:
    command = "sleep 1000 & echo $! ready; trap 'exit 0' INT; while :; do sleep 0.1; done"
    process = Process(["sh", "-c", command], folder=tmp_path)
    pid = int(process.wait_for_log(r"^(\d+) ready$")[1])
    assert process.stop(grace=0.1) == 0
    assert f"{pid} sleep 1000" in process.survivors
    assert still({pid: birth(pid) or 0}, patience=LEAVING) == []


def test_the_last_words_of_a_program_that_has_ended_are_heard(tmp_path: Path) -> None:
    process = Process(["sh", "-c", "echo the last words"], folder=tmp_path)
    assert process.wait() == 0
    assert process.wait_for_log("^the (.*)$")[1] == "last words"
    with pytest.raises(AssertionError, match="exited with 0"):
        process.wait_for_log("more")


def test_a_log_begins_with_its_own_process(tmp_path: Path) -> None:
    for word in ("first", "second"):
        process = Process(["echo", word], folder=tmp_path)
        assert process.wait() == 0
        assert process.log == f"{word}\n"


def test_of_a_line_that_is_not_complete_nothing_is_taken(tmp_path: Path) -> None:
    process = Process(["printf", "port 12"], folder=tmp_path)
    assert process.wait() == 0
    assert process.log == "port 12"
    with pytest.raises(AssertionError, match="exited with 0"):
        process.wait_for_log(r"^port (\d+)$")


def test_an_empty_folder_is_vacant(tmp_path: Path) -> None:
    vacate(tmp_path)


def test_the_log_of_a_process_is_shown_until_another_test_begins(tmp_path: Path) -> None:
    process = Process(["echo", "hello"], folder=tmp_path, name="speaker")
    assert process.wait() == 0
    title = f"log of speaker (pid {process.pid}, exited with 0)"
    assert (title, "hello\n") in logs.sections()
    logs.forget_the_ended()
    assert title not in dict(logs.sections())
