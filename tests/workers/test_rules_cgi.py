"""Requests that a worker's rules hand to FastCGI and SCGI backends."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.gateways.wire.fastcgi import END, Asked, answer, record
from tests.routing.simulation import Response
from tests.workers.backends import PATIENCE, backend
from tests.workers.test_rules_forwarding import Text
from tests.workers.visits import Ruled
from uwgate.gateways.wire.fastcgi import STDERR, STDOUT, encode_body

HEAD = b"Status: 201 Made\r\nA: b\r\n"
NO_BODY = encode_body(b"")


def test_a_fastcgi_backend_gets_the_variables_and_its_answer_is_passed_on(tmp_path: Path) -> None:
    with backend(tmp_path, answer(HEAD + b"\r\n" + b"x" * 3000), until=NO_BODY) as there:
        rules = [
            "route-run = addvar:SCRIPT_FILENAME=/srv/x.php",
            f"route-run = fcgi:{there.address}",
        ]
        sink = Ruled(rules).ask("/a?b", {"X-Y": "z"})
        assert sink.response == Response(b"201 Made", ((b"A", b"b"),), b"x" * 3000)
        asked = Asked.read(there.received)
        assert asked is not None
        assert asked.variables[b"SCRIPT_FILENAME"] == b"/srv/x.php"
        assert asked.variables[b"HTTP_X_Y"] == b"z"
        assert asked.variables[b"CONTENT_LENGTH"] == b""
        assert asked.body == b""


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_goes_in_records_with_its_length(tmp_path: Path, announced: bool) -> None:
    with backend(tmp_path, answer(HEAD + b"\r\n"), until=NO_BODY) as there:
        body = Text(b"x" * 100_000, announced=announced)
        Ruled([f"route-run = fcgi:{there.address}"]).ask("/", method="POST", body=body)
        asked = Asked.read(there.received)
        assert asked is not None
        assert asked.variables[b"CONTENT_LENGTH"] == b"100000"
        assert asked.body == b"x" * 100_000


@pytest.mark.parametrize("announced", [True, False])
def test_an_scgi_backend_gets_a_netstring_and_the_body(tmp_path: Path, announced: bool) -> None:
    with backend(tmp_path, HEAD + b"\r\nhello", until=b",xyz") as there:
        body = Text(b"xyz", announced=announced)
        sink = Ruled([f"route-run = scgi:{there.address}"]).ask("/", method="POST", body=body)
        assert sink.response == Response(b"201 Made", ((b"A", b"b"),), b"hello")
        size, _, rest = there.received.partition(b":")
        assert rest[: int(size)].startswith(b"CONTENT_LENGTH\x003\0SCGI\x001\0")
        assert rest[int(size) :] == b",xyz"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        record(STDOUT, HEAD),
        record(STDOUT, HEAD) + END,
        END,
        record(3, b"\0\0\0\0\2\0\0\0"),
        answer(b"hello\r\n\r\n"),
        answer(b"Status: 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
    ],
)
def test_an_answer_in_fastcgi_that_is_none_is_502(tmp_path: Path, reply: bytes) -> None:
    with backend(tmp_path, reply, until=NO_BODY) as there:
        response = Ruled([f"route-run = fcgi:{there.address}"]).get("/")
        assert response.status == b"502 Bad Gateway"


@pytest.mark.parametrize(
    "reply",
    [
        record(STDOUT, HEAD + b"\r\nhell"),
        record(STDOUT, HEAD + b"Content-Length: 5\r\n\r\nhell") + END,
    ],
)
def test_a_body_that_is_cut_short_is_not_ended(tmp_path: Path, reply: bytes) -> None:
    with backend(tmp_path, reply, until=NO_BODY) as there:
        sink = Ruled([f"route-run = fcgi:{there.address}"]).ask("/")
        assert sink.aborted
        assert not sink.last


@pytest.mark.parametrize("protocol", ["fcgi", "scgi"])
def test_a_backend_that_is_not_there_is_502(tmp_path: Path, protocol: str) -> None:
    response = Ruled([f"route-run = {protocol}:{tmp_path}/nobody"]).get("/")
    assert response.status == b"502 Bad Gateway"


def test_errors_that_come_before_the_body_is_sent_do_not_end_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "backend.sock"))
    listener.listen()
    listener.settimeout(PATIENCE)
    found: list[Asked | None] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            connection.sendall(record(STDERR, b"a notice\n"))
            data = b""
            while (asked := Asked.read(data)) is None:
                data += connection.recv(65536)
            found.append(asked)
            connection.sendall(answer(HEAD + b"\r\nhello"))

    thread = threading.Thread(target=serve)
    thread.start()
    body = Text(b"x" * (4 << 20))
    ruled = Ruled([f"route-run = fcgi:{tmp_path}/backend.sock"])
    sink = ruled.ask("/", method="POST", body=body)
    thread.join(PATIENCE)
    listener.close()
    assert sink.response.body == b"hello"
    assert found[0] is not None
    assert len(found[0].body) == 4 << 20
    assert "a notice" in capfd.readouterr().err
