"""Real uWSGI nodes behind the HTTP gateway: they come, serve, die, and leave."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .client import Connection, ask, request
from .peers import program
from .processes import APPS, PATIENCE, Process, Uwgate, birth, free_port, tree
from .tls import Secure, client_context, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Start

HOST = "shop.example"
PAUSE = 0.005  # seconds between two requests


class Node:
    """A uWSGI that announces itself."""

    def __init__(
        self, folder: Path, name: str, server: str, stack: ExitStack, more: str = ""
    ) -> None:
        self.name = name
        self.address = f"127.0.0.1:{free_port()}"
        self._fifo = folder / f"{name}.fifo"
        self._arguments = ["--socket", self.address, "--master-fifo", str(self._fifo)]
        if server:
            self._arguments += ["--subscribe2", f"server={server},key={HOST}{more}"]
        self._folder = folder
        self._stack = stack
        self.process = self.start()

    def start(self) -> Process:
        argv = [program("uwsgi"), "--master", "--processes", "2", "--need-app"]
        argv += ["--wsgi-file", str(APPS / "node.py"), "--disable-logging", *self._arguments]
        env = {"NODE": self.name}
        self.process = Process(argv, folder=self._folder, name=self.name, env=env)
        self._stack.callback(self.process.stop, signal.SIGKILL)
        self.process.wait_for_log(r"spawned uWSGI worker 2")
        return self.process

    def stop_gracefully(self) -> None:
        """It unsubscribes, finishes what it runs, and ends."""
        with self._fifo.open("w") as fifo:
            fifo.write("q")

    def kill(self) -> None:
        """All of its processes, the master first: it would start workers again."""
        workers = tree(self.process.pid)
        for pid in (self.process.pid, *workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.popen.wait()
        deadline = time.monotonic() + PATIENCE
        # The last of them closes the socket, in whose queue a request would be lost.
        while any(birth(pid) == born for pid, born in workers.items()):
            assert time.monotonic() < deadline, "its workers do not die"
            time.sleep(0.01)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What the test has started, ended with it."""
    with ExitStack() as stack:
        yield stack


def get(gate: Uwgate, *, host: str = HOST, timeout: float = PATIENCE) -> tuple[int, str]:
    answer = ask(gate.address, request(host=host), timeout=timeout)
    return answer.status, answer.body.decode()


def wait_for(gate: Uwgate, names: set[str]) -> None:
    """Wait until exactly these nodes serve."""

    def served() -> bool:
        # What came to a node when it was about to go may stay there.
        with contextlib.suppress(TimeoutError):
            return {get(gate, timeout=5)[1] for _ in range(2 * len(names) + 2)} == names
        return False

    gate.wait_for(served, f"service by {names}")


class Load(threading.Thread):
    """Asks again and again; ``answers`` are times, statuses and nodes."""

    def __init__(self, gate: Uwgate) -> None:
        super().__init__()
        self._program = gate
        self._ends = threading.Event()
        self.answers: list[tuple[float, int, str]] = []

    def run(self) -> None:
        while not self._ends.is_set():
            began = time.monotonic()
            self.answers.append((began, *get(self._program)))
            self._ends.wait(PAUSE)

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ends.set()
        self.join()

    def wait_for_more(self, count: int) -> None:
        until = len(self.answers) + count
        self._program.wait_for(lambda: len(self.answers) >= until, f"{until} answers")


class Held:
    """A request that runs at a node until ``release``."""

    def __init__(self, gate: Uwgate, folder: Path) -> None:
        self._path = folder / "held"
        self._connection = Connection(gate.address, timeout=PATIENCE)
        self._connection.send(request("GET", f"/hold?file={self._path}", host=HOST))
        gate.wait_for(self._path.exists, "held request")
        self.pid = 0
        gate.wait_for(self._read, "pid")

    def _read(self) -> bool:
        text = self._path.read_text()
        self.pid = int(text or 0)
        return bool(text)

    def release(self) -> int:
        """Let it finish; returns its status."""
        self._path.unlink()
        return self.status()

    def status(self) -> int:
        with self._connection as connection:
            return connection.answer().status


def test_with_two_fixed_backends_the_death_of_one_costs_no_request(
    uwgate: Start, folder: Path, stack: ExitStack
) -> None:
    one, two = (Node(folder, name, "", stack) for name in ("one", "two"))
    to = ["--http-to", one.address, "--http-to", two.address]
    gate = uwgate("--http", "127.0.0.1:0", *to, "--processes", "0")
    wait_for(gate, {"one", "two"})
    one.kill()
    assert [get(gate) for _ in range(20)] == [(200, "two")] * 20


def with_nodes(
    uwgate: Start, *arguments: str, listen: str = "--http=127.0.0.1:0"
) -> tuple[Uwgate, str]:
    """A gateway for subscribed nodes, and where they announce themselves."""
    server = f"127.0.0.1:{free_port()}"
    # Nodes that say nothing for a while stay, however slow the machine is.
    where = [listen, "--http-subscription-server", server, "--subscription-tolerance", "600"]
    gate = uwgate(*where, "--processes", "0", *arguments)
    gate.wait_for_log("generation 1 serves")
    return gate, server


def test_nodes_come_serve_and_die(uwgate: Start, folder: Path, stack: ExitStack) -> None:
    gate, server = with_nodes(uwgate, "--http-processes", "2", "--http-eject-time-limit", "1")
    assert get(gate)[0] == 503
    Node(folder, "one", server, stack)
    wait_for(gate, {"one"})
    two = Node(folder, "two", server, stack)
    wait_for(gate, {"one", "two"})
    assert get(gate, host="other.example")[0] == 503
    with Load(gate) as load:
        load.wait_for_more(20)
        two.kill()
        killed = time.monotonic()
        load.wait_for_more(50)
    # One request at a time: those that ran there, in one worker and then in the other.
    failed = [began for began, status, _ in load.answers if status != 200]
    assert len(failed) <= 2
    assert all(began < killed for began in failed)
    assert {node for began, _, node in load.answers if began > killed} == {"one"}
    two.start()  # it announces itself and gets requests again
    wait_for(gate, {"one", "two"})


def test_a_request_that_ran_in_a_killed_node_is_502_and_not_repeated(
    uwgate: Start, folder: Path, stack: ExitStack
) -> None:
    gate, server = with_nodes(uwgate)
    nodes = [Node(folder, name, server, stack) for name in ("one", "two")]
    wait_for(gate, {"one", "two"})
    held = Held(gate, folder)
    victim = next(node for node in nodes if held.pid in tree(node.process.pid))
    (folder / "held").write_text("")  # a second run would write its pid here
    victim.kill()
    assert held.status() == 502
    assert (folder / "held").read_text() == ""
    assert get(gate)[0] == 200


def test_a_node_that_unsubscribes_finishes_its_request(
    uwgate: Start, folder: Path, stack: ExitStack
) -> None:
    gate, server = with_nodes(uwgate)
    nodes = [Node(folder, name, server, stack) for name in ("one", "two")]
    wait_for(gate, {"one", "two"})
    held = Held(gate, folder)
    leaving = next(node for node in nodes if held.pid in tree(node.process.pid))
    staying = next(node for node in nodes if node is not leaving)
    leaving.stop_gracefully()
    wait_for(gate, {staying.name})
    assert held.release() == 200


def test_a_gateway_process_that_is_killed_knows_its_nodes_at_once_when_it_is_back(
    uwgate: Start, folder: Path, stack: ExitStack
) -> None:
    gate, server = with_nodes(uwgate)
    node = Node(folder, "one", server, stack)
    wait_for(gate, {"one"})
    (pid,) = gate.processes("http")
    os.kill(node.process.pid, signal.SIGSTOP)  # it announces nothing any longer; workers serve
    try:
        os.kill(pid, signal.SIGKILL)
        gate.wait_for(lambda: pid not in gate.processes("http"), "death")
        assert get(gate) == (200, "one")
        gate.popen.send_signal(signal.SIGHUP)
        gate.wait_for_log("generation 2 serves")
        assert {get(gate) for _ in range(5)} == {(200, "one")}
    finally:
        os.kill(node.process.pid, signal.SIGCONT)


def test_a_node_brings_its_certificate_and_takes_it_along(
    uwgate: Start, folder: Path, stack: ExitStack
) -> None:
    site = make_site(folder)
    brought = folder / "brought"
    brought.mkdir()
    crt, key = site.root.server(HOST).write(brought, "shop")
    gate, server = with_nodes(
        uwgate,
        *("--http-processes", "2", "--subscription-sni-folder", str(brought)),
        listen=site.https(),
    )
    context = client_context(site)

    def serves() -> bool:
        """Whether both processes, most likely, have a certificate that is right for the name."""
        try:
            for _ in range(8):
                with Secure(gate.address, context, name=HOST) as connection:
                    connection.send(request(host=HOST))
                    connection.answer()
        except ssl.SSLCertVerificationError:
            return False
        return True

    node = Node(folder, "one", server, stack, f",sni_crt={crt},sni_key={key}")
    gate.wait_for(serves, "certificate")
    node.stop_gracefully()
    gate.wait_for(lambda: not serves(), "default certificate")
