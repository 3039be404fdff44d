"""Our codec and election in one legion with real uWSGI nodes, and among themselves."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import uwgate

from .processes import Process, free_port

pytestmark = pytest.mark.long

DRIVER = Path(__file__).parent.parent / "subscriptions" / "legion" / "driver.py"
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
        given = {
            "port": self.ports["ours"],
            "nodes": [self.ports["low"], self.ports["high"]],
            "legion": "ring",
            "valor": valor,
            "quorum": 2,
            "cipher": f"{self.cipher}:a-secret",
            "period": PERIOD,
            "tolerance": TOLERANCE,
            "mode": "compatible",
        }
        return self.start("ours", [sys.executable, str(DRIVER), json.dumps(given)])

    def start_uwsgi(self, name: str, valor: int) -> Process:
        address = f"127.0.0.1:{self.ports[name]}"
        argv = [str(UWSGI), "--legion", f"ring {address} {valor} {self.cipher}:a-secret"]
        for other, port in self.ports.items():
            if other != name:
                argv += ["--legion-node", f"ring 127.0.0.1:{port}"]
        argv += ["--legion-quorum", "ring 2", "--legion-freq", str(PERIOD)]
        argv += ["--legion-tolerance", str(TOLERANCE)]
        return self.start(name, argv)

    def start(self, name: str, argv: list[str]) -> Process:
        self.starts += 1
        env = {"OPENSSL_CONF": str(self.folder / "openssl.cnf")} if name != "ours" else {}
        env["PYTHONPATH"] = str(SOURCE)
        process = Process(argv, folder=self.folder, name=f"{name}-{self.starts}", env=env)
        self.running[name] = process
        return process

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        os.kill(process.pid, signal.SIGKILL)
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
        wait_for(legion.running["ours"], '"action": "Rise"')
        wait_for(legion.running["low"], OURS_ELECTED)
        wait_for(legion.running["high"], OURS_ELECTED)
    for legion in legions:
        legion.kill("ours")
    for legion in legions:
        wait_for(legion.running["high"], "i am now the Lord of the Legion ring")
    for legion in legions:
        legion.start_ours(30)
    for legion in legions:
        wait_for(legion.running["ours"], '"action": "Rise"')
        wait_for(legion.running["high"], "a new Lord (valor: 30")
        legion.kill("high")
    for legion in legions:
        wait_for(legion.running["ours"], '"action": "NodeLeft"')
        assert '"action": "StepDown"' not in legion.running["ours"].log
        legion.start_uwsgi("high", 40)
    for legion in legions:
        wait_for(legion.running["ours"], '"action": "StepDown"')
        wait_for(legion.running["high"], "i am now the Lord of the Legion ring")
    reports = [legion.running["low"].log.count(OURS_ELECTED) for legion in legions]
    for legion in legions:
        legion.kill("high")
    for legion, count in zip(legions, reports, strict=True):
        wait_for(legion.running["ours"], '"action": "Rise"', 2)
        wait_for(legion.running["low"], OURS_ELECTED, count + 1)
    # And they hear each other's goodbyes.
    for legion in legions:
        legion.running.pop("ours").stop(signal.SIGTERM)
        wait_for(legion.running["low"], "announced its death to Legion ring")
        legion.start_ours(30)
    for legion in legions:
        wait_for(legion.running["ours"], '"action": "NodeJoined"')
        legion.running.pop("low").stop()
        wait_for(legion.running["ours"], "said_so=True")


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Legion]:
    legion = Legion("aes-256-gcm", tmp_path)
    yield legion
    legion.close()


def start_sealed(legion: Legion, name: str, valor: int) -> Process:
    given = {
        "port": legion.ports[name],
        "nodes": [port for other, port in legion.ports.items() if other != name],
        "legion": "ring",
        "valor": valor,
        "quorum": 2,
        "cipher": "aes-256-gcm:a secret",
        "period": 1.0,
        "tolerance": 6.0,
        "mode": "sealed",
    }
    return legion.start(name, [sys.executable, str(DRIVER), json.dumps(given)])


def test_sealed_nodes_replace_a_killed_lord_and_a_stalled_one_steps_down(ring: Legion) -> None:
    high = start_sealed(ring, "high", 30)
    ours = start_sealed(ring, "ours", 20)
    start_sealed(ring, "low", 10)
    wait_for(high, '"action": "Rise"')
    risen = ours.log.count('"action": "Rise"')  # with low alone, when high was slow to start
    os.kill(high.pid, signal.SIGSTOP)
    wait_for(ours, '"action": "Rise"', risen + 1)
    assert '"action": "StepDown"' not in high.log
    os.kill(high.pid, signal.SIGCONT)
    wait_for(high, '"action": "StepDown"')
    wait_for(high, '"action": "Rise"', 2)
    wait_for(ours, '"action": "StepDown"')
    ring.kill("high")
    wait_for(ours, '"action": "Rise"', 2)
