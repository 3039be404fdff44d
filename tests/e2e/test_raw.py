"""The rawrouter and the sslrouter between real programs, and through reloads and deaths."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from . import peers
from .processes import APPS, PATIENCE, descriptors, free_port, running_uwgate
from .tls import Site, client_context, curl, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start
    from .processes import Uwgate

MEBIBYTE = 1 << 20
PIECE = bytes(range(256)) * 4096


class Server:
    """A server of the test's own: ``serve`` gets every connection, in a thread."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self.sock.getsockname())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.sock.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Count what comes, say how much that was; ``N bytes please`` gets so many."""
        with connection, contextlib.suppress(OSError):
            connection.settimeout(PATIENCE)
            first = connection.recv(100)
            if first.endswith(b" bytes please"):
                for _ in range(int(first.split()[0]) // len(PIECE)):
                    connection.sendall(PIECE)
                return
            if first.startswith(b"echo"):
                while first:
                    connection.sendall(first)
                    first = connection.recv(65536)
                return
            total = len(first)
            while data := connection.recv(MEBIBYTE):
                total += len(data)
            connection.sendall(b"%d" % total)

    def close(self) -> None:
        # A thread in accept does not notice that its socket is closed.
        self.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self.sock.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def site(shared_folder: Path) -> Site:
    return make_site(shared_folder)


@pytest.fixture(scope="module")
def addresses(
    shared_folder: Path, server: Server, site: Site
) -> Iterator[dict[str, tuple[str, int]]]:
    """Where each kind of router leads to the server."""
    ports = {kind: free_port() for kind in ("rawrouter", "sslrouter")}
    with running_uwgate(
        f"--rawrouter=127.0.0.1:{ports['rawrouter']}",
        f"--rawrouter-to={server.address}",
        f"--sslrouter=127.0.0.1:{ports['sslrouter']},{site.pair}",
        f"--sslrouter-to={server.address}",
        folder=shared_folder,
    ) as program:
        program.wait_for_log("generation 1 serves")
        yield {kind: ("127.0.0.1", port) for kind, port in ports.items()}


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=PATIENCE)


def count(connection: socket.socket) -> int:
    total = 0
    while data := connection.recv(MEBIBYTE):
        total += len(data)
    return total


def is_echoed(connection: socket.socket, data: bytes) -> bool:
    connection.sendall(data)
    return connection.recv(100) == data


def serving(uwgate: Start, *arguments: str) -> Uwgate:
    program = uwgate("--rawrouter=127.0.0.1:0", *arguments)
    assert program.address
    program.wait_for_log("generation 1 serves")
    return program


def test_much_down(addresses: dict[str, tuple[str, int]]) -> None:
    with connect(addresses["rawrouter"]) as client:
        client.sendall(b"%d bytes please" % (128 * MEBIBYTE))
        assert count(client) == 128 * MEBIBYTE


def test_much_up(addresses: dict[str, tuple[str, int]]) -> None:
    with connect(addresses["rawrouter"]) as client:
        for _ in range(128):
            client.sendall(PIECE)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"%d" % (128 * MEBIBYTE)


def test_much_through_tls_that_ends_here(addresses: dict[str, tuple[str, int]], site: Site) -> None:
    context = client_context(site)
    with (
        connect(addresses["sslrouter"]) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(b"%d bytes please" % (32 * MEBIBYTE))
        assert count(client) == 32 * MEBIBYTE


def test_openssl_gets_everything_and_a_clean_end(
    addresses: dict[str, tuple[str, int]], site: Site
) -> None:
    host, port = addresses["sslrouter"]
    argv = [peers.program("openssl"), "s_client", "-connect", f"{host}:{port}", "-quiet"]
    argv += ["-verify_return_error", "-CAfile", str(site.authority), "-servername", "localhost"]
    question = b"%d bytes please" % MEBIBYTE
    # Without the close_notify at its end, s_client complains.
    done = subprocess.run(
        argv, input=question, capture_output=True, timeout=2 * PATIENCE, check=False
    )
    assert (len(done.stdout), done.returncode) == (MEBIBYTE, 0), done.stderr


@pytest.mark.parametrize(
    "option", ["sslrouter=127.0.0.1:0,{0},{1}", "sslrouter2=addr=127.0.0.1:0,cert={0},key={1}"]
)
def test_curl_reaches_workers_through_tls_that_ends_here(
    uwgate: Start, site: Site, option: str
) -> None:
    witness = str(APPS / "witness.py")
    program = uwgate(
        "--" + option.format(*site.pair.split(",")), "--sslrouter-use-socket=0",
        "--http-socket=app.sock", "--wsgi-file", witness,
    )  # fmt: skip
    port = program.address[1]
    program.wait_for_log("generation 1 serves")
    assert curl(f"https://localhost:{port}/born", site=site)


def test_curl_chooses_by_name_through_tls_that_passes(
    uwgate: Start, folder: Path, site: Site
) -> None:
    code = folder / "choose.py"
    doors = {}
    for name in ("one", "two"):
        program = uwgate(site.https(), "--wsgi-file", str(APPS / "witness.py"), name=name)
        doors[name] = program
    ports = {name: program.address[1] for name, program in doors.items()}
    code.write_text(
        f"NODES = {{b'localhost': '127.0.0.1:{ports['one']}', "
        f"b'localhost@h2': '127.0.0.1:{ports['two']}'}}\nchoose = NODES.get\n"
    )
    router = uwgate(
        "--sslrouter-passthrough=127.0.0.1:0", "--sslrouter-alpn-key=h2",
        f"--sslrouter-use-code-string=0:{code}:choose", name="router",
    )  # fmt: skip
    port = router.address[1]
    for program in (*doors.values(), router):
        program.wait_for_log("generation 1 serves")
    born = {}
    for name, more in (("one", "--http1.1"), ("two", "--http2")):
        direct = curl(more, f"https://localhost:{ports[name]}/born", site=site)
        born[name] = curl(more, "--no-alpn" if name == "one" else more,
                          f"https://localhost:{port}/born", site=site)  # fmt: skip
        assert born[name] == direct
    assert born["one"] != born["two"]


@contextlib.contextmanager
def connection_beside(pid: int, program: Uwgate) -> Iterator[socket.socket]:
    """One that another process has: that one may take some more for a moment."""
    while True:
        before = {*descriptors(pid)}
        with connect(program.address) as connection:
            assert is_echoed(connection, b"echo new")
            if not any(one.startswith("socket:") for one in {*descriptors(pid)} - before):
                yield connection
                return


def test_connections_live_on_through_a_reload(uwgate: Start, server: Server) -> None:
    program = serving(uwgate, f"--rawrouter-to={server.address}")
    (old,) = program.wait_for_processes("rawrouter", 1)
    with connect(program.address) as first:
        assert is_echoed(first, b"echo one")
        program.popen.send_signal(signal.SIGHUP)
        program.wait_for_log("generation 2 serves")
        assert is_echoed(first, b"two")
        with connection_beside(old, program) as second:
            assert old in program.processes("rawrouter")
            first.shutdown(socket.SHUT_WR)
            assert first.recv(100) == b""
            program.wait_for(lambda: old not in program.processes("rawrouter"), "end of the old")
            assert is_echoed(second, b"still here")


def test_the_old_process_ends_at_its_limit(uwgate: Start, server: Server) -> None:
    program = serving(uwgate, f"--rawrouter-to={server.address}", "--rawrouter-drain-limit=1")
    with connect(program.address) as client:
        assert is_echoed(client, b"echo one")
        program.popen.send_signal(signal.SIGHUP)
        program.wait_for_log("generation 1 is gone")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""


def test_a_killed_rawrouter_is_replaced_and_both_peers_notice(uwgate: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = serving(uwgate, f"--rawrouter-to=127.0.0.1:{port}")
        (pid,) = program.wait_for_processes("rawrouter", 1)
        with connect(program.address) as client:
            backend, _ = listener.accept()
            with backend:
                os.kill(pid, signal.SIGKILL)
                for peer in (client, backend):
                    peer.settimeout(PATIENCE)
                    with contextlib.suppress(ConnectionResetError):
                        assert peer.recv(1) == b""
        program.wait_for_log("Respawned uWSGI rawrouter")
        with connect(program.address) as client:
            backend, _ = listener.accept()
            with backend:
                backend.sendall(b"hello")
                assert client.recv(5) == b"hello"


STANDS_STILL = """
import ctypes
import pathlib

MARKER = pathlib.Path(__file__).with_suffix(".marker")

def choose(key):
    if not MARKER.exists():
        MARKER.touch()
        ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock
    return b"ADDRESS"
"""


def test_a_rawrouter_that_stands_still_is_replaced(
    uwgate: Start, folder: Path, server: Server
) -> None:
    code = folder / "choose.py"
    code.write_text(STANDS_STILL.replace("ADDRESS", server.address))
    program = serving(
        uwgate, f"--rawrouter-use-code-string=0:{code}:choose", "--rawrouter-harakiri=4"
    )
    with connect(program.address) as client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""
    program.wait_for_log(r"Timeout \(0:00:0")
    program.wait_for_log(r'choose.py", line \d+ in choose')
    program.wait_for_log("Respawned uWSGI rawrouter")

    def works() -> bool:
        """Whether it serves: on a slow machine another one may seem to stand still."""
        with contextlib.suppress(ConnectionResetError), connect(program.address) as client:
            return is_echoed(client, b"echo")
        return False

    program.wait_for(works, "echo")


def test_a_stop_closes_connections_at_once(uwgate: Start, server: Server) -> None:
    program = serving(uwgate, f"--rawrouter-to={server.address}")
    with connect(program.address) as client:
        assert is_echoed(client, b"echo")
        program.popen.send_signal(signal.SIGTERM)
        assert client.recv(1) == b""
        assert program.wait() == 0
