"""The fastrouter before the workers of its own instance, behind a real nginx."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from uwgate.gateways.wire.uwsgi import PING, PONG, encode

from . import peers
from .client import Connection, ask, chunks, request
from .load import load
from .processes import APPS, birth, forget_peak, peak, running_uwgate
from .test_fastrouter import packet, status
from .websockets import WebSocket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start
    from .processes import Address, Uwgate

MEBIBYTE = 1 << 20
SPARE = 8 * MEBIBYTE  # that a process may grow by while it forwards a stream of any length
STREAM = 4 * SPARE
RELOADS = 2


@pytest.fixture(scope="module")
def program(shared_folder: Path) -> Iterator[Uwgate]:
    """A fastrouter with two workers."""
    app = ("--wsgi-file", str(APPS / "bytes.py"), "--processes", "2")
    door = f"{shared_folder}/door.sock"
    with running_uwgate("--fastrouter", door, *app, folder=shared_folder) as program:
        program.wait_for_log("generation 1 serves")
        yield program


@pytest.fixture(scope="module")
def door(program: Uwgate, shared_folder: Path) -> Address:
    assert program.pid
    return f"{shared_folder}/door.sock"


@pytest.fixture(scope="module")
def nginx(door: Address, shared_folder: Path) -> Iterator[tuple[str, int]]:
    with peers.nginx(shared_folder, str(door)) as address:
        yield address


@contextlib.contextmanager
def without_growing(program: Uwgate, door: Address) -> Iterator[None]:
    """In this block the fastrouter takes no memory to speak of."""
    assert status(door, packet("/zeros?1")) == 200
    (pid,) = program.processes("fastrouter")
    forget_peak(pid)
    before = peak(pid)
    yield
    assert peak(pid) - before < SPARE


def test_a_long_stream_down_takes_no_memory(
    program: Uwgate, door: Address, nginx: tuple[str, int]
) -> None:
    with without_growing(program, door), Connection(nginx) as connection:
        connection.send(request("GET", f"/zeros?{STREAM}"))
        assert sum(map(len, connection.pieces(connection.head()))) == STREAM


def test_a_long_stream_up_takes_no_memory(
    program: Uwgate, door: Address, nginx: tuple[str, int]
) -> None:
    with without_growing(program, door), Connection(nginx) as connection:
        connection.send(request("POST", "/count", [("Content-Length", str(STREAM))]))
        for _ in range(STREAM // MEBIBYTE):
            connection.send(bytes(MEBIBYTE))
        assert connection.answer().body == b"%d" % STREAM


def test_a_killed_worker_costs_its_request_and_no_other(
    program: Uwgate, door: Address, nginx: tuple[str, int]
) -> None:
    with Connection(nginx) as connection:
        connection.send(request("GET", f"/zeros?{1 << 40}"))
        connection.head()  # it runs
        killed = program.wait_for_processes("worker", 2)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionError):
            while connection.file.read(MEBIBYTE):
                pass
    # Who is asked while he dies has been asked, and nobody can ask again for him.
    program.wait_for(lambda: not any(map(birth, killed)), "death of both workers")
    assert ask(nginx, request("GET", "/zeros?1")).status == 200
    program.wait_for_processes("worker", 2)


def test_a_request_whose_worker_is_killed_gets_502(uwgate: Start, folder: Path) -> None:
    door = f"{folder}/door.sock"
    program = uwgate("--fastrouter", door, "--wsgi-file", str(APPS / "witness.py"), "-p2")
    program.wait_for_socket(door)
    for _ in range(3):
        program.wait_for_processes("worker", 2)
        assert status(door, packet("/kill")) == 502
        assert status(door, packet("/kill", body=100_000) + bytes(100_000)) == 502
        assert status(door, packet("/kill", HTTP_UPGRADE="x")) == 502
        assert status(door, packet("/born")) == 200


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        (403, packet(UWSGI_FILE="/etc/passwd")),
        (403, packet(UWSGI_CHDIR="/")),
        (400, packet(REQUEST_METHOD="")),
        (400, encode([(b"REQUEST_METHOD", b"GET"), (b"A", bytes(20000))])),
        (400, encode([(b"REQUEST_METHOD", b"GET"), *((b"%d" % n, b"") for n in range(2000))])),
        (400, b"\0\4\0\0\0\0\0\0"),
        (502, b"\5" + packet()[1:]),
        (200, b"\x1e" + packet()[1:]),
        (200, packet(HTTP_HOST="", SERVER_NAME="")),
    ],
    ids=["file", "chdir", "method", "size", "count", "malformed", "modifier", "30", "no key"],
)
def test_what_a_uwsgi_socket_refuses_is_refused(door: Address, expected: int, data: bytes) -> None:
    assert status(door, data) == expected
    assert status(door, packet("/zeros?1")) == 200


def test_a_ping_is_answered(door: Address) -> None:
    with Connection(door) as connection:
        connection.send(PING)
        assert connection.file.read() == PONG


def test_a_body_that_breaks_off_harms_nobody(door: Address) -> None:
    for _ in range(4):
        with Connection(door) as connection:
            connection.send(packet("/count", body=1 << 20) + bytes(70000))
    assert status(door, packet("/count", body=3) + b"abc") == 200


def test_limit_post_and_post_buffering_hold(uwgate: Start, folder: Path) -> None:
    door = f"{folder}/door.sock"
    app = ("--wsgi-file", str(APPS / "mirror.py"), "--limit-post", "300000")
    program = uwgate("--fastrouter", door, *app, "--post-buffering", "4096")
    program.wait_for_socket(door)
    assert status(door, packet(body=300_001) + bytes(1000)) == 413
    body = os.urandom(300_000)
    with Connection(door) as connection:
        connection.send(packet(body=len(body)) + body)
        assert connection.answer().json()["size"] == len(body)


def test_chunks_are_the_applications_and_a_websocket_opens(uwgate: Start, folder: Path) -> None:
    door = f"{folder}/door.sock"
    program = uwgate("--fastrouter", door, "--wsgi-file", str(APPS / "websocket.py"))
    program.wait_for_socket(door)
    with Connection(door) as connection:
        head = packet("/chunks", HTTP_TRANSFER_ENCODING="chunked", REQUEST_METHOD="POST")
        connection.send(head + b"".join(chunks(bytes(300_000))))
        assert connection.answer().body == b"300000"
    with peers.nginx(folder, door) as address, WebSocket(address) as socket:
        for number in range(3):
            socket.send(f"ping {number}")
            assert socket.receive() == f"ping {number}"
    assert status(door, packet("/page")) == 200


@pytest.mark.parametrize("target", ["/zeros?100", "/zeros?100000"])
def test_reloads_under_load_lose_no_request(uwgate: Start, folder: Path, target: str) -> None:
    door = f"{folder}/door.sock"
    program = uwgate("--fastrouter", door, "--wsgi-file", str(APPS / "bytes.py"), "-p2")
    program.wait_for_socket(door)
    (old,) = program.wait_for_processes("fastrouter", 1)
    with peers.nginx(folder, door) as (host, port), load(folder, f"http://{host}:{port}{target}"):
        for number in range(RELOADS):
            program.popen.send_signal(signal.SIGHUP)
            program.wait_for_log(f"generation {number + 2} serves")
            assert status(door, packet("/")) == 200
        program.wait_for(lambda: old not in program.processes("fastrouter"), "end of the old")


def test_use_socket_leads_to_the_same_workers_without_a_connection(
    uwgate: Start, folder: Path
) -> None:
    door, own = f"{folder}/door.sock", f"{folder}/own.sock"
    app = ("--wsgi-file", str(APPS / "bytes.py"))
    program = uwgate("--fastrouter", door, "--fastrouter-use-socket=0", "--socket", own, *app)
    program.wait_for_socket(door)
    program.wait_for_socket(own)
    os.unlink(own)  # nobody can connect there any more
    assert status(door, packet("/zeros?1")) == 200


def test_nobody_else_may_ask_for_a_lease_of_this_kind(door: Address) -> None:
    """Flags are between us and our workers: a web server's modifier2 is none."""
    for modifier2 in (8, 32, 64, 255):
        data = bytearray(packet("/zeros?1"))
        data[3] = modifier2
        with Connection(door) as connection:
            connection.send(bytes(data))
            connection.sock.shutdown(socket.SHUT_WR)
            assert connection.answer().status == 200
