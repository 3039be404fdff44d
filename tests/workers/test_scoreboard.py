"""The board that tells the master who waits for a request (workers/scoreboard.py)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.workers.conftest import Serve
from tests.workers.gateway import Gateway, variables
from uwgate.gateways.wire import uwsgi
from uwgate.workers.scoreboard import AWAY, IDLE, Scoreboard

# Answers when a byte can be read from the pipe whose name is the path.
PATIENT = """
def application(environ, start_response):
    with open(environ["PATH_INFO"]) as pipe:
        word = pipe.read()
    if word == "raise":
        raise ValueError(word)
    start_response("200 OK", [])
    return [word.encode()]
"""


def test_two_processes_see_the_same_board() -> None:
    board, fd = Scoreboard.create(3)
    other = Scoreboard(fd, 3)
    os.close(fd)
    assert board.idle == 0
    other.marks[0] = other.marks[2] = IDLE
    assert board.idle == 2
    other.marks[0] = AWAY
    assert board.idle == 1
    other.close()
    assert board.idle == 1
    board.close()


def test_an_instance_without_slots_has_a_board_too() -> None:
    board, fd = Scoreboard.create(0)
    os.close(fd)
    assert board.idle == 0
    board.close()


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    return path


def say(pipe: str, word: str) -> None:
    with open(pipe, "w") as file:
        file.write(word)


def test_a_slot_is_idle_but_for_the_time_of_its_requests(serve: Serve, pipe: str) -> None:
    instance = serve(PATIENT, processes=2, threads=2)
    instance.wait_until(lambda: instance.scoreboard.idle == 4)
    with instance.connect("uwsgi") as client:
        client.sendall(uwsgi.encode(variables(path=pipe)))
        instance.wait_until(lambda: instance.scoreboard.idle == 3)
        say(pipe, "word")
        assert client.makefile("rb").read().endswith(b"word")
    instance.wait_until(lambda: instance.scoreboard.idle == 4)


@pytest.mark.parametrize("word", ["word", "raise"])
def test_a_kept_lease_does_not_make_its_slot_busy(serve: Serve, pipe: str, word: str) -> None:
    instance = serve(PATIENT)
    instance.wait_until(lambda: instance.scoreboard.idle == 1)
    with Gateway(instance.connect("lease")) as gateway:
        gateway.sock.sendall(uwsgi.encode(variables(path=pipe)))
        instance.wait_until(lambda: instance.scoreboard.idle == 0)
        say(pipe, word)
        gateway.read_answer()
        instance.wait_until(lambda: instance.scoreboard.idle == 1)


def test_a_client_that_breaks_off_leaves_an_idle_slot(serve: Serve) -> None:
    instance = serve(PATIENT)
    instance.wait_until(lambda: instance.scoreboard.idle == 1)
    for bad in (b"\1", b"\1\0\0\0", b"\0\4\0\0\xff\xff\xff\xff"):
        with instance.connect("uwsgi") as client:
            client.sendall(bad)
    instance.wait_until(lambda: instance.scoreboard.idle == 1)


def test_a_killed_worker_leaves_no_mark(serve: Serve, pipe: str) -> None:
    instance = serve(PATIENT, processes=2, threads=2)
    instance.wait_until(lambda: instance.scoreboard.idle == 4)
    with instance.connect("uwsgi") as client:
        client.sendall(uwsgi.encode(variables(path=pipe)))
        instance.wait_until(lambda: instance.scoreboard.idle == 3)
        for pid in instance.worker_pids():
            os.kill(pid, signal.SIGKILL)
        instance.wait_log("Respawned uWSGI worker 2")
        instance.wait_until(lambda: instance.scoreboard.idle == 4)


def test_workers_that_have_ended_are_not_idle(serve: Serve) -> None:
    instance = serve(PATIENT, processes=2, threads=2)
    instance.wait_until(lambda: instance.scoreboard.idle == 4)
    instance.send("drain")
    assert instance.wait_exit() == 0
    assert instance.scoreboard.idle == 0
