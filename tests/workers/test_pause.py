"""Workers that rest: nobody is accepted, nobody is cut off, and work goes on where it stopped."""

from __future__ import annotations

import select
import socket
import time

import pytest

from tests.workers.conftest import Instance, Serve
from uwgate.workers.pause import Pause

SLOW = """
import time, os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/slow":
        open("begun", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
    return [b"answer"]
"""
REST = 0.3  # seconds; what must not happen would have happened by then, most probably


def ask(sock: socket.socket, path: str = "/") -> None:
    sock.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())


def answer(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(4096):
        data += piece
    return data.rpartition(b"\r\n")[2]


def is_silent(sock: socket.socket) -> bool:
    return not select.select([sock], [], [], REST)[0]


def rest(instance: Instance) -> None:
    """Let all slots rest, when they have begun to wait for requests."""
    instance.wait_until(lambda: instance.scoreboard.idle == len(instance.scoreboard.marks))
    instance.send("pause")
    instance.wait_until(lambda: not instance.scoreboard.idle)


@pytest.mark.parametrize("threads", [1, 2])
def test_who_connects_during_a_pause_is_served_after_it(serve: Serve, threads: int) -> None:
    instance = serve(SLOW, processes=2, threads=threads)
    rest(instance)
    with instance.connect("http-socket") as client:
        ask(client)
        assert is_silent(client)
        instance.send("resume")
        assert answer(client) == b"answer"


def test_a_request_that_runs_is_finished_in_a_pause(serve: Serve) -> None:
    instance = serve(SLOW)
    with instance.connect("http-socket") as client:
        ask(client, "/slow")
        instance.wait_until((instance.folder / "begun").exists)
        instance.send("pause")
        time.sleep(0.05)
        (instance.folder / "go").touch()
        assert answer(client) == b"answer"


def test_a_kept_connection_is_given_up_in_a_pause(serve: Serve) -> None:
    instance = serve(SLOW)
    with instance.connect("http11-socket") as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(4096)
        instance.send("pause")
        assert client.recv(4096) == b""


def test_workers_that_rest_end_when_they_are_told_to(serve: Serve) -> None:
    instance = serve(SLOW, processes=2)
    rest(instance)
    instance.send("drain")
    assert instance.wait_exit() == 0


def test_to_pause_twice_is_to_pause_once() -> None:
    pause = Pause()
    pause.begin()
    pause.begin()
    pause.end()
    readable, _, _ = select.select([pause.begun, pause.over], [], [], 0)
    assert readable == [pause.over]
