"""uwsgi sockets against a real worker."""

from __future__ import annotations

import pytest

from tests.workers.conftest import Serve
from tests.workers.gateway import HELLO_WORLD, parse_http, variables
from uwgate.gateways.wire import uwsgi

SCHEME = """
def application(environ, start_response):
    start_response("200 OK", [])
    names = ("wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO")
    return [" ".join(environ[name] for name in names).encode()]
"""


def ask(serve: Serve, data: bytes, app: str = HELLO_WORLD, **options: object) -> bytes:
    with serve(app, **options).connect("uwsgi") as sock:
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_the_answer_is_raw_http_without_additions(serve: Serve) -> None:
    assert ask(serve, uwsgi.encode(variables())) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    )


def test_a_ping_gets_a_pong(serve: Serve) -> None:
    assert ask(serve, uwsgi.PING) == uwsgi.PONG


def test_an_unknown_modifier_is_closed_and_logged(serve: Serve) -> None:
    instance = serve(HELLO_WORLD)
    with instance.connect("uwsgi") as sock:
        sock.sendall(uwsgi.encode(variables(), 5))
        assert sock.recv(100) == b""
    instance.wait_log("-- unavailable modifier requested: 5 --")


@pytest.mark.parametrize("name", ["UWSGI_FILE", "UWSGI_SCRIPT", "UWSGI_MODULE", "UWSGI_SETENV"])
def test_variables_that_load_code_are_refused(serve: Serve, name: str) -> None:
    answer = ask(serve, uwsgi.encode(variables(**{name: "/tmp/x.py"})))
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")


def test_variables_that_load_code_are_obeyed_on_request(serve: Serve) -> None:
    packet = uwsgi.encode(variables(UWSGI_MODULE="app", UWSGI_CALLABLE="other"))
    app = HELLO_WORLD + "\ndef other(e, s):\n    s('200 OK', [])\n    return [b'other']\n"
    assert ask(serve, packet, app, allow_dynamic_apps=True).endswith(b"\r\n\r\nother")


@pytest.mark.parametrize(
    ("more", "scheme"),
    [
        ({}, b"http"),
        ({"HTTPS": "on"}, b"https"),
        ({"HTTPS": "1"}, b"https"),
        ({"HTTPS": "true"}, b"http"),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, b"https"),
        ({"UWSGI_SCHEME": "wss", "HTTPS": "on"}, b"wss"),
    ],
)
def test_the_front_end_says_the_scheme(serve: Serve, more: dict[str, str], scheme: bytes) -> None:
    answer = parse_http(ask(serve, uwsgi.encode(variables(**more)), SCHEME))
    assert answer.body.split()[0] == scheme


def test_modifier_30_takes_the_script_name_off_the_path(serve: Serve) -> None:
    packet = uwsgi.encode(variables(path="/app/x", SCRIPT_NAME="/app"), 30)
    assert parse_http(ask(serve, packet, SCHEME)).body == b"http /app /x"


def test_too_large_a_packet_is_closed_and_logged(serve: Serve) -> None:
    instance = serve(HELLO_WORLD, buffer_size=100)
    with instance.connect("uwsgi") as sock:
        sock.sendall(uwsgi.encode(variables())[:4])
        assert sock.recv(100) == b""
    instance.wait_log("invalid request block size")


def test_mounts_split_the_path(serve: Serve) -> None:
    packet = uwsgi.encode(variables(path="/other/x"))
    answer = ask(serve, packet, SCHEME, mount=("/other=app.py", "/oth=app.py"))
    assert parse_http(answer).body == b"http /other /x"
