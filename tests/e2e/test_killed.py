"""kill -9: only what ran in that process is lost, and the service is back within a second.

How soon is asked where nobody else could serve; elsewhere a time would say more of this machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .client import Connection, ask, request
from .processes import APPS, PATIENCE, still, tree
from .yardstick import is_done_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Start
    from .processes import Address, Uwgate

PAUSE = 0.005  # seconds between two visits: there are others on this machine
BACK = 1.0  # seconds until the service has to be back, on a quiet machine


@pytest.fixture
def program(uwgate: Start) -> Uwgate:
    """Two workers and a gateway, serving."""
    application = str(APPS / "witness.py")
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", application, "--processes", "2")
    assert ask(program.address, request()).body == b"ok\n"
    program.wait_for_processes("worker", 2)
    return program


@contextlib.contextmanager
def visits(address: Address) -> Iterator[list[BaseException]]:
    """One request after the other while the block runs; gives those that failed."""
    failures: list[BaseException] = []
    done = threading.Event()

    def visit() -> None:
        while not done.is_set():
            try:
                answer = ask(address, request(headers=[("Connection", "close")]))
                assert answer.body == b"ok\n", answer
            except (OSError, AssertionError) as error:
                failures.append(error)
            time.sleep(PAUSE)

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield failures
    finally:
        done.set()
        thread.join()


def clients_of(pid: int, address: tuple[str, int]) -> int:
    """How many client connections a gateway process holds."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = f"0100007F:{address[1]:04X}"
    # Read in pieces while connections come and go: a line may stand there twice.
    return len(inodes & {one[9] for one in lines if one[1] == local and one[3] == "01"})


def seconds_until_served(address: Address) -> float:
    """How long it takes until a new client is answered."""
    start = time.monotonic()
    while time.monotonic() - start < PATIENCE:
        with contextlib.suppress(OSError):
            if ask(address, request(headers=[("Connection", "close")])).status == 200:
                break
    return time.monotonic() - start


def test_a_worker_killed_in_a_request_gives_that_client_502(program: Uwgate, folder: Path) -> None:
    one, other = folder / "one", folder / "other"
    with Connection(program.address) as victim, Connection(program.address) as bystander:
        bystander.send(request("GET", f"/sleep?seconds=2&marker={other}"))
        program.wait_for(other.exists, "running request")
        victim.send(request("GET", f"/sleep?seconds=30&marker={one}"))
        program.wait_for(lambda: one.exists() and one.read_text() != "", "running request")
        os.kill(int(one.read_text()), signal.SIGKILL)
        assert victim.answer().status == 502
        assert ask(program.address, request()).status == 200
        assert bystander.answer().body == b"slept\n"
    program.wait_for_others("worker", 2, instead_of=[int(one.read_text())])


@pytest.mark.alone
def test_a_worker_that_kills_itself_gives_502_and_is_replaced(uwgate: Start) -> None:
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", str(APPS / "witness.py"))

    def kill() -> float:
        before = program.wait_for_processes("worker", 1)
        assert ask(program.address, request("GET", "/kill")).status == 502
        try:
            return seconds_until_served(program.address)
        finally:
            program.wait_for_others("worker", 1, instead_of=before)

    assert is_done_within(BACK, kill)


def test_an_idle_worker_killed_costs_nobody_anything(program: Uwgate) -> None:
    with visits(program.address) as failures:
        # One of two may be in the request of the moment; that one request may fail.
        victim = program.processes("worker")[0]
        os.kill(victim, signal.SIGKILL)
        program.wait_for_others("worker", 2, instead_of=[victim])
    assert len(failures) <= 1, failures


def test_a_spawner_killed_costs_nobody_anything(program: Uwgate) -> None:
    spawner = program.processes("spawner")[0]
    with visits(program.address) as failures:
        os.kill(spawner, signal.SIGKILL)
        program.wait_for_others("spawner", 1, instead_of=[spawner])
        program.wait_for_processes("worker", 2)
    assert failures == []


def test_the_requests_that_run_survive_their_spawner(program: Uwgate, folder: Path) -> None:
    marker = folder / "marker"
    with Connection(program.address) as connection:
        connection.send(request("GET", f"/sleep?seconds=2&marker={marker}"))
        program.wait_for(marker.exists, "running request")
        os.kill(program.processes("spawner")[0], signal.SIGKILL)
        assert connection.answer().body == b"slept\n"


@pytest.mark.alone
def test_a_gateway_killed_is_back_within_a_second(program: Uwgate) -> None:
    def kill() -> float:
        before = program.wait_for_processes("http", 1)
        os.kill(before[0], signal.SIGKILL)
        try:
            return seconds_until_served(program.address)
        finally:
            program.wait_for_others("http", 1, instead_of=before)

    assert is_done_within(BACK, kill)


def test_one_gateway_of_two_killed_leaves_the_other_ones_clients_alone(uwgate: Start) -> None:
    application = str(APPS / "witness.py")
    program = uwgate("--http=127.0.0.1:0", "--wsgi-file", application, "--http-processes=2")
    assert ask(program.address, request()).body == b"ok\n"
    first, _second = program.wait_for_processes("http", 2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Connection(program.address)) for _ in range(40)]
        for client in clients:
            client.send(request())
        assert {client.answer().body for client in clients} == {b"ok\n"}
        unharmed = len(clients) - clients_of(first, program.address)
        os.kill(first, signal.SIGKILL)
        assert ask(program.address, request()).status == 200
        answered = 0
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(request())
                answered += client.answer().status == 200
    assert answered == unharmed
    program.wait_for_others("http", 2, instead_of=[first])


def test_everybody_ends_when_the_master_is_killed(program: Uwgate) -> None:
    pids = [pid for kind in ("http", "spawner", "worker") for pid in program.processes(kind)]
    assert len(pids) == 4
    children = tree(program.pid)
    os.kill(program.pid, signal.SIGKILL)
    program.popen.wait()
    assert not still(children, patience=PATIENCE)
