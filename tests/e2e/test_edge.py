"""Proxies in front of a running instance, and clients that take too much of it."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from .client import Connection, ask, request
from .peers import program, uwsgi
from .processes import APPS
from .tls import curl, make_site

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Start

MIRROR = ("--wsgi-file", str(APPS / "mirror.py"))
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
DIFFERENCES = ("--wsgi-file", str(APPS / "differences.py"))


def test_curl_as_a_proxy_says_who_it_is(uwgate: Start) -> None:
    server = uwgate("--http=127.0.0.1:0", "--http-enable-proxy-protocol", *DIFFERENCES)
    host, port = server.address
    argv = [program("curl"), "-sS", "--haproxy-protocol", "--local-port", "41000-41999"]
    done = subprocess.run(
        [*argv, f"http://{host}:{port}/show"], check=True, capture_output=True, timeout=120
    )
    assert b"REMOTE_ADDR='127.0.0.1'" in done.stdout
    assert b"REMOTE_PORT='41" in done.stdout


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_the_header_stands_before_tls(uwgate: Start, folder: Path, version: str) -> None:
    site = make_site(folder)
    server = uwgate(site.https(), "--http-enable-proxy-protocol", "--https-hsts=600", *DIFFERENCES)
    host, port = server.address
    options = [version, "--haproxy-protocol", "--local-port", "41000-41999", "-D-"]
    done = curl(*options, f"https://{host}:{port}/show", site=site)
    assert b"REMOTE_PORT='41" in done
    assert b"wsgi.url_scheme='https'" in done
    assert done.lower().count(b"strict-transport-security: max-age=600") == 1


@pytest.mark.parametrize("way", ["http", "http-socket"])
def test_the_header_is_demanded_of_proxies(uwgate: Start, way: str) -> None:
    server = uwgate(f"--{way}=127.0.0.1:0", "--enable-proxy-protocol", *DIFFERENCES)
    shown = ask(server.address, V1 + request("GET", "/show")).body
    assert b"REMOTE_ADDR='203.0.113.7'" in shown
    assert b"REMOTE_PORT='56324'" in shown
    with Connection(server.address) as connection:
        connection.send(request("GET", "/show"))
        assert connection.status_or_nothing() is None
        assert connection.ended()
    server.wait_for_log("no PROXY header")


def test_a_real_uwsgi_behind_believes_what_is_left(uwgate: Start, folder: Path) -> None:
    fields = [("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "198.51.100.1")]
    with uwsgi(folder, "--socket", str(folder / "uwsgi")):
        for trusted, scheme in (("loopback", "https"), ("none", "http")):
            server = uwgate(
                "--http=127.0.0.1:0",
                f"--http-to={folder / 'uwsgi'}",
                "-p0",
                f"--http-trust-forwarded={trusted}",
                name=f"uwgate-{trusted}",
            )
            seen = ask(server.address, request(headers=fields)).json()
            assert seen["scheme"] == scheme
            assert ("HTTP_X_FORWARDED_FOR" in seen["headers"]) is (trusted == "loopback")
            server.stop()


def test_one_client_leaves_room_for_others(uwgate: Start) -> None:
    server = uwgate(
        "--http=127.0.0.1:0",
        "--http-enable-proxy-protocol",
        "--http-client-connections=3",
        *MIRROR,
    )
    clients = [Connection(server.address) for _ in range(4)]
    try:
        for client in clients[:3]:
            client.send(V1 + request())
            assert client.answer().status == 200
        clients[3].send(V1)
        assert clients[3].ended()
        other = V1.replace(b"113.7", b"113.8")
        assert ask(server.address, other + request()).status == 200
    finally:
        for client in clients:
            client.close()
    server.wait_for_log("203.0.113.7:56324: closed, the client has too many connections")


def test_connections_end_with_their_quota_and_no_request_is_lost(uwgate: Start) -> None:
    server = uwgate("--http=127.0.0.1:0", "--http-connection-requests=5", *MIRROR)
    with Connection(server.address) as connection:
        for number in range(5):
            connection.send(request())
            answer = connection.answer()
            assert answer.status == 200
            assert ("Connection" in answer) is (number == 4)
        assert connection.ended()


def test_a_flood_of_bad_requests_is_a_few_lines_and_a_count(uwgate: Start) -> None:
    server = uwgate("--http=127.0.0.1:0", *MIRROR)
    for _ in range(50):
        assert ask(server.address, b"BAD\r\n\r\n").status == 400

    def told() -> list[int]:
        """How many were told of one by one, and how many in each summary."""
        more = re.findall(r"answer-400: (\d+) more in the last 10 s", server.log)
        return [server.log.count("malformed request line"), *map(int, more)]

    server.wait_for(lambda: sum(told()) == 50, "count of all")
    assert told()[0] <= 10 * len(told())  # a period of ten seconds may end in between
