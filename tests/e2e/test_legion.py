"""Our nodes in one legion with real uWSGI nodes, and among themselves."""

from __future__ import annotations

import os
import re
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
# Every algorithm, and every mode.
CIPHERS = (
    *("aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "aes-256-ecb", "aes-128-cfb", "aes-128-ofb"),
    *("camellia-128-cbc", "camellia-256-cbc", "sm4-cbc", "seed-cbc", "des-ede3-cbc"),
    *("bf-cbc", "bf-ecb", "cast5-cbc"),
)
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
TIMES = ("--legion-freq", str(PERIOD), "--legion-tolerance", str(TOLERANCE))
RISEN = "this node is the lord now"
FALLEN = "not lord any more"
OURS_ELECTED = r"WE HAVE QUORUM FOR LEGION \S+ !!! \(valor: 30 "
THEIRS_RISEN = "i am now the Lord of the Legion"
PATIENCE = 150.0  # seconds; a dead node is noticed after TOLERANCE and agreed on one PERIOD later


class Ring:
    """The nodes of one legion: their ports, and those of them that run."""

    def __init__(self, name: str, seal: str, folder: Path) -> None:
        self.name = name
        self.seal = seal
        self.folder = folder
        self.ports = {name: free_port(socket.SOCK_DGRAM) for name in ("ours", "low", "high")}
        self.running: dict[str, Process] = {}
        self.starts = 0
        (folder / "openssl.cnf").write_text(LEGACY)

    def options(self, name: str, valor: int) -> list[str]:
        """What ours and theirs are given alike."""
        argv = ["--legion", f"{self.name} 127.0.0.1:{self.ports[name]} {valor} {self.seal}"]
        for other, port in self.ports.items():
            if other != name:
                argv += ["--legion-node", f"{self.name} 127.0.0.1:{port}"]
        return [*argv, "--legion-quorum", f"{self.name} 2"]

    def start_uwsgi(self, name: str, valor: int) -> Process:
        env = {"OPENSSL_CONF": str(self.folder / "openssl.cnf")}
        return self.start(name, [str(UWSGI), *self.options(name, valor), *TIMES], env)

    def start(self, name: str, argv: list[str], env: dict[str, str] | None = None) -> Process:
        self.starts += 1
        env = {"PYTHONPATH": str(SOURCE), **(env or {})}
        process = Process(argv, folder=self.folder, name=f"{name}-{self.starts}", env=env)
        self.running[name] = process
        return process

    def kill(self, name: str) -> None:
        kill(self.running.pop(name))

    def close(self) -> None:
        for name in list(self.running):
            self.kill(name)


class Rings:
    """One legion for each cipher, each with two real nodes; one node of ours is in all of them."""

    def __init__(self, folder: Path) -> None:
        self.all: list[Ring] = []
        self.ours: Process | None = None
        self._folder = folder
        self._starts = 0
        for cipher in CIPHERS:
            place = folder / cipher
            place.mkdir()
            self.all.append(Ring(cipher, f"{cipher}:a-secret", place))

    def start_ours(self) -> Process:
        self._starts += 1
        argv = [word for ring in self.all for word in ring.options("ours", 30)]
        self.ours = Process(
            [*OURS, *argv, *TIMES],
            folder=self._folder,
            name=f"ours-{self._starts}",
            env={"PYTHONPATH": str(SOURCE)},
        )
        return self.ours

    def close(self) -> None:
        for ring in self.all:
            ring.close()
        if self.ours is not None and self.ours.popen.poll() is None:
            kill(self.ours)


def kill(process: Process) -> None:
    signal_tree(process.pid, signal.SIGKILL)
    process.popen.wait()


def wait_for(process: Process, text: str, count: int = 1) -> None:
    """Wait until so many lines match."""
    deadline = time.monotonic() + PATIENCE
    while len(re.findall(text, process.log)) < count:
        assert process.popen.poll() is None, process.log
        assert time.monotonic() < deadline, f"no {text!r} in {process.name}:\n{process.log}"
        time.sleep(0.05)


@pytest.fixture
def rings(tmp_path: Path) -> Iterator[Rings]:
    if not UWSGI.exists():
        pytest.skip("uWSGI is not installed")
    made = Rings(tmp_path)
    yield made
    made.close()


@pytest.mark.timeout(600)  # 70 s on a quiet machine
def test_two_uwsgi_nodes_and_ours_agree_on_a_lord_and_survive_each_others_death(
    rings: Rings,
) -> None:
    # All ciphers at once: each step takes real seconds.
    for ring in rings.all:
        ring.start_uwsgi("low", 10)
        ring.start_uwsgi("high", 20)
    ours = rings.start_ours()
    for ring in rings.all:
        wait_for(ours, f"legion {ring.name}: {RISEN}")
        wait_for(ring.running["low"], OURS_ELECTED)
        wait_for(ring.running["high"], OURS_ELECTED)
    kill(ours)
    for ring in rings.all:
        wait_for(ring.running["high"], THEIRS_RISEN)
    ours = rings.start_ours()
    for ring in rings.all:
        wait_for(ours, f"legion {ring.name}: {RISEN}")
        wait_for(ring.running["high"], r"a new Lord \(valor: 30")
    for ring in rings.all:
        ring.kill("high")
    for ring in rings.all:
        wait_for(ours, rf"legion {ring.name}: \S+ is silent")
        assert f"legion {ring.name}: {FALLEN}" not in ours.log
        ring.start_uwsgi("high", 40)
    for ring in rings.all:
        wait_for(ours, f"legion {ring.name}: {FALLEN}")
        wait_for(ring.running["high"], THEIRS_RISEN)
    reports = [len(re.findall(OURS_ELECTED, ring.running["low"].log)) for ring in rings.all]
    for ring in rings.all:
        ring.kill("high")
    for ring, count in zip(rings.all, reports, strict=True):
        wait_for(ours, f"legion {ring.name}: {RISEN}", 2)
        wait_for(ring.running["low"], OURS_ELECTED, count + 1)
    # And they hear each other's goodbyes.
    ours.stop(signal.SIGTERM)
    for ring in rings.all:
        wait_for(ring.running["low"], "announced its death to Legion")
    ours = rings.start_ours()
    for ring in rings.all:
        wait_for(ours, rf"legion {ring.name}: \S+ \(.*\) joined")
        ring.running.pop("low").stop()
    for ring in rings.all:
        wait_for(ours, rf"legion {ring.name}: \S+ left")


SECRET = "sixteen letters.."
NEXT = "another secret, longer"


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    made = Ring("ring", f"aes-256-gcm:{SECRET}", tmp_path)
    yield made
    made.close()


def start_sealed(ring: Ring, name: str, valor: int) -> Process:
    times = ("--legion-freq", "1", "--legion-tolerance", "10")
    return ring.start(name, [*OURS, *ring.options(name, valor), *times])


def test_sealed_nodes_replace_a_killed_lord_and_a_stalled_one_steps_down(ring: Ring) -> None:
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


def test_a_secret_is_replaced_node_by_node_and_there_is_always_a_lord(ring: Ring) -> None:
    """The three steps of docs/howto/legion.md; the lord, whose options change last, stays it."""
    nodes = {"low": 10, "ours": 20, "high": 30}
    programs: dict[str, Process] = {}
    for name, valor in nodes.items():
        write(ring, name, valor, SECRET)
        programs[name] = ring.start(name, [*OURS, str(ring.folder / f"{name}.ini")])
    for program in programs.values():
        wait_for(program, "generation 1 serves")
    wait_for(programs["high"], RISEN)
    for seals, opens in ((SECRET, NEXT), (NEXT, SECRET), (NEXT, None)):
        for name, valor in nodes.items():
            write(ring, name, valor, seals, opens)
            program = programs[name]
            left, joined = program.log.count(": left\n"), program.log.count("quorum: ")
            os.kill(program.pid, signal.SIGHUP)
            wait_for(program, "legion ring: left\n", left + 1)
            # It hears a majority with the secret that it has now.
            wait_for(program, "quorum: ", joined + 1)
            wait_for(program, "the lord is|this node is the lord now", 1)
        wait_for(programs["high"], RISEN, programs["high"].log.count(FALLEN) + 1)
    # Nobody was ever unreadable to another: the log would say so.
    assert [name for name in nodes if "does not have" in programs[name].log] == []


def write(ring: Ring, name: str, valor: int, seals: str, opens: str | None = None) -> None:
    """The configuration of a node; ``opens``: the other secret that it accepts."""
    lines = [f"legion = ring 127.0.0.1:{ring.ports[name]} {valor} aes-256-gcm:{seals}"]
    others = [port for other, port in ring.ports.items() if other != name]
    lines += [f"legion-node = ring 127.0.0.1:{port}" for port in others]
    lines += ["legion-freq = 1", "legion-tolerance = 10"]
    lines += [] if opens is None else [f"legion-key = ring {opens}"]
    (ring.folder / f"{name}.ini").write_text("\n".join(["[uwsgi]", *lines, ""]))


@pytest.mark.parametrize(
    ("seal", "text"),
    [
        ("aes-256-cbc:a-secret", "is one of uWSGI's, and this legion is sealed"),
        (f"chacha20-poly1305:{NEXT}", "is sealed with a secret that this node does not have"),
    ],
)
def test_a_node_of_another_kind_is_named_in_the_log_and_changes_nothing(
    ring: Ring, seal: str, text: str
) -> None:
    high = start_sealed(ring, "high", 30)
    low = start_sealed(ring, "low", 10)
    wait_for(high, RISEN)
    ring.seal = seal
    stranger = start_sealed(ring, "ours", 99)
    for node in (high, low):
        wait_for(node, rf"refused: a packet from 127.0.0.1:{ring.ports['ours']} {text}")
    wait_for(stranger, "refused: a packet from")
    assert FALLEN not in high.log
    assert RISEN not in low.log
    assert RISEN not in stranger.log
