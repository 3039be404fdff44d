"""Rules in workers that are reached directly: the same file for real uWSGI and for us.

Each request goes to both, by HTTP and through nginx, and to us through our fastrouter as well.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.routing.examples import basic

from . import peers
from .client import Connection, request
from .processes import APPS, PATIENCE, Process, free_port, running_uwgate
from .websockets import WebSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .processes import Uwgate

APP = Path(__file__).parents[1] / "routing" / "mirror.py"
RULES = """
[uwsgi]
cache2 = name=pages,items=10
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
route = ^/c/(.*)$ cache:key=page-$1,name=pages,content_type=text/plain
route = ^/c/(.*)$ cachestore:key=page-$1,name=pages,expires=60
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
        "vary",
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
            argv = [uwsgi, *sockets, "--socket", f"{folder}/{name}.sock", "--chmod-socket", *rest]
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
    assert routed is not None
    assert meant(routed) == expected or (ask.target == "/close" and routed.status == 502)


def test_a_page_comes_out_of_the_cache_the_second_time(doors: Doors) -> None:
    replies = [
        fetch(door, Ask(f"/c/{number}"))
        for number, door in enumerate((doors.theirs, doors.http))
        for _ in range(2)
    ]
    theirs, theirs_again, ours, ours_again = (dict(one.headers) for one in replies if one)
    assert "X-App" in theirs
    assert "X-App" in ours
    assert {"X-App", "Expires"} & theirs_again.keys() == {"Expires"}
    assert {"X-App", "Expires"} & ours_again.keys() == {"Expires"}
    assert ours_again["Content-Length"] == theirs_again["Content-Length"]


# What goes wrong, and what uWSGI has no word for.

OWN_RULES = """
[uwsgi]
processes = 3
socket-timeout = 6
static-map = /files={folder}/files
static-internal = /internal={folder}/files
env = RULED_FOLDER={folder}/files
env = RULED_BACKEND={backend}
route = ^/hello/(.*)$ rpc:hello $1 you
route = ^/by-host rpcvar:NODE backend_of ${{HTTP_HOST}}
route = ^/by-host http:${{NODE}},,/there
route = ^/hang rpc:hang
route = ^/limited harakiri:1
route = ^/limited rpc:hang
route = ^/gone http:127.0.0.1:1
route = ^/silent http:{silent}
route = ^/back/(.*) http:{backend},,/$1
route = ^/websocket http:{ours},,/socket
route = ^/self/(.*) http:{ours},,/$1
response-route-run = addheader:X-Once: 1
error-route-status = 504 addheader:X-Late: yes
"""


@dataclass(frozen=True, slots=True)
class Own:
    """One instance with all kinds of doors. ``silent`` accepts, and says nothing."""

    program: Uwgate
    folder: Path
    gateway: tuple[str, int]
    http: tuple[str, int]
    http11: tuple[str, int]
    packets: str


@pytest.fixture(scope="module")
def own(shared_folder: Path) -> Iterator[Own]:
    folder = shared_folder / "own"
    (folder / "files").mkdir(parents=True)
    with (folder / "files" / "large").open("wb") as file:
        file.truncate(LARGE)
    rules = folder / "rules.ini"
    ports = [f"127.0.0.1:{free_port()}" for _ in range(4)]
    gateway, ours, ours11, backend = ports
    packets = f"{folder}/packets.sock"
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        text = OWN_RULES.format(
            folder=folder, backend=backend, ours=ours, silent=f"127.0.0.1:{silent.getsockname()[1]}"
        )
        rules.write_text(text)
        app = str(APPS / "ruled.py")
        plain = Process(
            [peers.program("uwsgi"), "--http-socket", backend, "--wsgi-file", str(APP)],
            folder=folder,
            name="plain",
        )
        stack.enter_context(peers.running(plain, stop=signal.SIGKILL))
        plain.wait_for_log("spawned uWSGI worker 1")
        program = stack.enter_context(
            running_uwgate(
                *("--ini", str(rules), "--wsgi-file", app, "--http", gateway),
                *("--http-socket", ours, "--http11-socket", ours11, "--socket", packets),
                folder=folder,
            )
        )
        program.wait_for_log("generation 1 serves")
        yield Own(program, folder, address(gateway), address(ours), address(ours11), packets)


LARGE = 3_000_000  # bytes


def test_a_function_of_the_application_answers(own: Own) -> None:
    reply = fetch(own.http, Ask("/hello/me"))
    assert reply is not None
    assert reply.body == b"hello me and you"


def test_a_function_chooses_the_backend(own: Own) -> None:
    reply = fetch(own.http, Ask("/by-host"))
    assert reply is not None
    assert b"PATH_INFO=/there\n" in reply.body


@pytest.mark.parametrize("path", ["/files/large", "/sendfile", "/accel"])
def test_a_large_file_comes_whole(own: Own, path: str) -> None:
    for door in (own.http, own.http11):
        reply = fetch(door, Ask(path))
        assert reply is not None
        assert len(reply.body) == LARGE
        assert "X-Sendfile" not in dict(reply.headers)


def test_rules_run_once_for_each_request(own: Own) -> None:
    for door in (own.gateway, own.http):
        reply = fetch(door, Ask("/x"))
        assert reply is not None
        assert [value for name, value in reply.headers if name == "X-Once"] == ["1"]


def test_a_kept_connection_goes_on_behind_every_kind_of_answer(own: Own) -> None:
    connection = http.client.HTTPConnection(*own.http11, timeout=PATIENCE)
    sizes = []
    with contextlib.closing(connection):
        for path in ("/hello/a", "/files/large", "/stream", "/back/x", "/gone", "/x"):
            connection.request("GET", path)
            kept = connection.sock
            sizes.append(len(connection.getresponse().read()))
            assert connection.sock is kept
    assert sizes[1] == LARGE


def test_a_websocket_goes_through_a_rule(own: Own) -> None:
    with WebSocket(own.http11, "/websocket") as socket:
        for number in range(10):
            assert socket.ask(f"message {number}") == f"message {number}"
        assert socket.close() == 1000


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_handed_on(own: Own, chunked: bool) -> None:
    connection = http.client.HTTPConnection(*own.http, timeout=PATIENCE)
    body = b"x" * 300_000
    with contextlib.closing(connection):
        pieces = iter([body[:100_000], body[100_000:]]) if chunked else body
        connection.request("POST", "/self/echo", pieces, encode_chunked=chunked)
        assert connection.getresponse().read() == body


def test_a_backend_that_is_not_there_is_502(own: Own) -> None:
    reply = fetch(own.http, Ask("/gone"))
    assert reply is not None
    assert reply.status == 502


def test_a_backend_that_says_nothing_is_504_for_the_rules_too(own: Own) -> None:
    reply = fetch(own.http, Ask("/silent"))
    assert reply is not None
    assert reply.status == 504
    assert dict(reply.headers)["X-Late"] == "yes"


def test_a_function_that_hangs_ends_with_its_worker(own: Own) -> None:
    start = len(own.program.log)
    assert fetch(own.http, Ask("/limited")) is None
    own.program.wait_for_log("Respawned uWSGI worker", start=start)
    assert "in hang" in own.program.log[start:]  # it is said where
    reply = fetch(own.http, Ask("/hello/again"))
    assert reply is not None
    assert reply.status == 200


def test_a_worker_that_is_killed_in_a_rule_is_replaced(own: Own) -> None:
    start = len(own.program.log)
    with Connection(own.http) as connection:
        connection.send(request("GET", "/hang"))
        victim = int(own.program.wait_for_log(r"hanging in (\d+)", start=start)[1])
        os.kill(victim, signal.SIGKILL)
        assert connection.ended()
    own.program.wait_for_log("Respawned uWSGI worker", start=start)
    assert victim not in own.program.wait_for_processes("worker", 3)


def test_a_reload_brings_new_rules(own: Own) -> None:
    start = len(own.program.log)
    rules = own.folder / "rules.ini"
    with rules.open("a") as file:
        file.write("route = ^/new return:418\n")
    own.program.popen.send_signal(signal.SIGHUP)
    own.program.wait_for_log("generation 2 serves", start=start)
    own.program.wait_for(lambda: told(own, "/new") == 418, "the new rules")


def told(own: Own, path: str) -> int:
    reply = fetch(own.http, Ask(path))
    return 0 if reply is None else reply.status
