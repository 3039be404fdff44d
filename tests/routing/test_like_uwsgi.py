"""The same rules mean the same to the real uWSGI 2.0.31 and to us."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import shared_folder
from tests.e2e.peers import program
from tests.e2e.processes import Process

from .examples import ALIKE, DIFFERENT, Ask, Example
from .simulation import Response, Server

__all__ = ["shared_folder"]

APP = Path(__file__).with_name("mirror.py")
PATIENCE = 20.0  # seconds


class Uwsgi:
    """A real uWSGI with the rules of an example."""

    def __init__(self, folder: Path, number: int, rules: Example) -> None:
        self.rules = rules
        self.address = str(folder / f"{number}.sock")
        lines = [
            "[uwsgi]",
            f"http-socket = {self.address}",
            f"wsgi-file = {APP}",
            "need-app = true",
            "buffer-size = 65535",
            *rules.extra,
            *(line.replace("%", "%%") for line in rules.lines),
        ]
        ini = folder / f"{number}.ini"
        ini.write_text("\n".join(lines) + "\n")
        self.process = Process([program("uwsgi"), str(ini)], folder=folder, name=f"uwsgi-{number}")

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


@pytest.fixture(scope="module")
def servers(shared_folder: Path) -> Iterator[dict[str, Uwsgi]]:
    """All of them, started side by side."""
    with ExitStack() as stack:
        started: dict[str, Uwsgi] = {}
        for number, rules in enumerate((*ALIKE, DIFFERENT)):
            server = started[rules.name] = Uwsgi(shared_folder, number, rules)
            stack.callback(kill, server.process)
        yield started


def kill(process: Process) -> None:
    """End it at once: nothing of it is needed any more."""
    process.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def ours() -> dict[str, Server]:
    """Our rules for each example; like uWSGI's, their caches last from request to request."""
    return {rules.name: Server(rules.lines) for rules in (*ALIKE, DIFFERENT)}


CASES = [
    pytest.param(rules.name, number, id=f"{rules.name}: {number} {ask.target}")
    for rules in ALIKE
    for number, ask in enumerate(rules.asks)
]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_request_gets_the_same_response(
    servers: dict[str, Uwsgi], ours: dict[str, Server], name: str, number: int
) -> None:
    ask = servers[name].rules.asks[number]
    expected = servers[name].ask(ask)
    assert ours[name].get(ask.target, ask.headers, ask.method) == expected


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
def test_a_difference_is_as_meant(
    servers: dict[str, Uwsgi], ours: dict[str, Server], target: str
) -> None:
    theirs = servers[DIFFERENT.name].ask(Ask(target))
    assert OURS[target] in ours[DIFFERENT.name].get(target).body
    assert OURS[target] not in theirs.body


def test_a_body_goes_out_once_behind_flush(
    servers: dict[str, Uwsgi], ours: dict[str, Server]
) -> None:
    ask = Ask("/pieces/flush")
    assert servers[DIFFERENT.name].ask(ask).body == b"alpha-beta\nalpha-beta\n"
    assert ours[DIFFERENT.name].get(ask.target).body == b"alpha-beta\n"


def test_an_answer_with_a_line_end_in_a_header_is_not_given(
    servers: dict[str, Uwsgi], ours: dict[str, Server]
) -> None:
    ask = Ask("/crlf%0d%0aX:%20y")
    assert (b"X", b"y") in servers[DIFFERENT.name].ask(ask).headers
    assert ours[DIFFERENT.name].get(ask.target) == Response(None)


def test_a_rule_of_the_response_removes_what_the_application_set(
    servers: dict[str, Uwsgi], ours: dict[str, Server]
) -> None:
    header = (b"X-App", b"1")
    assert header in servers[DIFFERENT.name].ask(Ask("/remove")).headers
    assert header not in ours[DIFFERENT.name].get("/remove").headers
