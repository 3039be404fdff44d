"""Clients that are slow, idle, many, or ask for too much; and applications that misbehave."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import time
from typing import TYPE_CHECKING

import pytest

from .client import Connection, ask, chunks, request
from .peers import uwsgi
from .processes import APPS, PATIENCE, rss, running_uwgate
from .yardstick import is_done_within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start
    from .processes import Uwgate

WITNESS = ("--wsgi-file", str(APPS / "witness.py"))
IDLE_CLIENTS = 10_000
LARGE = b"0123456789abcde\n" * 3840  # what the application sends as /large


def test_a_client_that_sends_nothing_or_a_byte_at_a_time_is_let_go(uwgate: Start) -> None:
    program = uwgate("--http", "127.0.0.1:0", *WITNESS, "--http-headers-timeout", "1")
    with Connection(program.address) as connection:
        assert connection.status_or_nothing() in (408, None)
        assert connection.ended()
    with Connection(program.address) as connection:
        for byte in request(headers=[("X-Long", "x" * 2000)])[:-1]:
            connection.send_what_it_takes(bytes([byte]))
            if select.select([connection.sock], [], [], 0.1)[0]:  # its slowness: ten bytes a second
                break
        assert connection.answer().status == 408
        assert connection.ended()
    assert ask(program.address, request()).status == 200


def test_a_body_that_stops_coming_is_given_up(uwgate: Start) -> None:
    program = uwgate("--http", "127.0.0.1:0", *WITNESS, "--http-timeout", "1")
    with Connection(program.address) as connection:
        connection.send(request("POST", "/size", (), b"x" * 1000)[:-10])
        assert connection.status_or_nothing() in (408, 500, 502, None)
        assert connection.ended()
    # A second is short also for whoever is served next.
    program.wait_for(lambda: ask(program.address, request()).status == 200, "answer for others")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """This process may open as many files as it is ever allowed to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE_CLIENTS + 500:
        pytest.skip(f"{hard} descriptors are too few (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def seconds_until_answered(program: Uwgate) -> float:
    start = time.monotonic()
    assert ask(program.address, request()).status == 200
    return time.monotonic() - start


@pytest.mark.alone
@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("served", [False, True], ids=["silent", "kept"])
def test_ten_thousand_idle_clients_keep_nobody_waiting(uwgate: Start, served: bool) -> None:
    program = uwgate(
        "--http", "127.0.0.1:0", *WITNESS, "--http-headers-timeout=600", "--http-keepalive=600"
    )
    assert ask(program.address, request()).status == 200
    gateway = program.processes("http")[0]
    with contextlib.ExitStack() as stack:
        for number in range(IDLE_CLIENTS):
            client = socket.create_connection(program.address, PATIENCE)
            stack.callback(client.close)
            if served or number == IDLE_CLIENTS - 1:
                client.sendall(request())
                assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert is_done_within(2, lambda: seconds_until_answered(program))
        assert rss(gateway) < 100 << 20
    assert ask(program.address, request()).status == 200


def test_slow_clients_do_not_hold_up_fast_ones(uwgate: Start) -> None:
    patience = f"--http-headers-timeout={2 * PATIENCE}"
    program = uwgate("--http", "127.0.0.1:0", *WITNESS, "-p2", patience)
    assert ask(program.address, request()).status == 200
    slow_head = request(headers=[("X-Slow", "x" * 100)])
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(Connection(program.address)) for _ in range(100)]
        readers = [stack.enter_context(Connection(program.address)) for _ in range(100)]
        for reader in readers:
            reader.send(request("GET", "/large"))
        # None of the slow ones gets on before the fast ones are done: who waited for them, even
        # for a while, would do so for ever.
        for byte in slow_head[:50]:
            for writer in writers:
                writer.send(bytes([byte]))
            assert ask(program.address, request()).body == b"ok\n"
        # Slow is not wrong: everyone gets his answer in the end.
        for writer in writers:
            writer.send(slow_head[50:])
        assert all(writer.answer().body == b"ok\n" for writer in writers)
        assert all(reader.answer().body == LARGE for reader in readers)


@pytest.fixture(scope="module")
def program(shared_folder: Path) -> Iterator[Uwgate]:
    """One with two workers, for all who want nothing else."""
    arguments = ("--http", "127.0.0.1:0", *WITNESS, "-p2", "--http-headers-timeout=600")
    with running_uwgate(*arguments, folder=shared_folder) as program:
        yield program


def test_slow_writers_are_answered_when_they_are_done(program: Uwgate) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Connection(program.address)) for _ in range(100)]
        data = request("POST", "/size", (), b"x" * 20)
        for byte in data:
            for client in clients:
                client.send(bytes([byte]))
        assert {client.answer().body for client in clients} == {b"20"}


@pytest.fixture(scope="module", params=["http", "http-socket"])
def limited(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[Uwgate]:
    """One that takes bodies of 10000 bytes."""
    folder = shared_folder / request.param
    folder.mkdir()
    arguments = (f"--{request.param}", "127.0.0.1:0", *WITNESS, "--limit-post", "10000")
    with running_uwgate(*arguments, folder=folder) as program:
        yield program


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_larger_than_limit_post_gets_413(limited: Uwgate, chunked: bool) -> None:
    program = limited
    ask_size = request("POST", "/size", (), b"x" * 10000, chunked=chunked)
    assert ask(program.address, ask_size).body == b"10000"
    with Connection(program.address) as connection:
        body = b"x" * 20000
        if chunked:
            head = request("POST", "/size", [("Transfer-Encoding", "chunked")])
            connection.send_what_it_takes(head + b"".join(chunks(body)))
        else:
            connection.send_what_it_takes(request("POST", "/size", (), body))
        assert connection.answer().status == 413
    assert ask(program.address, ask_size).body == b"10000"


def test_a_client_that_waits_for_100_continue_gets_it(program: Uwgate) -> None:
    with Connection(program.address) as connection:
        fields = [("Expect", "100-continue"), ("Content-Length", "5")]
        connection.send(request("POST", "/size", fields))
        assert connection.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert connection.file.readline() == b"\r\n"
        connection.send(b"abcde")
        assert connection.answer().body == b"5"


def test_pipelined_requests_are_answered_in_order(program: Uwgate) -> None:
    with Connection(program.address) as connection:
        bodies = [b"x" * number for number in range(20)]
        connection.send(b"".join(request("POST", "/size", (), body) for body in bodies))
        assert [int(connection.answer().body) for _ in bodies] == list(range(20))


def test_a_client_that_shuts_its_side_still_gets_the_answer(program: Uwgate) -> None:
    with Connection(program.address) as connection:
        connection.send(request("GET", "/sleep?seconds=0.3"))
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.answer().body == b"slept\n"
        assert connection.ended()


def test_an_exception_becomes_500_and_one_traceback(program: Uwgate) -> None:
    program.tracebacks_expected = True
    with Connection(program.address) as connection:
        connection.send(request("GET", "/error"))
        answer = connection.answer()
        assert answer.status == 500
        assert b"as asked for" not in answer.body
    program.wait_for_log("RuntimeError: as asked for")
    assert ask(program.address, request()).status == 200
    assert program.log.count("Traceback") == 1


def test_an_application_that_returns_str_gives_500_and_says_so(uwgate: Start) -> None:
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", str(APPS / "returns_str.py"))
    program.tracebacks_expected = True
    assert ask(program.address, request()).status == 500
    program.wait_for_log(r"\bstr\b")
    assert ask(program.address, request("GET", "/bytes")).body == b"bytes\n"


def test_ctrl_c_lets_a_running_request_finish(uwgate: Start) -> None:
    program: Uwgate = uwgate("--http", "127.0.0.1:0", *WITNESS)
    assert ask(program.address, request()).status == 200
    marker = program.log_path.with_name("marker")
    with Connection(program.address) as connection:
        connection.send(request("GET", f"/sleep?seconds=1&marker={marker}"))
        program.wait_for(marker.exists, "running request")
        program.popen.send_signal(2)
        assert connection.answer().body == b"slept\n"
        assert connection.ended()
    assert program.wait() == 0


def test_a_backend_that_is_down_is_passed_over(uwgate: Start, folder: Path) -> None:
    there, nowhere = f"{folder}/there.sock", f"{folder}/nowhere.sock"
    with uwsgi(folder, "--socket", there):
        program = uwgate("--http=127.0.0.1:0", "--http-to", nowhere, "--http-to", there)
        statuses = [ask(program.address, request()).status for _ in range(10)]
    assert statuses == [200] * 10


def test_without_a_backend_the_answer_says_so(uwgate: Start, folder: Path) -> None:
    program = uwgate("--http=127.0.0.1:0", "--http-to", f"{folder}/nowhere.sock")
    assert ask(program.address, request()).status in (502, 503)
