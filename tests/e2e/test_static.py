"""Static files through the gateway, from real files to real clients; real uWSGI beside."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import peers
from .client import Answer, Connection, ask, request
from .processes import APPS, Address, Uwgate, free_port, running_uwgate
from .tls import Secure, Site, client_context, make_site

if TYPE_CHECKING:
    from .conftest import Start

DATA = b"".join(b"line %04d\n" % number for number in range(100))
LARGE = bytes(range(256)) * 4096 * 8  # 8 MiB: more than sockets take
CHANGED = 1_600_000_000
INI = """
[uwsgi]
wsgi-file = {apps}/naming.py
static-map = /m={top}/www
static-map = /gone={top}/gone
static-map = /one={top}/www/a.txt
check-static = {top}/checked
static-index = index.html
static-gzip-all = true
static-skip-ext = .php
static-expires-mtime = \\.txt$ 3600
honour-range = true
mime-file = {top}/types
"""
OURS = """
static-x-sendfile = true
static-internal = /internal={top}/secret
static-safe = {top}/safe
http2-prior-knowledge = true
http = 127.0.0.1:{http}
https = 127.0.0.1:{https},{pair}
"""
COMPARED = ("content-type", "content-length", "content-range", "content-encoding", "expires")


@pytest.fixture(scope="module")
def top(shared_folder: Path) -> Path:
    """The site's files."""
    top = shared_folder.resolve() / "site"
    for name, data in {
        "www/a.txt": DATA,
        "www/b.css": b"b {}",
        "www/b.css.gz": b"zipped b",
        "www/large.bin": LARGE,
        "www/x.php": b"<?php",
        "www/empty.txt": b"",
        "www/sp ace.txt": b"blank",
        "www/sub/index.html": b"<p>index</p>",
        "checked/c.txt": b"checked",
        "secret/s.txt": b"internal",
        "safe/f.txt": b"safe",
        "outside/o.txt": b"outside",
        "www2/sibling.txt": b"sibling",
        "types": b"text/plain txt\ntext/css css\ntext/html html\napplication/octet-stream bin\n",
    }.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (CHANGED, CHANGED))
    (top / "www/near").symlink_to("a.txt")
    (top / "www/out").symlink_to("../outside/o.txt")
    (top / "www/updir").symlink_to("..")
    return top


@pytest.fixture(scope="module")
def site(shared_folder: Path) -> Site:
    return make_site(shared_folder)


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    """Of HTTP and HTTPS."""
    return free_port(), free_port()


@pytest.fixture(scope="module")
def program(shared_folder: Path, top: Path, site: Site, ports: tuple[int, int]) -> Iterator[Uwgate]:
    """uwgate with the site."""
    ini = shared_folder / "ours.ini"
    more = OURS.format(top=top, http=ports[0], https=ports[1], pair=site.pair)
    ini.write_text(INI.format(apps=APPS, top=top) + more)
    with running_uwgate("--ini", str(ini), folder=shared_folder) as program:
        program.wait_for_log("generation 1 serves")
        yield program


@pytest.fixture
def address(program: Uwgate, ports: tuple[int, int]) -> Address:
    """Plain HTTP."""
    return "127.0.0.1", ports[0]


@pytest.fixture(params=["http", "https"])
def connection(
    program: Uwgate, ports: tuple[int, int], site: Site, request: pytest.FixtureRequest
) -> Iterator[Connection]:
    """A client in plain, and one with TLS."""
    if request.param == "http":
        with Connection(("127.0.0.1", ports[0])) as connection:
            yield connection
    else:
        with Secure(("127.0.0.1", ports[1]), client_context(site)) as secure:
            yield secure


@pytest.fixture(scope="module")
def original(shared_folder: Path, top: Path) -> Iterator[Address]:
    """The real uWSGI with the same file."""
    folder = shared_folder / "original"
    folder.mkdir()
    ini = folder / "theirs.ini"
    ini.write_text(INI.format(apps=APPS, top=top))
    address = ("127.0.0.1", free_port())
    where = ("--http-socket", f"127.0.0.1:{address[1]}", "--ini", str(ini))
    with peers.uwsgi(folder, *where, app="naming.py") as process:
        process.wait_for_socket(address)
        yield address


def get(connection: Connection, target: str, *fields: tuple[str, str]) -> Answer:
    """One more request on a connection, and its answer."""
    connection.send(request("GET", target, fields))
    return connection.answer()


# Beside the real uWSGI

ALIKE = [
    ("GET", "/m/a.txt"),
    ("HEAD", "/m/a.txt"),
    ("GET", "/m/sp%20ace.txt?query"),
    ("GET", "/m/sub"),
    ("GET", "/m/sub/"),
    ("GET", "/m/empty.txt"),
    ("GET", "/m/near"),
    ("GET", "/m/x.php"),
    ("GET", "/m/out"),
    ("GET", "/m/nothing"),
    ("GET", "/m/a.txt/x"),
    ("GET", "/gone/a.txt"),
    ("GET", "/one"),
    ("GET", "/c.txt"),
    ("GET", "/elsewhere"),
    ("GET", "/m/../../outside/o.txt"),
    ("GET", "/" + "x" * 300),
    ("POST", "/m/a.txt"),
    ("GET", "/m/a.txt", "Range", "bytes=0-9"),
    ("GET", "/m/a.txt", "Range", "bytes=-5"),
    ("GET", "/m/a.txt", "Range", "bytes=2000-"),
    ("GET", "/m/a.txt", "If-Modified-Since", "Sun, 13 Sep 2020 12:26:40 GMT"),
    ("GET", "/m/a.txt", "If-Modified-Since", "Sun, 13 Sep 2020 12:26:39 GMT"),
    ("GET", "/m/b.css", "Accept-Encoding", "gzip"),
    ("GET", "/m/b.css"),
]


@pytest.mark.parametrize("asked", ALIKE, ids=" ".join)
def test_an_answer_is_that_of_the_real_uwsgi(
    address: Address, original: Address, asked: tuple[str, ...]
) -> None:
    method, target, *field = asked
    close = ("Connection", "close")
    lines = [close, (field[0], field[1])] if field else [close]
    theirs, ours = (
        ask(where, request(method, target, lines), method) for where in (original, address)
    )
    assert ours.status == theirs.status
    assert ours.body == theirs.body
    ran = "x-ran" in theirs
    assert ("x-ran" in ours) is ran
    names = [name for name in COMPARED if name in theirs and not ran]
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}


# To clients


def test_files_of_all_sizes_come_one_after_the_other(connection: Connection) -> None:
    for target, data in (
        ("/m/a.txt", DATA),
        ("/m/large.bin", LARGE),
        ("/m/empty.txt", b""),
        ("/m/large.bin", LARGE),
        ("/m/b.css", b"b {}"),
    ):
        answer = get(connection, target)
        assert (answer.status, answer["content-length"]) == (200, str(len(data)))
        assert answer.body == data
    assert "x-ran" in get(connection, "/from-the-application")


def test_requests_may_come_all_at_once(connection: Connection) -> None:
    targets = ["/m/large.bin", "/m/a.txt", "/application", "/m/large.bin", "/m/b.css"]
    connection.send(b"".join(request("GET", target) for target in targets))
    bodies = [connection.answer().body for _ in targets]
    assert bodies == [LARGE, DATA, b"application: /application", LARGE, b"b {}"]


def test_parts_of_a_large_file(connection: Connection) -> None:
    one = get(connection, "/m/large.bin", ("Range", "bytes=1000000-7999999"))
    assert (one.status, one["content-range"]) == (206, f"bytes 1000000-7999999/{len(LARGE)}")
    assert one.body == LARGE[1000000:8000000]
    two = get(connection, "/m/large.bin", ("Range", "bytes=0-1999999,-3000000"))
    assert two.status == 206
    assert two["content-length"] == str(len(two.body))
    boundary = two["content-type"].partition("boundary=")[2].encode()
    _, first, second, end = two.body.split(b"--" + boundary)
    assert first.partition(b"\r\n\r\n")[2] == LARGE[:2000000] + b"\r\n"
    assert second.partition(b"\r\n\r\n")[2] == LARGE[-3000000:] + b"\r\n"
    assert end == b"--\r\n"


def test_what_a_client_knows_already_is_not_sent(connection: Connection) -> None:
    answer = get(connection, "/m/a.txt")
    again = get(connection, "/m/a.txt", ("If-None-Match", answer["etag"]))
    assert (again.status, again.body) == (304, b"")
    resumed = get(connection, "/m/a.txt", ("If-Range", answer["etag"]), ("Range", "bytes=990-"))
    assert (resumed.status, resumed.body) == (206, DATA[990:])
    restarted = get(connection, "/m/a.txt", ("If-Range", '"old"'), ("Range", "bytes=990-"))
    assert (restarted.status, restarted.body) == (200, DATA)


@pytest.mark.parametrize("target", ["/m/a.txt", "/m/large.bin"])
def test_head_is_the_head_of_get(connection: Connection, target: str) -> None:
    connection.send(request("HEAD", target))
    head = connection.answer("HEAD")
    answer = get(connection, target)
    assert {*head.headers} - {*answer.headers} <= {("Date", head["date"])}
    assert head["content-length"] == str(len(answer.body))


def test_a_request_s_body_is_not_the_next_request(connection: Connection) -> None:
    hidden = request("GET", "/hidden")
    connection.send(request("GET", "/m/a.txt", body=hidden))
    assert connection.answer().body == DATA
    assert get(connection, "/m/b.css").body == b"b {}"


def test_a_body_that_does_not_come_ends_the_connection(connection: Connection) -> None:
    connection.send(request("GET", "/m/a.txt", [("Content-Length", "100000")]) + b"x" * 10)
    answer = connection.answer()
    assert (answer.status, answer["connection"], answer.body) == (200, "close", DATA)


def test_a_change_is_seen_at_once(connection: Connection, top: Path) -> None:
    path = top / "www/changing.txt"
    bodies = []
    for number in range(5):
        path.write_bytes(b"state %d" % number)
        # As if it had been there for long: else nobody would dare to keep it.
        os.utime(path, (CHANGED, CHANGED))
        bodies += [get(connection, "/m/changing.txt").body for _ in range(3)]
    path.unlink()
    assert bodies == [b"state %d" % number for number in range(5) for _ in range(3)]
    assert "x-ran" in get(connection, "/m/changing.txt")


@pytest.mark.parametrize("how", ["--http1.0", "--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize(
    ("target", "data"), [("/m/large.bin", LARGE), ("/m/a.txt", DATA), ("/m/empty.txt", b"")]
)
def test_curl_gets_what_is_on_the_disk(
    address: Address, how: str, target: str, data: bytes
) -> None:
    url = f"http://{address[0]}:{address[1]}{target}"
    options = (how, "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "60")
    argv = [peers.program("curl"), *options, url]
    assert subprocess.run(argv, capture_output=True, check=True, timeout=90).stdout == data


@pytest.mark.parametrize("how", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_goes_on_where_it_was(address: Address, how: str, folder: Path) -> None:
    part = folder / "part"
    part.write_bytes(LARGE[:3000000])
    url = f"http://{address[0]}:{address[1]}/m/large.bin"
    argv = [peers.program("curl"), how, "-sS", "--fail", "--noproxy", "*", "-C", "-"]
    subprocess.run([*argv, "-o", str(part), url], check=True, timeout=90)
    assert part.read_bytes() == LARGE


# Applications that name files


def name(field: str, value: str, path: str = "/name") -> str:
    return f"{path}?{field}={value}"


@pytest.mark.parametrize("path", ["/name", "/name-streamed"])
def test_an_application_names_a_file(connection: Connection, top: Path, path: str) -> None:
    for value, data in ((f"{top}/www/large.bin", LARGE), (f"{top}/safe/f.txt", b"safe")):
        answer = get(connection, name("X-Sendfile", value, path))
        assert (answer.status, answer["x-ran"], answer.body) == (200, "yes", data)
        assert answer["content-type"] == "text/x-application"
        assert "x-sendfile" not in answer
    answer = get(connection, name("X-Accel-Redirect", "/internal/s.txt", path))
    assert answer.body == b"internal"


def test_a_part_of_a_file_that_an_application_names(connection: Connection, top: Path) -> None:
    target = name("X-Sendfile", f"{top}/www/large.bin")
    answer = get(connection, target, ("Range", "bytes=5-9"))
    assert (answer.status, answer.body) == (206, LARGE[5:10])


def test_an_upload_is_answered_with_a_file(connection: Connection, top: Path) -> None:
    target = name("X-Sendfile", f"{top}/www/large.bin")
    connection.send(request("POST", target, body=b"x" * 3000000))
    assert connection.answer().body == LARGE
    connection.send(request("POST", target, body=b"x" * 3000000, chunked=True))
    assert connection.answer().body == LARGE
    assert get(connection, "/m/a.txt").body == DATA


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("X-Sendfile", "{}/outside/o.txt"),
        ("X-Sendfile", "{}/www/../outside/o.txt"),
        ("X-Sendfile", "{}/www2/sibling.txt"),
        ("X-Sendfile", "/etc/passwd"),
        ("X-Sendfile", "relative.txt"),
        ("X-Sendfile", ""),
        ("X-Sendfile", "{}/www/none.txt"),
        ("X-Accel-Redirect", "/internal/../www/a.txt"),
        ("X-Accel-Redirect", "/m/a.txt"),
        ("X-Accel-Redirect", "/internal/none"),
    ],
)
def test_an_application_cannot_name_what_is_elsewhere(
    address: Address, top: Path, field: str, value: str
) -> None:
    answer = ask(address, request("GET", name(field, value.format(top))))
    assert answer.status == 500
    assert b"outside" not in answer.body


def test_what_is_internal_is_nobody_s_to_ask_for(address: Address) -> None:
    assert "x-ran" in ask(address, request("GET", "/internal/s.txt"))


@pytest.mark.parametrize("how", ["--http1.1", "--http2-prior-knowledge"])
def test_an_application_names_a_file_to_curl(address: Address, top: Path, how: str) -> None:
    target = name("X-Sendfile", f"{top}/www/large.bin")
    argv = [peers.program("curl"), how, "-sS", "--fail", "--noproxy", "*", "--max-time", "60"]
    url = f"http://{address[0]}:{address[1]}{target}"
    for more in ((), ("-d", "x" * 100000)):
        done = subprocess.run([*argv, *more, url], capture_output=True, check=True, timeout=90)
        assert done.stdout == LARGE


def test_a_real_uwsgi_names_a_file(uwgate: Start, folder: Path, top: Path) -> None:
    backend = f"{folder}/uwsgi.sock"
    with peers.uwsgi(folder, "--socket", backend, app="naming.py"):
        gateway = uwgate(
            *("--http=127.0.0.1:0", f"--http-to={backend}", "--static-x-sendfile"),
            f"--static-map=/m={top}/www",
        )
        with Connection(gateway.address) as connection:
            target = name("X-Sendfile", f"{top}/www/large.bin")
            assert get(connection, target).body == LARGE
            assert get(connection, "/m/a.txt").body == DATA
            assert "x-ran" in get(connection, "/m/none")


# Attempts

LEADING_OUT = [
    "/m/../outside/o.txt",
    "/m/%2e%2e/outside/o.txt",
    "/m/..%2foutside/o.txt",
    "/m%2f..%2foutside%2fo.txt",
    "/m/.%2e/outside/o.txt",
    "/m//../outside/o.txt",
    "/m/sub/../../outside/o.txt",
    "/m/..\\outside\\o.txt",
    "/m/..%5coutside%5co.txt",
    "/m/%252e%252e/outside/o.txt",
    "/m/out",
    "/m/updir/outside/o.txt",
    "/m/updir/www2/sibling.txt",
    "/m/../www2/sibling.txt",
    "/m../www2/sibling.txt",
    "/m2/sibling.txt",
    "/m/%c0%ae%c0%ae/outside/o.txt",
    "/m/....//outside/o.txt",
    "/m/;/../outside/o.txt",
    "/m/\xe2\x80\xa5/outside/o.txt",
    "http://example.com/m/../outside/o.txt",
    "/m/x.php",
    "/m/x.php/",
    "/m/./x.php",
    "/m/" + "../" * 500 + "outside/o.txt",
    "/m/" + "a/" * 2500,
    "/m/" + "a" * 5000,
]


@pytest.mark.parametrize("target", LEADING_OUT, ids=lambda target: target[:40])
def test_nothing_leads_out(address: Address, target: str) -> None:
    data = f"GET {target} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
    with Connection(address) as connection:
        connection.send(data.encode("latin-1"))
        answer = connection.answer()
    assert answer.status in (200, 400)
    assert answer.status == 400 or "x-ran" in answer
    for secret in (b"outside\n", b"sibling", b"internal", b"<?php"):
        assert secret not in answer.body.partition(b"application: ")[0]


@pytest.mark.parametrize("target", ["/m/a.txt%00", "/m/a.txt%00.css", "/m/%00/../a.txt"])
def test_a_nul_byte_is_refused(address: Address, target: str) -> None:
    assert ask(address, request("GET", target)).status == 400


@pytest.mark.parametrize(
    "target", ["/m/a.txt", "/m//a.txt", "//m/a.txt", "/m/./a.txt", "/m/%61.txt"]
)
def test_other_ways_to_write_a_path(address: Address, target: str) -> None:
    answer = ask(address, request("GET", target))
    assert answer.body in (DATA, b"application: //m/a.txt")


# Trouble


def test_a_client_that_leaves_leaves_nothing_behind(
    program: Uwgate, connection: Connection, top: Path
) -> None:
    (gateway,) = program.wait_for_processes("http", 1)
    connection.send(request("GET", "/m/large.bin"))
    connection.head()
    connection.close()
    program.wait_for(lambda: not holds(gateway, top), "closed file")


def holds(pid: int, top: Path) -> list[str]:
    """The site's files that a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = os.readlink(entry)
        except FileNotFoundError:
            continue
        if name.startswith(str(top)):
            found.append(name)
    return found


def test_a_file_that_becomes_shorter_is_cut_off(connection: Connection, top: Path) -> None:
    path = top / "www/shrinking.bin"
    path.write_bytes(LARGE * 4)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.send(request("GET", "/m/shrinking.bin"))
    head = connection.head()
    assert head["content-length"] == str(4 * len(LARGE))
    os.truncate(path, 100)
    with pytest.raises(ConnectionError):
        for _ in connection.pieces(head):
            pass
    path.unlink()


def test_a_slow_client_gets_all_of_it(connection: Connection) -> None:
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.send(request("GET", "/m/large.bin"))
    answer = connection.answer()
    assert answer.body == LARGE
    assert get(connection, "/m/a.txt").body == DATA


def test_a_client_that_takes_nothing_is_given_up(uwgate: Start, top: Path) -> None:
    program = uwgate(
        "--http=127.0.0.1:0",
        f"--static-map=/m={top}/www",
        *("--http-min-rate=100000", "--http-min-rate-grace=1", "--need-app=false"),
    )
    (gateway,) = program.wait_for_processes("http", 1)
    with Connection(program.address) as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(request("GET", "/m/large.bin"))
        program.wait_for_log("takes the response too slowly")
        program.wait_for(lambda: not holds(gateway, top), "closed file")


def test_without_descriptors_there_is_a_503(uwgate: Start, top: Path) -> None:
    program = uwgate(
        *("--http=127.0.0.1:0", f"--static-map=/m={top}/www", "--need-app=false"),
        "--static-memory=0",
    )
    (gateway,) = program.wait_for_processes("http", 1)
    with Connection(program.address) as connection:
        assert get(connection, "/m/large.bin", ("Range", "bytes=0-0")).status == 206
        program.wait_for(lambda: not holds(gateway, top), "closed file")
        used = len(list(Path(f"/proc/{gateway}/fd").iterdir()))
        soft, hard = resource.prlimit(gateway, resource.RLIMIT_NOFILE)
        resource.prlimit(gateway, resource.RLIMIT_NOFILE, (used, hard))
        assert get(connection, "/m/a.txt").status == 503
        program.wait_for_log("503: cannot serve the file: Too many open files")
        resource.prlimit(gateway, resource.RLIMIT_NOFILE, (soft, hard))
    assert ask(program.address, request("GET", "/m/a.txt")).body == DATA


def test_a_directory_may_come_later(uwgate: Start, folder: Path) -> None:
    program = uwgate(
        *("--http=127.0.0.1:0", f"--static-map=/m={folder}/later", "--need-app=false"),
        *("--wsgi-file", str(APPS / "naming.py")),
    )
    program.wait_for_log("nothing is there now")
    assert "x-ran" in ask(program.address, request("GET", "/m/x.txt"))
    (folder / "later").mkdir()
    (folder / "later/x.txt").write_bytes(b"here")
    assert ask(program.address, request("GET", "/m/x.txt")).body == b"here"


def test_a_mistake_stops_the_start(uwgate: Start, folder: Path) -> None:
    ini = folder / "bad.ini"
    ini.write_text("[uwsgi]\nhttp = 127.0.0.1:0\nstatic-expires = ( 5\n")
    program = uwgate("--ini", str(ini))
    assert program.wait() == 1
    assert "bad.ini:3: static-expires = ( 5: a pattern that cannot be used" in program.log
