"""Functions that others call over a worker's uwsgi socket."""

from __future__ import annotations

import struct

import pytest

from tests.workers.conftest import Serve
from tests.workers.gateway import parse_http, variables
from uwgate.gateways.wire.uwsgi import HEADER, PacketError, encode
from uwgate.workers.rpc import Functions
from uwgate.workers.rpc_server import PACKET, RAW, answer, answer_web, read_call

APP = """
import uwsgi

uwsgi.register_rpc("hello", lambda *given: b"hello " + b",".join(given))
uwsgi.register_rpc("large", lambda: b"x" * 70000)
uwsgi.register_rpc("broken", lambda: 1 / 0)

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"app"]
"""


def array(*items: bytes) -> bytes:
    return b"".join(struct.pack("<H", len(item)) + item for item in items)


def functions() -> Functions:
    found = Functions()
    found.register(b"join", lambda *given: b",".join(given))
    found.register(b"large", lambda: b"x" * 65536)
    found.register(b"none", lambda: None)
    found.register(b"broken", lambda: 1 / 0)
    return found


def test_a_call_is_an_array() -> None:
    assert read_call(array(b"f")) == (b"f", ())
    assert read_call(array(b"f", b"", b"ab")) == (b"f", (b"", b"ab"))


@pytest.mark.parametrize(
    "block", [b"", b"\5", b"\5\0abc", array(b"f") + b"\1", array(*[b"x"] * 257)]
)
def test_what_is_no_array_is_refused(block: bytes) -> None:
    with pytest.raises(PacketError):
        read_call(block)


def test_a_result_comes_as_it_was_asked_for() -> None:
    call = array(b"join", b"a", b"b")
    assert answer(functions(), call, PACKET) == HEADER.pack(173, 3, 0) + b"a,b"
    assert answer(functions(), call, RAW) == b"a,b"


def test_a_result_that_no_packet_holds_stands_behind_one() -> None:
    packet = encode(((b"CONTENT_LENGTH", b"65536"),), 173, 5)
    assert answer(functions(), array(b"large"), PACKET) == packet + b"x" * 65536


@pytest.mark.parametrize("name", [b"none", b"broken", b"other"])
def test_without_a_result_nothing_is_said(name: bytes) -> None:
    assert answer(functions(), array(name), PACKET) == b""
    assert answer(functions(), array(name), RAW) == b""


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/join/a/b", b"200 OK", b"a,b"),
        ("//join//a/", b"200 OK", b"a"),
        ("/none", b"404 Not Found", b"Not Found"),
        ("/other", b"404 Not Found", b"Not Found"),
        ("/", b"500 Internal Server Error", b"Internal Server Error"),
    ],
)
def test_a_path_is_a_call(path: str, status: bytes, body: bytes) -> None:
    head, _, found = answer_web(functions(), {"PATH_INFO": path})
    assert (head.split(b"\r\n")[0], found) == (status, body)
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("text/x", "text/x"), ("", "application/binary"), ("a\r\nX: y", "application/binary")],
)
def test_the_type_is_what_the_client_accepts(accept: str, kind: str) -> None:
    head, _, _ = answer_web(functions(), {"PATH_INFO": "/join/a", "HTTP_ACCEPT": accept})
    assert head.split(b"\r\n")[1] == f"Content-Type: {kind}".encode()


def ask(serve: Serve, modifier2: int, block: bytes) -> bytes:
    with serve(APP).connect("uwsgi") as sock:
        sock.sendall(HEADER.pack(173, len(block), modifier2) + block)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_worker_answers_calls(serve: Serve) -> None:
    assert ask(serve, 0, array(b"hello", b"you")) == HEADER.pack(173, 9, 0) + b"hello you"
    assert ask(serve, 1, array(b"large")) == b"x" * 70000
    found = parse_http(ask(serve, 2, encode(variables(path="/hello/you"))[4:]))
    assert (found.status, found.body) == (b"HTTP/1.1 200 OK", b"hello you")


def test_a_worker_serves_on_after_nonsense(serve: Serve) -> None:
    instance = serve(APP)
    for modifier2, block in (
        (0, b"\xff\xffx"),
        (0, b""),
        (2, b"\xff"),
        (4, b""),
        (0, array(b"broken")),
    ):
        with instance.connect("uwsgi") as sock:
            sock.sendall(HEADER.pack(173, len(block), modifier2) + block)
            assert sock.recv(100) == b""
    with instance.connect("uwsgi") as sock:
        sock.sendall(HEADER.pack(173, 7, 0) + array(b"hello"))
        assert sock.recv(100) == HEADER.pack(173, 6, 0) + b"hello "
