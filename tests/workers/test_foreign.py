"""Packets of a web server on a lease: as on a uwsgi socket, and the lease goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workers.conftest import Serve
from tests.workers.gateway import HELLO_WORLD, Gateway, variables
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire import uwsgi

TEXT = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
SEEN = """
def application(environ, start_response):
    start_response("200 OK", [])
    names = ("SCRIPT_NAME", "PATH_INFO", "wsgi.url_scheme")
    body = environ["wsgi.input"].read().decode()
    return [" ".join([*(environ[name] for name in names), body]).encode()]
"""


def ask(
    gateway: Gateway, *, modifier1: int = 0, flags: int = 0, body: bytes = b"", **more: str
) -> tuple[int, bytes, bytes]:
    """The one frame that answers a web server's request."""
    pairs = [(key, value) for key, value in variables(**more) if value or key != b"SCRIPT_NAME"]
    gateway.sock.sendall(uwsgi.encode(pairs, modifier1, wire.FOREIGN | flags) + body)
    return gateway.read_frame()


def test_the_head_is_the_text_that_a_uwsgi_socket_would_send(serve: Serve) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        frame = (wire.HEAD | wire.LAST | wire.LENGTH, TEXT, b"hello")
        assert [ask(gateway) for _ in range(3)] == [frame] * 3


def test_the_next_request_of_our_own_gateway_gets_a_head_for_it(serve: Serve) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        assert ask(gateway)[1] == TEXT
        assert gateway.get().status == b"200 OK"


@pytest.mark.parametrize("protocol", ["", "HTTP/1.0", "HTTP/1.1\r\nX: y", "x" * 33])
def test_a_status_line_needs_a_protocol(serve: Serve, protocol: str) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        assert ask(gateway, SERVER_PROTOCOL=protocol)[1].startswith(b"HTTP/1.0 200 OK\r\n")


@pytest.mark.parametrize(
    ("expected", "modifier1", "more"),
    [
        (b" /a/b http ", 0, {}),
        (b"/a /a/b http ", 0, {"SCRIPT_NAME": "/a"}),
        (b"/a /b http ", 30, {"SCRIPT_NAME": "/a"}),
        (b" /a/b https ", 0, {"HTTPS": "on"}),
        (b" /a/b https ", 0, {"HTTP_X_FORWARDED_PROTO": "https"}),
        (b" /a/b http body", 0, {"CONTENT_LENGTH": "4"}),
    ],
)
def test_the_application_sees_what_it_sees_on_a_uwsgi_socket(
    serve: Serve, expected: bytes, modifier1: int, more: dict[str, Any]
) -> None:
    with Gateway(serve(SEEN).connect("lease")) as gateway:
        body = b"body" if "CONTENT_LENGTH" in more else b""
        assert ask(gateway, modifier1=modifier1, path="/a/b", body=body, **more)[2] == expected


def test_a_request_that_would_load_code_is_forbidden_and_the_lease_goes_on(serve: Serve) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        flags, head, body = ask(gateway, UWSGI_FILE="/etc/passwd")
        assert flags & wire.LAST
        assert not flags & wire.GOODBYE
        assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 403 Forbidden", b"Forbidden")
        assert ask(gateway)[2] == b"hello"


@pytest.mark.parametrize(
    "more",
    [{"method": ""}, {"PAD": "x" * 20000}, {f"V{n}": "" for n in range(1100)}],
    ids=["no method", "buffer-size", "max-vars"],
)
def test_a_packet_that_a_uwsgi_socket_refuses_gets_400_and_a_goodbye(
    serve: Serve, more: dict[str, Any]
) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        flags, head, _ = ask(gateway, **more)
        assert flags & (wire.LAST | wire.GOODBYE) == wire.LAST | wire.GOODBYE
        assert head.split(b"\r\n")[0].endswith(b" 400 Bad Request")


def test_what_takes_a_request_from_the_queue_answers_it_in_its_own_way(serve: Serve) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway, gateway.attach() as inlet:
        packet = uwsgi.encode(variables(), 0, wire.MAY_TAKE)
        inlet.send(wire.NUMBER.pack(7) + packet)
        flags, head, _ = ask(gateway, flags=wire.MAY_TAKE)
        assert flags & wire.QUEUE
        assert (head, gateway.read_number()) == (TEXT, 7)
        assert gateway.read_answer().status == b"200 OK"


def test_a_lease_that_is_handed_over_is_a_connection_to_a_uwsgi_socket(serve: Serve) -> None:
    with Gateway(serve(SEEN).connect("lease")) as gateway:
        packet = uwsgi.encode(variables(CONTENT_LENGTH="6"), 0, wire.FOREIGN | wire.HANDED_OVER)
        gateway.sock.sendall(packet + b"bod")
        assert gateway.read_frame() == (wire.TAKEN, b"", b"")
        gateway.sock.sendall(b"ies")
        text = gateway.buffer
        while data := gateway.sock.recv(65536):
            text += data
        assert text == b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n / http bodies"


@pytest.mark.parametrize("flags", [0, wire.FOREIGN, wire.FOREIGN | wire.HANDED_OVER])
def test_a_modifier_that_nobody_serves_ends_the_lease(serve: Serve, flags: int) -> None:
    with Gateway(serve(HELLO_WORLD).connect("lease")) as gateway:
        gateway.sock.sendall(uwsgi.encode(variables(), 5, flags))
        with pytest.raises(EOFError):
            gateway.read_frame()
