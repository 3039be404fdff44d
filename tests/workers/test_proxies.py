"""Proxies in front of a worker's HTTP sockets, against a real worker."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from tests.workers.conftest import Serve
from tests.workers.gateway import parse_http
from uwgate.gateways.wire.proxy_protocol import SIGNATURE, ProxyHeader, encode_v2

SHOW = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [repr({key: str(environ[key]) for key in environ}).encode()]
"""
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
V2 = encode_v2(ProxyHeader(source=("203.0.113.7", 56324), destination=("192.0.2.1", 443)))
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLAIMS = (
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
)
ON: dict[str, Any] = {"enable_proxy_protocol": True}
ROLES = ("http-socket", "http11-socket")


def show(serve: Serve, data: bytes, role: str = "http-socket", **options: Any) -> dict[str, str]:
    """The environ that the application sees; empty if the connection is just closed."""
    with serve(SHOW, **options).connect(role) as sock:
        sock.sendall(data)
        sock.shutdown(1)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    if not answer:
        return {}
    response = parse_http(answer)
    assert response.status == b"HTTP/1.1 200 OK", answer
    body = response.body
    found = ast.literal_eval(body[body.index(b"{") : body.rindex(b"}") + 1].decode())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("header", [V1, V2])
def test_the_client_is_whom_the_header_names(serve: Serve, role: str, header: bytes) -> None:
    seen = show(serve, header + GET, role, **ON)
    assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("203.0.113.7", "56324")
    assert (seen["SERVER_ADDR"], seen["SERVER_PORT"]) == ("192.0.2.1", "443")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"])
def test_unknown_and_local_leave_the_proxys_own_address(serve: Serve, header: bytes) -> None:
    seen = show(serve, header + GET, **ON)
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert "SERVER_ADDR" not in seen


@pytest.mark.parametrize("data", [GET, V1[:20], b"PROXY TCP4 nonsense\r\n" + GET, b""])
def test_without_a_good_header_nothing_runs(serve: Serve, data: bytes) -> None:
    assert show(serve, data, **ON) == {}


def test_the_gateways_option_is_not_the_workers(serve: Serve) -> None:
    assert show(serve, GET, http_enable_proxy_protocol=True)["REMOTE_ADDR"] == "127.0.0.1"


def test_from_others_there_is_no_header(serve: Serve) -> None:
    seen = show(serve, GET, **ON, http_proxy_protocol_from=("192.0.2.0/24",))
    assert seen["REMOTE_ADDR"] == "127.0.0.1"


def test_what_a_trusted_proxy_says_of_its_client_counts(serve: Serve) -> None:
    seen = show(serve, CLAIMS)
    assert (seen["wsgi.url_scheme"], seen["HTTP_X_FORWARDED_FOR"]) == ("https", "1.2.3.4")


@pytest.mark.parametrize("header", [V1, b"PROXY UNKNOWN\r\n"])
def test_what_a_client_says_of_itself_does_not(serve: Serve, header: bytes) -> None:
    seen = show(serve, header + CLAIMS, **ON)
    assert seen["wsgi.url_scheme"] == "http"
    assert not [key for key in seen if "FORWARDED" in key]
