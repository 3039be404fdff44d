"""WebSockets, end to end: our workers and real uWSGI, through the gateway and directly."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.certificates import Authority

from . import peers
from .client import Connection, ask, request
from .processes import APPS, Process, Uwgate, finish_uwgate, free_port, rss, start_uwgate
from .websockets import WebSocket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start
    from .processes import Address

APP = str(APPS / "websocket.py")
THREADS = 55  # in each of two processes: the test has up to 100 WebSockets open
SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]


class Way(NamedTuple):
    """How clients reach the application."""

    address: Address
    is_real: bool = False  # the application runs in uWSGI itself
    tls: ssl.SSLContext | None = None

    def connect(self, path: str = "/echo") -> WebSocket:
        return WebSocket(self.address, path, tls=self.tls)


@contextlib.contextmanager
def real_uwsgi(folder: Path, *arguments: str, threads: int = THREADS) -> Iterator[Process]:
    """uWSGI with the application of these tests."""
    argv = [peers.program("uwsgi"), "--master", "--die-on-term", "--need-app", "-p", "2"]
    argv += ["--threads", str(threads), "--wsgi-file", APP, "--disable-logging", *arguments]
    argv += ["--socket-timeout", "60"]
    with peers.running(Process(argv, folder=folder, name="uwsgi"), stop=signal.SIGINT) as process:
        process.wait_for_log(r"spawned uWSGI worker 2")
        yield process


@contextlib.contextmanager
def ours(folder: Path, *arguments: str) -> Iterator[Uwgate]:
    program = start_uwgate(*arguments, folder=folder)
    try:
        yield program
        finish_uwgate(program)
    finally:
        program.stop()


def context(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client's, of one version of TLS; whom it trusts is tested elsewhere."""
    found = ssl.create_default_context()
    found.check_hostname = False
    found.verify_mode = ssl.CERT_NONE
    found.minimum_version = found.maximum_version = version
    return found


@contextlib.contextmanager
def way_to(kind: str, folder: Path) -> Iterator[Way]:
    """Start what there is on the way, and in the end see that it stops well."""
    workers = ("--wsgi-file", APP, "-p2", f"--threads={THREADS}", "--disable-logging")
    path = str(folder / "backend.sock")
    tls = None
    with contextlib.ExitStack() as stack:
        if kind == "worker":
            program = stack.enter_context(ours(folder, "--http", "127.0.0.1:0", *workers))
        elif kind in ("http-socket", "http11-socket"):
            program = stack.enter_context(ours(folder, f"--{kind}", "127.0.0.1:0", *workers))
        elif kind.startswith("TLS"):
            certificate, key = Authority().server("localhost").write(folder, "server")
            https = f"127.0.0.1:0,{certificate},{key}"
            program = stack.enter_context(ours(folder, "--https", https, *workers))
            tls = context(ssl.TLSVersion[kind])
        elif kind == "uwsgi":
            stack.enter_context(real_uwsgi(folder, "--socket", path))
            program = stack.enter_context(ours(folder, "--http=127.0.0.1:0", f"--http-to={path}"))
        else:
            program = stack.enter_context(ours(folder, "--socket", path, *workers))
            program.wait_for_socket(path)
            if kind == "behind nginx":
                yield Way(stack.enter_context(peers.nginx(folder, path)))
                return
            port = free_port()
            argv = [peers.program("uwsgi"), "--http", f"127.0.0.1:{port}", "--http-to", path]
            argv += ["--http-websockets", "--master", "--die-on-term"]
            front = Process(argv, folder=folder, name="front")
            stack.enter_context(peers.running(front, stop=signal.SIGINT))
            front.wait_for_socket(("127.0.0.1", port))
            yield Way(("127.0.0.1", port))
            return
        yield Way(program.address, kind == "uwsgi", tls)


@pytest.fixture(
    scope="module",
    params=[
        "worker",
        "TLSv1_2",
        "TLSv1_3",
        "http-socket",
        "http11-socket",
        "uwsgi",
        "behind uwsgi",
        "behind nginx",
    ],
)
def way(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[Way]:
    """Our workers behind our gateway, directly, and behind others; uWSGI behind our gateway."""
    folder = shared_folder / str(request.param).replace(" ", "-")
    folder.mkdir()
    folder.chmod(0o755)
    with way_to(request.param, folder) as found:
        yield found


# Any way


@pytest.mark.parametrize("size", SIZES)
def test_text_comes_back(way: Way, size: int) -> None:
    with way.connect() as client:
        assert client.ask("x" * size) == "x" * size


@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back(way: Way, size: int) -> None:
    data = os.urandom(size)
    with way.connect("/binary") as client:
        assert client.ask(data) == data


def test_many_messages_keep_their_order(way: Way) -> None:
    with way.connect() as client:
        for number in range(500):
            client.send(f"message {number}")
        assert [client.receive() for _ in range(500)] == [f"message {n}" for n in range(500)]


def test_fragments_arrive(way: Way) -> None:
    with way.connect() as client:
        client.send("one ", final=False)
        client.send("two ", final=False)
        client.send("three")
        answers = [client.receive()]
        while answers[-1] == "\0":  # what uWSGI returns for a fragment that is not the last
            answers.append(client.receive())
        assert answers[-1] == "one two three"
        assert (len(answers) == 3) is way.is_real


def test_pings_are_answered(way: Way) -> None:
    with way.connect() as client:
        assert client.ping(b"are you there") == (b"" if way.is_real else b"are you there")
        assert client.ask("x") == "x"


def test_closing_is_answered(way: Way) -> None:
    with way.connect() as client:
        assert client.ask("x") == "x"
        assert client.close(4000) == (1005 if way.is_real else 4000)


def test_the_application_may_close(way: Way) -> None:
    with way.connect("/hello") as client:
        assert client.receive() == "hello"
        assert client.closed() == (None if way.is_real else 1000)


def test_the_application_sees_what_was_asked(way: Way) -> None:
    with way.connect("/asked") as client:
        upgrade, connection, version = str(client.receive()).split()
        assert (upgrade.lower(), connection, version) == ("websocket", "Upgrade", "13")


def test_the_application_may_refuse(way: Way) -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        way.connect("/refuse")
    assert caught.value.errno == 403


def test_a_hundred_talk_at_the_same_time(way: Way) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(way.connect()) for _ in range(100)]
        for turn in range(3):
            for number, client in enumerate(clients):
                client.send(f"{turn} {number}")
            for number, client in enumerate(clients):
                assert client.receive() == f"{turn} {number}"
        for client in clients:
            client.close()
    with way.connect() as client:  # all slots are free again
        assert client.ask("x") == "x"


# Our gateway, our workers


@pytest.fixture(scope="module")
def program(shared_folder: Path) -> Iterator[Uwgate]:
    """One worker with one slot."""
    folder = shared_folder / "one-slot"
    folder.mkdir()
    arguments = ("--http", "127.0.0.1:0", "--wsgi-file", APP, "--reload-mercy=30")
    with ours(folder, *arguments) as program:
        yield program


@pytest.mark.parametrize("how", ["end of file", "reset"])
def test_the_slot_of_a_client_that_vanishes_is_free_again(program: Uwgate, how: str) -> None:
    for _ in range(3):
        client = WebSocket(program.address)
        assert client.ask("x") == "x"
        if how == "reset":
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
        assert ask(program.address, request(target="/page")).body == b"page"


def test_a_client_that_reads_nothing_costs_no_memory(program: Uwgate) -> None:
    (gateway,) = program.wait_for_processes("http", 1)
    before = rss(gateway)
    with WebSocket(program.address, "/flood") as client:
        for _ in range(50):
            client.receive()
        stopped = threading.Event()
        stopped.wait(1)  # as long as the application can send
        assert rss(gateway) - before < 8 << 20


def test_a_worker_that_is_killed_takes_its_websockets_with_it(program: Uwgate) -> None:
    with WebSocket(program.address) as client:
        assert client.ask("x") == "x"
        (worker,) = program.wait_for_processes("worker", 1)
        os.kill(worker, signal.SIGKILL)
        assert client.closed() is None
    with WebSocket(program.address) as client:
        assert client.ask("x") == "x"


def test_a_gateway_that_is_killed_ends_them_in_the_worker(program: Uwgate) -> None:
    with WebSocket(program.address) as client:
        assert client.ask("x") == "x"
        (gateway,) = program.wait_for_processes("http", 1)
        os.kill(gateway, signal.SIGKILL)
        assert client.closed() is None
    program.wait_for(lambda: gateway not in program.processes("http"), "new gateway")
    with WebSocket(program.address) as client:
        assert client.ask("x") == "x"


def test_a_websocket_lives_through_a_reload(program: Uwgate) -> None:
    with WebSocket(program.address, "/born") as old:
        first = old.ask("?")
        program.popen.send_signal(signal.SIGHUP)
        program.wait_for_log("generation 2 serves")

        def is_new() -> bool:
            """Whether the new application answers: an old gateway may take some for a moment."""
            try:
                with WebSocket(program.address, "/born", timeout=10) as new:
                    return new.ask("?") != first and new.close() == 1000
            except OSError:
                return False

        program.wait_for(is_new, "answer by the new application")
        assert old.ask("?") == first
        assert old.close() == 1000


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--worker-reload-mercy=2",), 1001),  # our worker says good-bye
        (("--reload-mercy=1",), None),  # the gateway is sooner, and has nothing to say
    ],
)
def test_after_a_reload_its_time_is_limited(
    uwgate: Start, options: tuple[str, ...], code: int | None
) -> None:
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", APP, *options)
    with WebSocket(program.address, "/born") as client:
        client.ask("?")
        program.popen.send_signal(signal.SIGHUP)
        assert client.closed() == code


@pytest.mark.parametrize("entrance", ["http", "http-socket"])
def test_a_stop_does_not_wait_for_websockets(uwgate: Start, entrance: str) -> None:
    program = uwgate(f"--{entrance}", "127.0.0.1:0", "--wsgi-file", APP, "--worker-reload-mercy=3")
    with WebSocket(program.address) as client:
        assert client.ask("x") == "x"
        program.popen.send_signal(signal.SIGTERM)
        client.closed()
        assert program.wait() == 0


def test_without_the_option_there_are_none(uwgate: Start) -> None:
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", APP, "--http-websockets=false")
    with pytest.raises(ConnectionRefusedError):
        WebSocket(program.address)


def test_a_connection_goes_on_beside_websockets(uwgate: Start) -> None:
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", APP, "-p2")
    with Connection(program.address) as plain, WebSocket(program.address) as client:
        for _ in range(3):
            assert client.ask("x") == "x"
            plain.send(request(target="/page"))
            assert plain.answer().body == b"page"


# Chunked bodies


def test_raw_bodies_reach_chunked_read_of_uwsgi(uwgate: Start, folder: Path) -> None:
    path = str(folder / "backend.sock")
    body = os.urandom(300_000)
    with real_uwsgi(folder, "--socket", path, threads=1):
        program = uwgate("--http", "127.0.0.1:0", "--http-to", path, "--http-raw-body")
        answer = ask(program.address, request("POST", "/chunks", body=body, chunked=True))
        assert answer.body == b"300000"


def test_chunked_read_works_without_it_in_our_workers(uwgate: Start) -> None:
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", APP)
    body = os.urandom(300_000)
    answer = ask(program.address, request("POST", "/chunks", body=body, chunked=True))
    assert answer.body == b"300000"
