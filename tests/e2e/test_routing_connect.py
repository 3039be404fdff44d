"""CONNECT by a rule: the same connection from a real uWSGI and from our worker."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from . import peers
from .processes import PATIENCE, Process, free_port, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"app"]
"""
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@contextlib.contextmanager
def echo() -> Iterator[str]:
    """A server that greets, and says again in capitals what it hears; gives its address."""

    def serve(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            peer.sendall(b"hi ")
            while data := peer.recv(65536):
                peer.sendall(data.upper())

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=serve, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


@dataclass(frozen=True, slots=True)
class Doors:
    """Ports by who serves there."""

    ports: dict[str, int]

    def open(self, door: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[door]), PATIENCE)


@pytest.fixture(scope="module")
def doors(shared_folder: Path) -> Iterator[Doors]:
    app = shared_folder / "app.py"
    app.write_text(APP)
    ports = {name: free_port() for name in ("uwsgi", "worker", "gateway")}
    with echo() as backend:
        rules = [
            f"--route-host=there httpconnect:{backend}",
            "--route-host=gone httpconnect:127.0.0.1:1",
            "--route-host=said return:403",
        ]
        real = [peers.program("uwsgi"), f"--http-socket=127.0.0.1:{ports['uwsgi']}", *rules]
        real += ["--offload-threads=1", f"--wsgi-file={app}", "--die-on-term"]
        process = Process(real, folder=shared_folder, name="uwsgi")
        with (
            peers.running(process, stop=signal.SIGTERM),
            running_uwgate(
                *(f"--http-socket=127.0.0.1:{ports['worker']}", *rules, f"--wsgi-file={app}"),
                f"--http=127.0.0.1:{ports['gateway']}",
                folder=shared_folder,
            ) as program,
        ):
            process.wait_for_socket(("127.0.0.1", ports["uwsgi"]))
            program.wait_for_log("generation 1 serves")
            yield Doors(ports)


def read(sock: socket.socket, until: bytes) -> bytes:
    data = b""
    while until not in data:
        more = sock.recv(65536)
        assert more, data
        data += more
    return data


def answer(doors: Doors, door: str, request: bytes) -> bytes:
    """The first line of what comes until the connection ends."""
    with doors.open(door) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65536), b"")).partition(b"\r\n")[0]


@pytest.mark.parametrize("door", ["uwsgi", "worker"])
def test_a_client_gets_the_connection_that_it_asks_for(doors: Doors, door: str) -> None:
    with doors.open(door) as sock:
        sock.sendall(b"CONNECT there:443 HTTP/1.1\r\nHost: there\r\n\r\n")
        assert read(sock, b"hi ") == ESTABLISHED + b"hi "
        sock.sendall(b"hello")
        assert read(sock, b"HELLO") == b"HELLO"


def test_what_a_client_sends_early_is_not_lost(doors: Doors) -> None:
    with doors.open("worker") as sock:
        sock.sendall(b"CONNECT there:443 HTTP/1.1\r\nHost: there\r\n\r\nearly")
        assert read(sock, b"EARLY") == ESTABLISHED + b"hi EARLY"
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"CONNECT gone:1 HTTP/1.1\r\nHost: gone\r\n\r\n", b"502 Bad Gateway"),
        (b"CONNECT said:1 HTTP/1.1\r\nHost: said\r\n\r\n", b"403 Forbidden"),
        (b"CONNECT other:1 HTTP/1.1\r\nHost: other\r\n\r\n", b"405 Method Not Allowed"),
        (b"GET / HTTP/1.1\r\nHost: there\r\n\r\n", b"405 Method Not Allowed"),
        (b"CONNECT / HTTP/1.1\r\nHost: there\r\n\r\n", b"400 Bad Request"),
        (b"CONNECT there HTTP/1.1\r\nHost: there\r\n\r\n", b"400 Bad Request"),
        (
            b"CONNECT there:1 HTTP/1.1\r\nHost: there\r\nContent-Length: 5\r\n\r\nhello",
            b"400 Bad Request",
        ),
        (
            b"CONNECT there:1 HTTP/1.1\r\nHost: there\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            b"400 Bad Request",
        ),
    ],
)
def test_everything_else_is_an_answer(doors: Doors, request_: bytes, status: bytes) -> None:
    assert answer(doors, "worker", request_) == b"HTTP/1.1 " + status


def test_the_gateway_gives_no_connections(doors: Doors) -> None:
    request = b"CONNECT there:443 HTTP/1.1\r\nHost: there\r\n\r\n"
    assert answer(doors, "gateway", request) == b"HTTP/1.1 501 Not Implemented"
