"""Zergs and those who give them sockets, ours and uWSGI's, and load that must not fail."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

from . import peers
from .client import ask, request
from .processes import APPS, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start
    from .processes import Address, Uwgate

WITNESS = str(APPS / "witness.py")
CLIENTS = 4
PAUSE = 0.002  # seconds between a client's requests, so that who starts has a CPU as well
GET = request("GET", "/born", [("Connection", "close")])


def who(address: Address) -> bytes:
    """What tells the instance that answers from all others."""
    return ask(address, GET).body


def pool_address(pool: Uwgate) -> tuple[str, int]:
    """The one TCP socket that a pool of ours gives away."""
    return "127.0.0.1", int(pool.wait_for_log(r"127\.0\.0\.1:(\d+) \(for zergs")[1])


def our_zerg(uwgate: Start, path: Path | str, *arguments: str, name: str = "ours") -> Uwgate:
    """One of ours that serves HTTP on the sockets that it gets at ``path``."""
    argv = [f"--zerg={path}", "--protocol=http", "--wsgi-file", WITNESS, "--disable-logging"]
    program = uwgate(*argv, *arguments, name=name)
    program.wait_for_log("generation 1 serves")
    return program


@contextlib.contextmanager
def real_zerg(folder: Path, path: Path | str, name: str = "zerg") -> Iterator[Process]:
    """A real uWSGI that serves HTTP on the sockets of a pool."""
    argv = [peers.program("uwsgi"), "--master", "--processes=2", "--die-on-term"]
    argv += ["--zerg", str(path), "--protocol=http", "--wsgi-file", WITNESS, "--disable-logging"]
    argv += ["--master-fifo", str(_fifo(folder, name))]
    # Asked to stop, it sometimes waits for ever for workers that wait for a connection.
    with peers.running(Process(argv, folder=folder, name=name), stop=signal.SIGKILL) as process:
        process.wait_for_log(r"spawned uWSGI worker 2")
        yield process


def rest(folder: Path, zerg: Process) -> None:
    """Let a ``real_zerg`` finish its requests and accept no more.

    Asked to stop at once it would cut some off: a worker that has accepted and not yet read
    counts as idle.
    """
    _fifo(folder, zerg.name).write_text("p")
    for number in (1, 2):
        zerg.wait_for_log(rf"worker {number} suspended")


def _fifo(folder: Path, name: str) -> Path:
    return folder / f"{name}.fifo"


@contextlib.contextmanager
def real_giver(folder: Path, path: Path, option: str) -> Iterator[tuple[Process, tuple[str, int]]]:
    """A real uWSGI that gives a socket away (``--zergpool``, ``--zerg-server``), and where."""
    port = free_port()
    argv = [peers.program("uwsgi"), "--master", "--die-on-term"]
    if option == "--zergpool":
        argv += ["--zergpool", f"{path}:127.0.0.1:{port}"]
    else:
        argv += ["--zerg-server", str(path), "--http-socket", f"127.0.0.1:{port}"]
        argv += ["--wsgi-file", WITNESS, "--processes=1", "--disable-logging"]
    real = Process(argv, folder=folder, name="real")
    with peers.running(real, stop=signal.SIGKILL):
        real.wait_for_socket(str(path))
        yield real, ("127.0.0.1", port)


class Load:
    """Requests one after the other, on a connection each, from some clients at a time.

    ``answered`` counts them by who answered; ``failures`` has everything else. A client ends at
    its first failure.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.answered: dict[bytes, int] = {}
        self.failures: list[object] = []

    def run(self) -> None:
        """Be one of the clients until it is over."""
        while not self._over.wait(PAUSE):
            try:
                answer = ask(self._address, GET)
            except OSError as error:
                self.failures.append(error)
                return
            if answer.status != 200:
                self.failures.append(answer)
                return
            with self._lock:
                self.answered[answer.body] = self.answered.get(answer.body, 0) + 1

    def has_answer_of(self, importer: int) -> bool:
        """Whether the instance has answered whose application that process imported."""
        with self._lock:
            return any(body.startswith(b"%d-" % importer) for body in self.answered)

    def end(self) -> None:
        """It is over, once the requests that run are answered."""
        self._over.set()


@contextlib.contextmanager
def load(address: Address) -> Iterator[Load]:
    """``Load`` for the length of a block: every request must be answered well."""
    found = Load(address)
    threads = [threading.Thread(target=found.run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.end()
        for thread in threads:
            thread.join()
    assert not found.failures, found.failures[:3]
    assert sum(found.answered.values()) >= CLIENTS, found.answered
