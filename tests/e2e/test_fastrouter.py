"""The fastrouter between real web servers and real workers, theirs and ours."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from uwgate.gateways.wire.uwsgi import encode

from . import peers
from .client import Connection, ask, request
from .load import load
from .processes import (
    APPS,
    Process,
    birth,
    forget_peak,
    free_port,
    peak,
    running_uwgate,
    tree,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start
    from .processes import Address, Uwgate

MEBIBYTE = 1 << 20
SPARE = 8 * MEBIBYTE  # that a process may grow by while it forwards a stream of any length
STREAM = 4 * SPARE
RELOADS = 2
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


def packet(target: str = "/", *, body: int = 0, **variables: str) -> bytes:
    """A request as a web server sends it, with the length of its body."""
    path, _, query = target.partition("?")
    found = {
        "REQUEST_METHOD": "POST" if body else "GET",
        "REQUEST_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(body) if body else "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "a.example",
        "SERVER_PORT": "80",
        "HTTP_HOST": "a.example",
        "REMOTE_ADDR": "192.0.2.7",
    }
    found |= variables
    return encode([(key.encode(), value.encode()) for key, value in found.items()])


def status(address: Address, data: bytes) -> int | None:
    """The status that a packet gets; None if there is no answer at all."""
    with Connection(address) as connection:
        connection.send(data)
        return connection.status_or_nothing()


@dataclass(frozen=True)
class Route:
    """A fastrouter at ``address``, and workers of one ``kind`` behind it."""

    kind: str
    program: Uwgate
    address: Address
    workers: Process

    def packet(self, target: str = "/", *, body: int = 0) -> bytes:
        return packet(target, body=body, UWSGI_FASTROUTER_KEY=self.kind)

    def connect(self) -> Connection:
        return Connection(self.address)

    def worker_pids(self) -> list[int]:
        if self.kind == "uwgate":
            return self.program.processes("worker")
        return list(tree(self.workers.pid))

    @contextlib.contextmanager
    def without_growing(self) -> Iterator[None]:
        """In this block the fastrouter takes no memory to speak of."""
        assert status(self.address, self.packet("/zeros?1")) == 200
        (pid,) = self.program.processes("fastrouter")
        forget_peak(pid)
        before = peak(pid)
        yield
        assert peak(pid) - before < SPARE


@pytest.fixture(scope="module")
def routes(shared_folder: Path) -> Iterator[dict[str, Route]]:
    """Workers of uWSGI and ours behind one fastrouter."""
    folder = shared_folder
    arguments = ("--fastrouter", "127.0.0.1:0", "--fastrouter-use-base", f"{folder}/")
    own = ("--socket", f"{folder}/uwgate", "--wsgi-file", str(APPS / "bytes.py"), "-p2")
    with (
        peers.uwsgi(folder, "--socket", f"{folder}/uwsgi", app="bytes.py") as theirs,
        running_uwgate(*arguments, *own, folder=folder) as program,
    ):
        address = program.address
        program.wait_for_log("generation 1 serves")
        yield {
            "uwsgi": Route("uwsgi", program, address, theirs),
            "uwgate": Route("uwgate", program, address, program),
        }


@pytest.fixture(params=["uwsgi", "uwgate"])
def route(request: pytest.FixtureRequest, routes: dict[str, Route]) -> Route:
    """One kind of workers after the other."""
    return routes[request.param]


def fastrouter(uwgate: Start, *arguments: str) -> Uwgate:
    program = uwgate("--fastrouter", "127.0.0.1:0", *arguments)
    assert program.address
    program.wait_for_log("generation 1 serves")
    return program


def count(connection: Connection, data: bytes) -> bytes:
    """What is answered to a stream of bytes behind a packet."""
    connection.send(data)
    for _ in range(STREAM // MEBIBYTE):
        connection.send(bytes(MEBIBYTE))
    return connection.answer().body


def test_a_long_stream_down_takes_no_memory(route: Route) -> None:
    with route.without_growing(), route.connect() as connection:
        connection.send(route.packet(f"/zeros?{STREAM}"))
        head = connection.head()
        assert sum(map(len, connection.pieces(head))) == STREAM


def test_a_long_stream_up_takes_no_memory(route: Route) -> None:
    with route.without_growing(), route.connect() as connection:
        assert count(connection, route.packet("/count", body=STREAM)) == b"%d" % STREAM


def test_a_large_body_is_taken_in_without_taking_memory(
    uwgate: Start, folder: Path, routes: dict[str, Route], shared_folder: Path
) -> None:
    options = ("--fastrouter-post-buffering", "65536", "--fastrouter-post-buffering-dir", ".")
    program = fastrouter(uwgate, "--fastrouter-to", f"{shared_folder}/uwsgi", *options)
    route = Route("uwsgi", program, program.address, routes["uwsgi"].workers)
    with route.without_growing(), route.connect() as connection:
        assert count(connection, route.packet("/count", body=STREAM)) == b"%d" % STREAM


def test_a_client_that_only_ends_its_request_gets_its_answer(route: Route) -> None:
    with route.connect() as connection:
        connection.send(route.packet("/count", body=3) + b"abc")
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.answer().body == b"3"


def test_a_slow_client_gets_its_answer(route: Route) -> None:
    with route.connect() as connection:
        for byte in route.packet("/count", body=3) + b"abc":
            connection.send(bytes((byte,)))
        assert connection.answer().body == b"3"


def test_an_answer_whose_worker_is_killed_ends_and_the_next_request_is_served(
    route: Route,
) -> None:
    with route.connect() as connection:
        connection.send(route.packet(f"/zeros?{1 << 40}"))
        connection.head()
        killed = route.worker_pids()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionResetError):
            while connection.file.read(MEBIBYTE):
                pass
    # Who is asked while he dies has been asked, and nobody can ask again for him.
    route.program.wait_for(lambda: not any(map(birth, killed)), "death of all workers")
    assert status(route.address, route.packet("/zeros?1")) == 200


def test_garbage_harms_nobody(route: Route) -> None:
    for data in (b"\0\4\0\0\0\0\0\0", b"\0\5\0\0\1\0K\xff\xff", b"GET / HTTP/1.1\r\n\r\n"):
        with route.connect() as connection:
            connection.send(data)
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        assert status(route.address, route.packet("/zeros?1")) == 200


def test_nobody_there_is_a_503_that_passes_nginx_and_apache(uwgate: Start, folder: Path) -> None:
    door = f"{folder}/door.sock"
    to = f"127.0.0.1:{free_port()}"
    program = uwgate("--fastrouter", door, "--fastrouter-to", to, "--chmod-socket=666")
    program.wait_for_socket(door)
    for server in (peers.nginx, peers.apache):
        with server(folder, door) as address:
            answer = ask(address, request())
            assert answer.status == 503
            assert int(answer["retry-after"]) >= 1
            assert b"Service Unavailable" in answer.body


def test_apache_gets_answers_and_bodies_through_it(uwgate: Start, folder: Path) -> None:
    door = f"{folder}/door.sock"
    backend = f"{folder}/workers.sock"
    with peers.uwsgi(folder, "--socket", backend):
        program = uwgate("--fastrouter", door, "--fastrouter-to", backend, "--chmod-socket=666")
        program.wait_for_socket(door)
        with peers.apache(folder, door) as address:
            seen = ask(address, request("POST", "/p?q", (), b"x" * 300_000)).json()
            assert (seen["path"], seen["query"], seen["size"]) == ("/p", "q", 300_000)


def test_reloads_under_load_lose_no_request(
    uwgate: Start, folder: Path, routes: dict[str, Route], shared_folder: Path
) -> None:
    assert routes
    door = f"{folder}/door.sock"
    backends = ("--fastrouter-to", f"{shared_folder}/uwsgi")
    program = uwgate("--fastrouter", door, *backends, "--fastrouter-to", f"{shared_folder}/uwgate")
    program.wait_for_socket(door)
    (old,) = program.wait_for_processes("fastrouter", 1)
    with (
        peers.nginx(folder, door) as (host, port),
        load(folder, f"http://{host}:{port}/zeros?100000"),
    ):
        for number in range(RELOADS):
            program.popen.send_signal(signal.SIGHUP)
            program.wait_for_log(f"generation {number + 2} serves")
            assert status(door, packet("/")) == 200
        program.wait_for(lambda: old not in program.processes("fastrouter"), "end of the old")


def test_a_killed_fastrouter_is_replaced(uwgate: Start) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    program = fastrouter(uwgate, "--fastrouter-to", nobody, "--fastrouter-processes", "2")
    first, second = program.wait_for_processes("fastrouter", 2)
    os.kill(first, signal.SIGKILL)
    program.wait_for(lambda: birth(first) is None, "its death")
    assert status(program.address, packet("/")) == 503
    program.wait_for_log("Respawned uWSGI fastrouter")
    assert second in program.wait_for_others("fastrouter", 2, instead_of=[first])


def test_a_cheap_fastrouter_shares_a_socket_with_the_workers(uwgate: Start, folder: Path) -> None:
    """Until nodes announce themselves, the local workers serve alone."""
    server = f"127.0.0.1:{free_port()}"
    program = uwgate(
        "--shared-socket", "127.0.0.1:0", "--fastrouter", "=0", "--socket", "=0",
        "--fastrouter-cheap", "--fastrouter-subscription-server", server,
        "--wsgi-file", str(APPS / "witness.py"),
    )  # fmt: skip
    program.wait_for_log("generation 1 serves")
    for _ in range(20):
        assert status(program.address, packet("/born")) == 200
    announce = (f"--subscribe-to={server}:a.example", "--socket=127.0.0.1:0")
    with peers.uwsgi(folder, *announce, app="mirror.py", name="node"):

        def node_serves() -> bool:
            with Connection(program.address) as connection:
                connection.send(packet("/"))
                return "content-type" in (answer := connection.answer()) and (
                    answer["content-type"] == "application/json"
                )

        program.wait_for(node_serves, "answer of the node")
