"""Our nodes in one legion with real uWSGI nodes, and among themselves."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import uwgate

from .network import signal_tree
from .processes import Process, free_port

pytestmark = pytest.mark.long

UWSGI = Path(sys.executable).parent / "uwsgi"
SOURCE = Path(uwgate.__file__).parent.parent
CIPHERS = ("aes-128-cbc", "aes-256-cbc", "camellia-256-cbc", "des-ede3-cbc", "bf-cbc")
LEGACY = """
openssl_conf = init
[init]
providers = providers
[providers]
default = on
legacy = on
[on]
activate = 1
"""
PERIOD = 3  # uWSGI's default; it falls silent when it hears more than about one packet a second
TOLERANCE = 10
OURS = [sys.executable, "-m", "uwgate"]
RISEN = "this node is the lord now"
FALLEN = "not lord any more"
OURS_ELECTED = "WE HAVE QUORUM FOR LEGION ring !!! (valor: 30 "
PATIENCE = 90.0  # seconds; a dead node is noticed after TOLERANCE and agreed on one PERIOD later


class Legion:
    """Two real nodes and one of ours, with one cipher."""

    def __init__(self, cipher: str, folder: Path) -> None:
        self.cipher = cipher
        self.folder = folder
        self.ports = {name: free_port(socket.SOCK_DGRAM) for name in ("ours", "low", "high")}
        self.running: dict[str, Process] = {}
        self.starts = 0
        (folder / "openssl.cnf").write_text(LEGACY)

    def start_ours(self, valor: int) -> Process:
        return self.start("ours", [*OURS, *self.options("ours", valor)])

    def start_uwsgi(self, name: str, valor: int) -> Process:
        return self.start(name, [str(UWSGI), *self.options(name, valor)])

    def options(self, name: str, valor: int) -> list[str]:
        """What ours and theirs are given alike."""
        address = f"127.0.0.1:{self.ports[name]}"
        argv = ["--legion", f"ring {address} {valor} {self.cipher}:a-secret"]
        for other, port in self.ports.items():
            if other != name:
                argv += ["--legion-node", f"ring 127.0.0.1:{port}"]
        argv += ["--legion-quorum", "ring 2", "--legion-freq", str(PERIOD)]
        return [*argv, "--legion-tolerance", str(TOLERANCE)]

    def start(self, name: str, argv: list[str]) -> Process:
        self.starts += 1
        env = {"OPENSSL_CONF": str(self.folder / "openssl.cnf")} if name != "ours" else {}
        env["PYTHONPATH"] = str(SOURCE)
        process = Process(argv, folder=self.folder, name=f"{name}-{self.starts}", env=env)
        self.running[name] = process
        return process

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        signal_tree(process.pid, signal.SIGKILL)
        process.popen.wait()

    def close(self) -> None:
        for name in list(self.running):
            self.kill(name)


def wait_for(process: Process, text: str, count: int = 1) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.log.count(text) < count:
        assert process.popen.poll() is None, process.log
        assert time.monotonic() < deadline, f"no {text!r} in {process.name}:\n{process.log}"
        time.sleep(0.05)


@pytest.fixture
def legions(tmp_path: Path) -> Iterator[list[Legion]]:
    if not UWSGI.exists():
        pytest.skip("uWSGI is not installed")
    made = []
    for cipher in CIPHERS:
        folder = tmp_path / cipher
        folder.mkdir()
        made.append(Legion(cipher, folder))
    try:
        yield made
    finally:
        for legion in made:
            legion.close()


@pytest.mark.timeout(600)  # 70 s on a quiet machine
def test_two_uwsgi_nodes_and_ours_agree_on_a_lord_and_survive_each_others_death(
    legions: list[Legion],
) -> None:
    # All ciphers at once: each step takes real seconds.
    for legion in legions:
        legion.start_uwsgi("low", 10)
        legion.start_uwsgi("high", 20)
        legion.start_ours(30)
    for legion in legions:
        wait_for(legion.running["ours"], RISEN)
        wait_for(legion.running["low"], OURS_ELECTED)
        wait_for(legion.running["high"], OURS_ELECTED)
    for legion in legions:
        legion.kill("ours")
    for legion in legions:
        wait_for(legion.running["high"], "i am now the Lord of the Legion ring")
    for legion in legions:
        legion.start_ours(30)
    for legion in legions:
        wait_for(legion.running["ours"], RISEN)
        wait_for(legion.running["high"], "a new Lord (valor: 30")
        legion.kill("high")
    for legion in legions:
        wait_for(legion.running["ours"], " is silent")
        assert FALLEN not in legion.running["ours"].log
        legion.start_uwsgi("high", 40)
    for legion in legions:
        wait_for(legion.running["ours"], FALLEN)
        wait_for(legion.running["high"], "i am now the Lord of the Legion ring")
    reports = [legion.running["low"].log.count(OURS_ELECTED) for legion in legions]
    for legion in legions:
        legion.kill("high")
    for legion, count in zip(legions, reports, strict=True):
        wait_for(legion.running["ours"], RISEN, 2)
        wait_for(legion.running["low"], OURS_ELECTED, count + 1)
    # And they hear each other's goodbyes.
    for legion in legions:
        legion.running.pop("ours").stop(signal.SIGTERM)
        wait_for(legion.running["low"], "announced its death to Legion ring")
        legion.start_ours(30)
    for legion in legions:
        wait_for(legion.running["ours"], " joined")
        legion.running.pop("low").stop()
        wait_for(legion.running["ours"], " left")


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Legion]:
    legion = Legion("aes-256-gcm", tmp_path)
    yield legion
    legion.close()


def start_sealed(legion: Legion, name: str, valor: int) -> Process:
    argv = [
        "--legion",
        f"ring 127.0.0.1:{legion.ports[name]} {valor} aes-256-gcm:sixteen letters..",
    ]
    for other, port in legion.ports.items():
        if other != name:
            argv += ["--legion-node", f"ring 127.0.0.1:{port}"]
    argv += ["--legion-freq", "1", "--legion-tolerance", "6"]
    return legion.start(name, [*OURS, *argv])


def test_sealed_nodes_replace_a_killed_lord_and_a_stalled_one_steps_down(ring: Legion) -> None:
    high = start_sealed(ring, "high", 30)
    ours = start_sealed(ring, "ours", 20)
    start_sealed(ring, "low", 10)
    wait_for(high, RISEN)
    risen = ours.log.count(RISEN)  # with low alone, when high was slow to start
    signal_tree(high.pid, signal.SIGSTOP)
    wait_for(ours, RISEN, risen + 1)
    assert FALLEN not in high.log
    signal_tree(high.pid, signal.SIGCONT)
    wait_for(high, FALLEN)
    wait_for(high, RISEN, 2)
    wait_for(ours, FALLEN)
    ring.kill("high")
    wait_for(ours, RISEN, 2)
