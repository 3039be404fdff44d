"""The same requests through every front: what the application sees is the same.

The fronts are other people's (nginx, Apache, uWSGI's own HTTP router) and ours, before
other people's workers and ours. uWSGI alone is one of them, so each expectation below is
also what the original does.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from . import peers
from .client import Answer, Connection, ask, request
from .processes import APPS, free_port, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .processes import Address

LARGE = bytes(range(256)) * 4096  # 1 MiB, no two neighbours alike
MIRROR = ("--wsgi-file", str(APPS / "mirror.py"), "--processes", "2")


@dataclass(frozen=True)
class Front:
    """Something that takes HTTP at ``address``."""

    name: str
    address: Address


@contextlib.contextmanager
def nginx_before_workers(folder: Path) -> Iterator[Address]:
    backend = f"{folder}/workers.sock"
    arguments = ("--socket", backend, "--buffer-size", "65535", *MIRROR)
    with running_uwgate(*arguments, folder=folder) as workers:
        workers.wait_for_socket(backend)
        with peers.nginx(folder, backend) as address:
            yield address


@contextlib.contextmanager
def apache_before_workers(folder: Path) -> Iterator[Address]:
    backend = f"{folder}/workers.sock"
    arguments = ("--socket", backend, "--chmod-socket=666", "--buffer-size", "65535", *MIRROR)
    with running_uwgate(*arguments, folder=folder) as workers:
        workers.wait_for_socket(backend)
        with peers.apache(folder, backend) as address:
            yield address


@contextlib.contextmanager
def nginx_before_fastrouter(folder: Path) -> Iterator[Address]:
    """Workers of both kinds behind it, in turn."""
    door, ours, theirs = f"{folder}/door.sock", f"{folder}/ours.sock", f"{folder}/theirs.sock"
    router = ("--fastrouter", door, "--fastrouter-to", ours, "--fastrouter-to", theirs)
    arguments = (*router, "--socket", ours, "--buffer-size", "65535", *MIRROR)
    with (
        peers.uwsgi(folder, "--socket", theirs),
        running_uwgate(*arguments, folder=folder) as program,
    ):
        program.wait_for_socket(door)
        with peers.nginx(folder, door) as address:
            yield address


@contextlib.contextmanager
def nginx_before_fastrouter_with_workers(folder: Path) -> Iterator[Address]:
    """Workers of its own, by leases."""
    door = f"{folder}/door.sock"
    arguments = ("--fastrouter", door, "--buffer-size", "65535", *MIRROR)
    with running_uwgate(*arguments, folder=folder) as program:
        program.wait_for_socket(door)
        with peers.nginx(folder, door) as address:
            yield address


@contextlib.contextmanager
def gateway_before_nginx(folder: Path) -> Iterator[Address]:
    backend = f"{folder}/uwsgi.sock"
    with (
        peers.uwsgi(folder, "--socket", backend),
        peers.nginx(folder, backend) as (host, port),
        running_uwgate(
            "--http=127.0.0.1:0", f"--http-to={host}:{port}", "--http-backend-http", folder=folder
        ) as gateway,
    ):
        yield gateway.address


@contextlib.contextmanager
def gateway_before_uwsgi(folder: Path) -> Iterator[Address]:
    backend = f"{folder}/uwsgi.sock"
    with (
        peers.uwsgi(folder, "--socket", backend),
        running_uwgate("--http", "127.0.0.1:0", "--http-to", backend, folder=folder) as gateway,
    ):
        yield gateway.address


@contextlib.contextmanager
def gateway_before_workers(folder: Path) -> Iterator[Address]:
    with running_uwgate("--http", "127.0.0.1:0", *MIRROR, folder=folder) as gateway:
        yield gateway.address


@contextlib.contextmanager
def http_socket(folder: Path) -> Iterator[Address]:
    arguments = ("--http-socket", "127.0.0.1:0", "--buffer-size", "65535", *MIRROR)
    with running_uwgate(*arguments, folder=folder) as workers:
        yield workers.address


@contextlib.contextmanager
def http11_socket(folder: Path) -> Iterator[Address]:
    arguments = ("--http11-socket", "127.0.0.1:0", "--buffer-size", "65535", *MIRROR)
    with running_uwgate(*arguments, folder=folder) as workers:
        yield workers.address


@contextlib.contextmanager
def uwsgi_alone(folder: Path) -> Iterator[Address]:
    port = free_port()
    with peers.uwsgi(folder, "--http", f"127.0.0.1:{port}", "--http-keepalive") as process:
        process.wait_for_socket(("127.0.0.1", port))
        yield "127.0.0.1", port


@contextlib.contextmanager
def nginx_before_uwsgi(folder: Path) -> Iterator[Address]:
    backend = f"{folder}/uwsgi.sock"
    with peers.uwsgi(folder, "--socket", backend), peers.nginx(folder, backend) as address:
        yield address


@contextlib.contextmanager
def apache_before_uwsgi(folder: Path) -> Iterator[Address]:
    backend = f"{folder}/uwsgi.sock"
    with (
        peers.uwsgi(folder, "--socket", backend, "--chmod-socket=666"),
        peers.apache(folder, backend) as address,
    ):
        yield address


OURS: dict[str, Callable[[Path], AbstractContextManager[Address]]] = {
    "nginx_before_workers": nginx_before_workers,
    "apache_before_workers": apache_before_workers,
    "nginx_before_fastrouter": nginx_before_fastrouter,
    "nginx_before_fastrouter_with_workers": nginx_before_fastrouter_with_workers,
    "gateway_before_nginx": gateway_before_nginx,
    "gateway_before_uwsgi": gateway_before_uwsgi,
    "gateway_before_workers": gateway_before_workers,
    "http_socket": http_socket,
    "http11_socket": http11_socket,
}
THEIRS: dict[str, Callable[[Path], AbstractContextManager[Address]]] = {
    "uwsgi_alone": uwsgi_alone,
    "nginx_before_uwsgi": nginx_before_uwsgi,
    "apache_before_uwsgi": apache_before_uwsgi,
}
ALL = {**OURS, **THEIRS}


@pytest.fixture(scope="module", params=ALL)
def front(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[Front]:
    """One front after the other, running."""
    name = request.param
    folder = shared_folder / name
    folder.mkdir()
    folder.chmod(0o755)
    with ALL[name](folder) as address:
        yield Front(name, address)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_the_method_arrives(front: Front, method: str) -> None:
    answer = ask(front.address, request(method, "/path?query"))
    assert answer.status == 200
    seen = answer.json()
    assert seen["method"] == method
    assert (seen["path"], seen["query"]) == ("/path", "query")


def test_head_gets_the_head_of_the_answer_alone(front: Front) -> None:
    with Connection(front.address) as connection:
        connection.send(request("HEAD", "/path", [("Connection", "close")]))
        answer = connection.answer("HEAD")
        assert (answer.status, answer["x-method"]) == (200, "HEAD")
        assert connection.ended()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [b"", b"x", b"\0\r\n\r\n0\r\n\r\n", LARGE], ids=len)
def test_a_body_with_a_length_arrives_whole(front: Front, method: str, body: bytes) -> None:
    kind = ("Content-Type", "application/x-thing; a=b")
    seen = ask(front.address, request(method, "/", [kind], body)).json()
    assert (seen["size"], seen["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert seen["type"] == kind[1]
    assert seen["length"] in (str(len(body)), "" if not body else None)


@pytest.mark.parametrize("body", [b"", b"x", b"\0\r\n\r\n0\r\n\r\n", LARGE], ids=len)
def test_a_chunked_body_arrives_whole(front: Front, body: bytes) -> None:
    if front.name == "uwsgi_alone":
        pytest.skip("uWSGI gives chunked bodies to uwsgi.chunked_read() alone")
    if front.name.startswith("apache"):
        pytest.skip("mod_proxy_uwsgi itself answers 411")
    seen = ask(front.address, request("POST", "/", (), body, chunked=True)).json()
    assert (seen["size"], seen["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


def test_a_body_that_comes_in_two_parts_arrives_whole(front: Front) -> None:
    data = request("POST", "/", (), b"0123456789" * 1000)
    with Connection(front.address) as connection:
        connection.send(data[:-7000])
        connection.send(data[-7000:])
        assert connection.answer().json()["size"] == 10000


@pytest.mark.parametrize(
    ("name", "value", "variable", "seen"),
    [
        ("X-Plain", "value", "HTTP_X_PLAIN", "value"),
        ("x-lower-case", "Value", "HTTP_X_LOWER_CASE", "Value"),
        ("X-MiXeD", "v", "HTTP_X_MIXED", "v"),
        ("X-Empty", "", "HTTP_X_EMPTY", ""),
        ("X-Blanks", "  in  the  middle", "HTTP_X_BLANKS", "in  the  middle"),
        ("X-Colon", "a:b: c", "HTTP_X_COLON", "a:b: c"),
        ("X-Latin", "caf\xe9", "HTTP_X_LATIN", "caf\xe9"),
        ("X-Utf8", "caf\xc3\xa9", "HTTP_X_UTF8", "caf\xc3\xa9"),
        ("X-Quotes", '"a, b" \\ %41', "HTTP_X_QUOTES", '"a, b" \\ %41'),
        ("X-Long", "z" * 8000, "HTTP_X_LONG", "z" * 8000),
        ("Cookie", "a=1; b=2", "HTTP_COOKIE", "a=1; b=2"),
        ("Authorization", "Basic dTpw", "HTTP_AUTHORIZATION", "Basic dTpw"),
        ("User-Agent", "matrix/1.0 (x)", "HTTP_USER_AGENT", "matrix/1.0 (x)"),
        ("Accept-Encoding", "gzip, br;q=0.5", "HTTP_ACCEPT_ENCODING", "gzip, br;q=0.5"),
        ("X-1", "digit", "HTTP_X_1", "digit"),
    ],
)
def test_a_header_arrives_as_its_variable(
    front: Front, name: str, value: str, variable: str, seen: str
) -> None:
    answer = ask(front.address, request("GET", "/", [(name, value)]))
    # nginx leaves empty headers out, as CGI allows.
    empty = "" if front.name.startswith("nginx") and not seen else None
    assert answer.json()["headers"].get(variable, empty) == seen


def test_the_host_arrives(front: Front) -> None:
    seen = ask(front.address, request(host="Name.example:8080")).json()
    assert seen["headers"]["HTTP_HOST"] == "Name.example:8080"


def test_a_repeated_header_arrives_joined(front: Front) -> None:
    fields = [("X-Many", "one"), ("X-Other", "x"), ("X-Many", "two"), ("x-many", "three")]
    seen = ask(front.address, request(headers=fields)).json()
    # nginx sends one variable a line, all of one name, and the last one counts.
    expected = "three" if front.name.startswith("nginx") else "one, two, three"
    assert seen["headers"]["HTTP_X_MANY"] == expected


def test_fifty_headers_arrive(front: Front) -> None:
    fields = [(f"X-Number-{number}", str(number) * 20) for number in range(50)]
    seen = ask(front.address, request(headers=fields)).json()["headers"]
    assert [seen[f"HTTP_X_NUMBER_{number}"] for number in range(50)] == [v for _, v in fields]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b", "/a/b", ""),
        ("/a/", "/a/", ""),
        ("/a?", "/a", ""),
        ("/?x", "/", "x"),
        ("/a?b?c", "/a", "b?c"),
        ("/a?x=1&y=%20", "/a", "x=1&y=%20"),
        ("/a?q=caf%C3%A9&r=%2F%00", "/a", "q=caf%C3%A9&r=%2F%00"),
        ("/a%20b", "/a b", ""),
        ("/caf%C3%A9", "/caf\xc3\xa9", ""),
        ("/%41", "/A", ""),
        ("/a+b", "/a+b", ""),
        ("/a;p=1/b", "/a;p=1/b", ""),
        ("/a/./b", "/a/b", ""),
        ("/a/b/../c", "/a/c", ""),
        ("/a/.b", "/a/.b", ""),
        ("/a/..b", "/a/..b", ""),
        ("/...", "/...", ""),
        ("/%3Fx", "/?x", ""),
        ("/" + "long/" * 700, "/" + "long/" * 700, ""),
        ("/?" + "q" * 3500, "/", "q" * 3500),
    ],
    ids=lambda text: text[:24],
)
def test_path_and_query_arrive_decoded_once(
    front: Front, target: str, path: str, query: str
) -> None:
    seen = ask(front.address, request("GET", target)).json()
    assert (seen["path"], seen["query"], seen["script"]) == (path, query, "")
    assert seen["uri"] == target


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a//b", "/a//b"),
        ("//", "//"),
        ("/./", "/"),
        ("/.", "/"),
        ("/a/.", "/a/"),
        ("/..b", "/..b"),
        ("/../x", "/x"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/b/.."[:3]),
        ("/a/../../b", "/b"),
        ("/%2F", "//"),
        ("/a%2Fb", "/a/b"),
        ("/a%25%34%31", "/a%41"),
    ],
)
def test_odd_paths_arrive_as_the_original_reads_them(front: Front, target: str, path: str) -> None:
    if front.name.startswith(("nginx", "apache")) or front.name.endswith("nginx"):
        pytest.skip("these have rules of their own for paths")
    assert ask(front.address, request("GET", target)).json()["path"] == path


def test_an_http_1_0_client_gets_its_answer_and_the_end(front: Front) -> None:
    with Connection(front.address) as connection:
        connection.send(b"GET /old HTTP/1.0\r\nHost: example.com\r\n\r\n")
        answer = connection.answer()
        assert (answer.status, answer.json()["path"]) == (200, "/old")
        assert "transfer-encoding" not in answer
        assert connection.ended()


def test_the_answer_says_how_long_it_is(front: Front) -> None:
    answer = ask(front.address, request())
    assert answer["content-type"] == "application/json"
    assert int(answer["content-length"]) == len(answer.body)


def test_thirty_requests_one_after_the_other_are_all_answered(front: Front) -> None:
    def visit(number: int) -> Answer:
        return ask(front.address, request("POST", f"/{number}", (), b"x" * number))

    answers = [visit(number).json() for number in range(30)]
    assert [(seen["path"], seen["size"]) for seen in answers] == [(f"/{n}", n) for n in range(30)]
