"""HTTPS: curl and others over TLS 1.2 and 1.3, bodies, keep-alive, slow and odd clients."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest

from . import peers
from .client import Connection, Upload, ask, request
from .processes import APPS, Process, Uwgate, running_uwgate
from .tls import Secure, Site, client_context, curl, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start

UPLOAD = Upload(32)  # MiB
DOWNLOAD = bytes(range(256)) * 256 * 400  # what flask_site's /download/400 is


@pytest.fixture(scope="module")
def site(shared_folder: Path) -> Site:
    return make_site(shared_folder)


@pytest.fixture(scope="module")
def mirror(shared_folder: Path, site: Site) -> Iterator[Uwgate]:
    """The mirror application behind https and http-to-https."""
    folder = shared_folder / "mirror"
    folder.mkdir()
    application = str(APPS / "mirror.py")
    with running_uwgate(site.https(), "--wsgi-file", application, "-p2", folder=folder) as program:
        program.wait_for_log("generation 1 serves")
        yield program


@pytest.fixture(scope="module")
def flask(shared_folder: Path, site: Site) -> Iterator[Uwgate]:
    pytest.importorskip("flask")
    folder = shared_folder / "flask"
    folder.mkdir()
    arguments = (site.https(), "--module", "flask_site:app", "-p2", "--pythonpath", str(APPS))
    with running_uwgate(*arguments, folder=folder) as program:
        program.wait_for_log("generation 1 serves")
        yield program


def url(program: Uwgate, path: str = "/") -> str:
    return f"https://127.0.0.1:{program.address[1]}{path}"


@pytest.mark.parametrize(
    "options",
    [
        ("--http1.1",),
        ("--http2",),
        ("--http1.0",),
        ("--tls-max", "1.2"),
        ("--tlsv1.3",),
        ("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ],
    ids=lambda options: " ".join(options),
)
def test_curl_gets_a_page(mirror: Uwgate, site: Site, options: tuple[str, ...]) -> None:
    seen = json.loads(curl(*options, url(mirror, "/a%20b?c=d"), site=site))
    assert (seen["path"], seen["query"], seen["scheme"]) == ("/a b", "c=d", "https")


@pytest.mark.parametrize("options", [("--tls-max", "1.1"), ("--tls-max", "1.0")])
def test_old_protocols_are_refused(mirror: Uwgate, site: Site, options: tuple[str, ...]) -> None:
    curl(*options, "--ciphers", "DEFAULT@SECLEVEL=0", url(mirror), site=site, status=35)


def test_curl_keeps_the_connection(mirror: Uwgate, site: Site) -> None:
    pages = ["-o", "/dev/null", url(mirror)] * 3
    assert curl("-w", "%{num_connects} ", *pages, site=site) == b"1 0 0 "


def test_curl_posts_a_form(mirror: Uwgate, site: Site) -> None:
    seen = json.loads(curl("-d", "a=b", url(mirror), site=site))
    assert (seen["method"], seen["size"]) == ("POST", 3)
    assert seen["sha256"] == hashlib.sha256(b"a=b").hexdigest()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_body_goes_up(mirror: Uwgate, site: Site, framing: str) -> None:
    with Secure(mirror.address, client_context(site)) as connection:
        seen = UPLOAD.send(connection, "/", chunked=framing == "chunked").json()
    assert (seen["size"], seen["sha256"]) == (UPLOAD.size, UPLOAD.sha256())


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_large_body_comes_down(flask: Uwgate, site: Site, newest: ssl.TLSVersion) -> None:
    digest = hashlib.sha256()
    with Secure(flask.address, client_context(site, newest=newest)) as connection:
        connection.send(request("GET", "/download/400"))
        for piece in connection.pieces(connection.head()):
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(DOWNLOAD).digest()


def test_a_slow_reader_gets_everything(flask: Uwgate, site: Site) -> None:
    digest = hashlib.sha256()
    with Secure(flask.address, client_context(site)) as connection:
        connection.send(request("GET", "/download/200"))
        head = connection.head()
        time.sleep(1)  # the gateway's and the kernel's buffers are full by now
        for piece in connection.pieces(head):
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(DOWNLOAD[: 200 << 16]).digest()


def test_a_slow_sender_is_understood(mirror: Uwgate, site: Site) -> None:
    with Secure(mirror.address, client_context(site)) as connection:
        for octet in request("GET", "/slow"):
            connection.send(bytes((octet,)))
        assert connection.answer().json()["path"] == "/slow"


def test_requests_sent_ahead_are_answered_in_order(mirror: Uwgate, site: Site) -> None:
    with Secure(mirror.address, client_context(site)) as connection:
        connection.send(b"".join(request("GET", f"/{number}") for number in range(20)))
        paths = [connection.answer().json()["path"] for _ in range(20)]
    assert paths == [f"/{number}" for number in range(20)]


def test_a_client_that_only_sends_its_end_still_gets_the_answer(mirror: Uwgate, site: Site) -> None:
    with Secure(mirror.address, client_context(site)) as connection:
        connection.send(request("GET", "/half"))
        # The socket's own method would forget the TLS around it.
        raw = socket.socket(fileno=connection.sock.fileno())
        try:
            raw.shutdown(socket.SHUT_WR)
        finally:
            raw.detach()
        assert connection.answer().json()["path"] == "/half"


def test_the_end_of_a_connection_is_said(mirror: Uwgate, site: Site) -> None:
    context = client_context(site)
    with Secure(mirror.address, context) as connection:
        connection.send(request("GET", "/", [("Connection", "close")]))
        assert connection.answer().status == 200
        assert connection.sock.recv(1) == b""  # without close_notify: an SSLEOFError


def test_plain_http_is_told_where_it_is(mirror: Uwgate) -> None:
    answer = ask(mirror.address, request())
    assert answer.status == 400
    assert answer["Content-Type"] == "text/plain"
    assert b"HTTPS" in answer.body


def test_noise_harms_nobody(mirror: Uwgate, site: Site) -> None:
    for noise in (
        b"\0" * 1000,
        b"\x16\x03\x01\xff\xff" + b"x" * 70000,
        b"\x15\x03\x01\x00\x02\x02\x28",
    ):
        with Connection(mirror.address) as connection:
            connection.send_what_it_takes(noise)
            connection.sock.shutdown(socket.SHUT_WR)
            connection.ended()
    assert json.loads(curl(url(mirror), site=site))["path"] == "/"


def test_key_updates_are_followed(mirror: Uwgate, site: Site, folder: Path) -> None:
    openssl = peers.program("openssl")
    host, port = mirror.address
    argv = [openssl, "s_client", "-connect", f"{host}:{port}", "-CAfile", str(site.authority)]
    reading, writing = os.pipe()
    with (
        os.fdopen(reading) as stdin,
        os.fdopen(writing, "wb", 0) as pipe,
        peers.running(
            Process(argv, folder=folder, name="s_client", stdin=stdin), stop=signal.SIGKILL
        ) as client,
    ):
        for number in range(1, 4):
            pipe.write(b"K\n")  # an update that asks for one of the other side
            # A command of s_client is a line that is read by itself.
            client.wait_for(lambda: client.log.count("KEYUPDATE") == number, "update")  # noqa: B023
        pipe.write(request("GET", "/updated", [("Connection", "close")]))
        client.wait()  # it ends when the server does; the end of its input would be too early
        assert client.log.count("KEYUPDATE") == 3
        assert '"path": "/updated"' in client.log


def test_flask_makes_urls_with_https(flask: Uwgate, site: Site) -> None:
    written = curl("-i", url(flask, "/hello/you"), site=site)
    assert b"Hello you" in written


def test_django_knows_that_it_is_secure(uwgate: Start, site: Site) -> None:
    pytest.importorskip("django")
    program = uwgate(site.https(), "--module", "secure_site:application", "--pythonpath", str(APPS))
    program.wait_for_log("generation 1 serves")
    assert curl(url(program), site=site) == b"True https https://127.0.0.1"


def test_http_to_https_redirects(uwgate: Start, site: Site) -> None:
    mirror = str(APPS / "mirror.py")
    program = uwgate("--http-to-https=127.0.0.1:0,8443", site.https(), "--wsgi-file", mirror)
    redirecting = program.wait_for_log(r"listening on 127\.0\.0\.1:(\d+) .*redirects")[1]
    program.wait_for_log("generation 1 serves")
    address = ("127.0.0.1", int(redirecting))
    answer = ask(address, request("GET", "/a?b", host="example.com:80"))
    assert (answer.status, answer["Location"]) == (301, "https://example.com:8443/a?b")
    assert ask(address, request("POST", "/a", body=b"x")).status == 308


def test_a_unix_socket_speaks_tls(uwgate: Start, site: Site, folder: Path) -> None:
    path = folder / "tls.sock"
    program = uwgate(site.https(at=str(path)), "--wsgi-file", str(APPS / "mirror.py"))
    program.wait_for_log("generation 1 serves")
    with Secure(str(path), client_context(site)) as connection:
        connection.send(request("GET", "/unix"))
        assert connection.answer().json()["scheme"] == "https"
