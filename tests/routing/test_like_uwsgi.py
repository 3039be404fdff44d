"""The same rules mean the same to the real uWSGI 2.0.31 and to us."""

from __future__ import annotations

import dataclasses
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import folder, shared_folder
from tests.e2e.peers import program
from tests.e2e.processes import Process

from .examples import ALIKE, DIFFERENT, Ask, Example
from .simulation import Response, Server

__all__ = ["folder", "shared_folder"]

APP = Path(__file__).with_name("mirror.py")
PATIENCE = 60.0  # seconds


class Uwsgi:
    """A real uWSGI with the rules of an example."""

    def __init__(self, folder: Path, rules: Example) -> None:
        self.address = str(folder / "http.sock")
        lines = [
            "[uwsgi]",
            f"http-socket = {self.address}",
            f"wsgi-file = {APP}",
            "need-app = true",
            "buffer-size = 65535",
            *rules.extra,
            *(line.replace("%", "%%") for line in rules.lines),
        ]
        ini = folder / "rules.ini"
        ini.write_text("\n".join(lines) + "\n")
        self.process = Process([program("uwsgi"), str(ini)], folder=folder, name="uwsgi")

    def ask(self, ask: Ask) -> Response:
        self.process.wait_for_log("spawned uWSGI worker 1")
        head = [f"{ask.method} {ask.target} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in ask.headers.items()]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.address)
            connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
            data = b""
            while received := connection.recv(65536):
                data += received
        return parse(data)


def parse(data: bytes) -> Response:
    """What came over the wire."""
    if not data.startswith(b"HTTP/"):
        return Response(None, (), data)
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.split(b"\r\n")
    headers = tuple((name, value) for name, _, value in (one.partition(b": ") for one in rest))
    return Response(line.partition(b" ")[2], headers, body)


@contextmanager
def running(folder: Path, rules: Example) -> Iterator[Uwsgi]:
    """The real uWSGI with these rules, for the length of a block."""
    server = Uwsgi(folder, rules)
    try:
        yield server
    finally:
        server.process.stop(signal.SIGKILL)  # nothing of it is needed any more


@pytest.mark.parametrize("rules", ALIKE, ids=lambda rules: rules.name)
def test_an_example_gets_the_same_responses(folder: Path, rules: Example) -> None:
    ours = Server(rules.lines)
    with running(folder, rules) as theirs:
        expected = [(ask, theirs.ask(ask)) for ask in rules.asks]
    found = [
        (ask, without_vary(ours.get(ask.target, ask.headers, ask.method))) for ask in rules.asks
    ]
    assert found == expected


def without_vary(response: Response) -> Response:
    """Ours adds that field to what it compresses; uWSGI does not."""
    headers = tuple(pair for pair in response.headers if pair[0] != b"Vary")
    return dataclasses.replace(response, headers=headers)


@pytest.fixture(scope="module")
def theirs(shared_folder: Path) -> Iterator[Uwsgi]:
    """The real uWSGI with rules that mean something else to us."""
    with running(shared_folder, DIFFERENT) as server:
        yield server


@pytest.fixture(scope="module")
def ours() -> Server:
    """Our rules for the same."""
    return Server(DIFFERENT.lines)


def shown(text: str) -> bytes:
    """A line of the application's body."""
    return text.encode() + b"\n"


OURS = {
    "/inject/$%7BREMOTE_ADDR%7D": shown("TAG=${REMOTE_ADDR}"),
    "/divide": shown("TAG=4"),
    "/below": shown("TAG=-1"),
    "/user": shown("TAG2=joe"),
    "/308": b"Permanent Redirect",
    "/upper": shown("TAG=/UPPER"),
    "/path": shown("TAG=other"),
    "/hidden": shown("PATH_INFO=/b"),
    "/sent": b"aNot Found",
}


@pytest.mark.parametrize("target", OURS)
def test_a_difference_is_as_meant(theirs: Uwsgi, ours: Server, target: str) -> None:
    assert OURS[target] in ours.get(target).body
    assert OURS[target] not in theirs.ask(Ask(target)).body


def test_a_body_goes_out_once_behind_flush(theirs: Uwsgi, ours: Server) -> None:
    ask = Ask("/pieces/flush")
    assert theirs.ask(ask).body == b"alpha-beta\nalpha-beta\n"
    assert ours.get(ask.target).body == b"alpha-beta\n"


def test_an_answer_with_a_line_end_in_a_header_is_not_given(theirs: Uwsgi, ours: Server) -> None:
    ask = Ask("/crlf%0d%0aX:%20y")
    assert (b"X", b"y") in theirs.ask(ask).headers
    assert ours.get(ask.target) == Response(None)


def test_a_rule_of_the_response_removes_what_the_application_set(
    theirs: Uwsgi, ours: Server
) -> None:
    header = (b"X-App", b"1")
    assert header in theirs.ask(Ask("/remove")).headers
    assert header not in ours.get("/remove").headers
