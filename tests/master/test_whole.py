"""The real thing: command line, master, gateway, spawner and workers around an application."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.master.conftest import PATIENCE, ROOT, is_alive, wait_until
from uwgate.master import DRAIN_IDLE

APPLICATION = """
import os, time

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["QUERY_STRING"]:
        open("runs", "w").close()
        time.sleep(float(environ["QUERY_STRING"]))
    return [b"VERSION %d" % os.getpid()]
"""


class Instance:
    """A uwgate with an application of which VERSION is written into each answer."""

    def __init__(self, directory: Path) -> None:
        self.log_path = directory / "log"
        self.file = directory / "app.py"
        self.deploy("first")
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uwgate", "--http", "127.0.0.1:0", "-p", "2", "app.py"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            )
        wait_until(lambda: "generation 1 serves" in self.log, lambda: self.log)
        self.port = int(self.log.partition("listening on 127.0.0.1:")[2].split()[0])

    def begin(self, seconds: float) -> tuple[threading.Thread, list[tuple[str, int]]]:
        """A request that runs now, and the answers that it will have had when it is over."""
        answers: list[tuple[str, int]] = []
        slow = threading.Thread(target=lambda: answers.append(self.ask(seconds)))
        slow.start()
        wait_until((self.file.parent / "runs").exists, lambda: "the request to run")
        return slow, answers

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def deploy(self, version: str) -> None:
        self.file.write_text(APPLICATION.replace("VERSION", version))

    def reload(self, generation: int) -> None:
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: f"generation {generation} serves" in self.log, lambda: self.log)

    def ask(self, seconds: float = 0) -> tuple[str, int]:
        """The version that answers, and the pid of its worker."""
        url = f"http://127.0.0.1:{self.port}/?{seconds or ''}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            version, pid = answer.read().decode().split()
        return version, int(pid)

    def pid_of(self, title: str) -> int:
        return int(re.findall(rf"spawned uWSGI {title} \(pid: (\d+)", self.log)[-1])


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    one = Instance(tmp_path)
    yield one
    if one.process.poll() is None:
        one.process.terminate()
        one.process.wait(PATIENCE)


@pytest.mark.parametrize("victim", ["spawner", "http 1"])
def test_a_killed_child_of_the_master_comes_back(instance: Instance, victim: str) -> None:
    pid = instance.pid_of(victim)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: f"Respawned uWSGI {victim}" in instance.log, lambda: instance.log)
    assert instance.ask()[0] == "first"
    assert instance.pid_of(victim) != pid


def test_a_killed_worker_comes_back(instance: Instance) -> None:
    pid = instance.ask()[1]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "Respawned uWSGI worker" in instance.log, lambda: instance.log)
    assert instance.ask()[1] != pid


def test_requests_survive_the_spawner(instance: Instance) -> None:
    slow, answers = instance.begin(1)
    os.kill(instance.pid_of("spawner"), signal.SIGKILL)
    slow.join()
    assert [version for version, _ in answers] == ["first"]


def test_a_reload_brings_the_new_code_and_only_that(instance: Instance) -> None:
    instance.deploy("second")
    instance.reload(2)
    wait_until(lambda: "generation 1 is gone" in instance.log, lambda: instance.log)
    assert {instance.ask()[0] for _ in range(20)} == {"second"}


def test_a_reload_finishes_running_requests_with_the_old_code(instance: Instance) -> None:
    slow, answers = instance.begin(1.5)
    instance.deploy("second")
    instance.reload(2)
    slow.join()
    assert [version for version, _ in answers] == ["first"]


def test_a_broken_deploy_leaves_the_old_code_serving(instance: Instance) -> None:
    instance.file.write_text("import nothing_of_this_name")
    instance.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload failed, generation 1 keeps" in instance.log, lambda: instance.log)
    assert instance.log.count("ModuleNotFoundError: No module named") == 2  # traceback, summary
    assert instance.ask()[0] == "first"


def test_reloads_lose_no_request_on_kept_and_closed_connections(instance: Instance) -> None:
    finished = threading.Event()
    lost: list[Exception] = []
    answered: list[int] = []

    def ask_on(*, keep: bool) -> None:
        client = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=PATIENCE)
        headers = {} if keep else {"Connection": "close"}
        last = time.monotonic()
        while not finished.is_set():
            try:
                client.request("GET", "/", headers=headers)
                with client.getresponse() as answer:
                    answer.read()
                    answered.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                # Old gateways wait some seconds for one more request; who was kept from running
                # for as long finds his connection closed.
                if not keep or time.monotonic() - last < DRAIN_IDLE / 2:
                    lost.append(error)
            last = time.monotonic()
            finished.wait(0.005)  # the CPU is for the generations
        client.close()

    clients = [
        threading.Thread(target=ask_on, kwargs={"keep": keep}) for keep in (True, True, False)
    ]
    for client in clients:
        client.start()
    for number in range(3):
        instance.reload(number + 2)
    finished.set()
    for client in clients:
        client.join()
    assert lost == []
    assert set(answered) == {200}


def test_a_stop_leaves_nobody(instance: Instance) -> None:
    children = [instance.pid_of(name) for name in ("spawner", "worker 1", "worker 2", "http 1")]
    instance.process.send_signal(signal.SIGINT)
    assert instance.process.wait(PATIENCE) == 0
    assert [pid for pid in children if is_alive(pid)] == []


def test_the_death_of_the_master_ends_all(instance: Instance) -> None:
    children = [instance.pid_of(name) for name in ("spawner", "http 1")]
    children.append(instance.ask()[1])
    instance.process.kill()
    instance.process.wait(PATIENCE)
    wait_until(lambda: not any(map(is_alive, children)), lambda: f"the end of {children}")
