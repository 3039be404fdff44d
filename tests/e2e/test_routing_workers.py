"""Rules in workers that are reached directly: the same file for real uWSGI and for us.

Each request goes to both, by HTTP and through nginx, and to us through our fastrouter as well.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.routing.examples import basic

from . import peers
from .processes import PATIENCE, Process, free_port, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .processes import Uwgate

APP = Path(__file__).parents[1] / "routing" / "mirror.py"
RULES = """
[uwsgi]
collect-header = Content-Type RESP_CT
static-map = /static={folder}/files
static-index = index.html
add-header = X-All: yes

route-run = setdocroot:/srv

route = ^/old/(\\d+)$ redirect-permanent:/new/$1?from=${{PATH_INFO}}

route-uri = ^/u/([a-z]+) rewrite:/index?name=$1
route = ^/index$ addvar:TAG=rewritten-$1

route = ^/private basicauth-next:Area,bob:pw1
route = ^/private basicauth:Area,eve:pw2
route-remote-user = ^(.+)$ addheader:X-User: $1

route = ^/chunked chunked:
route-if = startswith:${{PATH_INFO}};/pieces/gzip gzip:

route = ^/file/(.*)$ file:filename={folder}/files/$1
route = ^/sendfile/(.*)$ sendfile:filename={folder}/files/$1
route = ^/made clearheaders:201 Created
route = ^/made send:hello
route = ^/made break:

route = ^/conditions/ goto:conditions
route = ^/admin goto:admin

route = ^/teapot$ return:418
route = ^/close$ break:
route = ^/forbidden$ break:403 Go Away
route = ^/hash/(.*)$ hash:key=$1,var=TAG,items=n1;n2;n3
route = ^/http http:{backend},,/there
route = ^/uwsgi uwsgi:{uwsgi},0,0
route = ^/gone http:127.0.0.1:1
route-run = last:

route-label = conditions
route-if = exists:{folder}/files${{QUERY_STRING}} addvar:TAG2=file
route-if = ipv4in:${{REMOTE_ADDR}};127.0.0.0/8 addvar:TAG=local
route-if = regexp:${{QUERY_STRING}};(^|&)t=(\\w+) addvar:TAG=$2
route-run = last:

route-label = admin
route-remote-addr = ^127\\. addheader:X-Zone: admin
route-if-not = startswith:${{HTTP_USER_AGENT}};curl break:403 Forbidden
route-run = addvar:TAG=admin

error-route-status = 404 redirect:/not-found?u=${{REQUEST_URI}}

response-route-if = startswith:${{RESP_CT}};text/html goto:html
response-route-run = last:
response-route-label = html
response-route-run = addheader:X-Html: ${{RESP_CT}}

final-route-run = log:MYLOG ${{uwsgi[status]}} ${{PATH_INFO}}
"""
# What each server says of where the body ends, and by whom it was sent.
OWN = frozenset(
    (
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "server",
        "transfer-encoding",
        # More than uWSGI says of files.
        "accept-ranges",
        "etag",
    )
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    target: str
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"


CURL = {"User-Agent": "curl/8"}
ASKS = (
    Ask("/old/42"),
    Ask("/old/x"),
    Ask("/u/bob?x=1"),
    Ask("/private"),
    Ask("/private", basic("eve:pw2")),
    Ask("/private", basic("bob:pw1")),
    Ask("/private", basic("eve:bad")),
    Ask("/missing"),
    Ask("/missing?a=b", method="POST"),
    Ask("/a.html"),
    Ask("/a.txt"),
    Ask("/conditions/?/a.txt"),
    Ask("/conditions/?a=1&t=zed"),
    Ask("/admin", CURL),
    Ask("/admin", {"User-Agent": "Moz"}),
    Ask("/teapot"),
    Ask("/close"),
    Ask("/forbidden"),
    Ask("/hash/alpha"),
    Ask("/made"),
    Ask("/pieces"),
    Ask("/pieces/gzip"),
    Ask("/pieces/none"),
    Ask("/static/a.txt"),
    Ask("/static/"),
    Ask("/static/none"),
    Ask("/static/a.txt", method="POST"),
    Ask("/file/a.txt"),
    Ask("/sendfile/a.txt"),
    Ask("/http"),
    Ask("/uwsgi/x?y"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client gets."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def meant(self) -> tuple[object, ...]:
        """What rules and applications have said of it."""
        headers = [(name, value) for name, value in self.headers if name.lower() not in OWN]
        return self.status, self.reason, headers, self.body


def fetch(address: tuple[str, int], ask: Ask, body: bytes | None = None) -> Reply | None:
    """Ask; None if the connection is closed without an answer."""
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request(ask.method, ask.target, body, ask.headers)
        try:
            response = connection.getresponse()
        except http.client.RemoteDisconnected:
            return None
        data = response.read()
        return Reply(response.status, response.reason, tuple(response.getheaders()), data)


@dataclass(frozen=True, slots=True)
class Doors:
    """Where both can be asked."""

    program: Uwgate
    theirs: tuple[str, int]
    theirs_nginx: tuple[str, int]
    http: tuple[str, int]
    http11: tuple[str, int]
    nginx: tuple[str, int]
    fastrouter: tuple[str, int]


@pytest.fixture(scope="module")
def doors(shared_folder: Path) -> Iterator[Doors]:
    """Real uWSGI and ours with the same rules, each with a socket behind nginx."""
    folder = shared_folder
    files = folder / "files"
    files.mkdir()
    (files / "a.txt").write_text("hello world\n")
    (files / "index.html").write_text("<p>")
    os.utime(files / "a.txt", (1_000_000_000, 1_000_000_000))
    backend, theirs, ours, ours11 = (f"127.0.0.1:{free_port()}" for _ in range(4))
    rules = folder / "rules.ini"
    rules.write_text(RULES.format(folder=folder, backend=backend, uwsgi=folder / "backend.sock"))
    common = ("--ini", str(rules), "--wsgi-file", str(APP), "--buffer-size", "65535")
    with contextlib.ExitStack() as stack:

        def nginx(name: str) -> tuple[str, int]:
            place = folder / f"nginx-{name}"
            place.mkdir()
            place.chmod(0o755)
            return stack.enter_context(peers.nginx(place, f"{folder}/{name}.sock"))

        uwsgi = peers.program("uwsgi")
        for name, sockets, rest in (
            ("backend", ("--http-socket", backend), ("--wsgi-file", str(APP))),
            ("theirs", ("--http-socket", theirs), common),
        ):
            socket = f"{folder}/{name}.sock"
            argv = [uwsgi, *sockets, "--socket", socket, "--chmod-socket", *rest]
            process = Process(argv, folder=folder, name=name)
            stack.enter_context(peers.running(process, stop=signal.SIGKILL))
            process.wait_for_log("spawned uWSGI worker 1")
        arguments = [*common, "--processes", "3", "--http-socket", ours, "--chmod-socket"]
        arguments += ["--http11-socket", ours11, "--socket", f"{folder}/ours.sock"]
        arguments += ["--fastrouter", f"{folder}/router.sock"]
        program = stack.enter_context(running_uwgate(*arguments, folder=folder))
        program.wait_for_log("generation 1 serves")
        yield Doors(
            program,
            address(theirs),
            nginx("theirs"),
            address(ours),
            address(ours11),
            nginx("ours"),
            nginx("router"),
        )


def address(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    return host, int(port)


def meant(reply: Reply | None) -> tuple[object, ...] | None:
    return None if reply is None else reply.meant


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: f"{ask.method} {ask.target}")
def test_a_request_gets_from_a_worker_what_uwsgi_gives(doors: Doors, ask: Ask) -> None:
    expected = meant(fetch(doors.theirs, ask))
    assert meant(fetch(doors.http, ask)) == expected
    assert meant(fetch(doors.http11, ask)) == expected


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: f"{ask.method} {ask.target}")
def test_a_request_gets_behind_nginx_what_uwsgi_gives(doors: Doors, ask: Ask) -> None:
    expected = meant(fetch(doors.theirs_nginx, ask))
    assert meant(fetch(doors.nginx, ask)) == expected
    routed = fetch(doors.fastrouter, ask)
    # Where there is no answer, nginx has a page of its own, and so has the fastrouter.
    assert meant(routed) == expected or (ask.target == "/close" and routed.status == 502)
