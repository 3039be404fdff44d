"""FastCGI and SCGI behind rules: a real uWSGI answers, to a gateway and to a worker."""

from __future__ import annotations

import contextlib
import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from . import peers
from .processes import PATIENCE, free_port, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

APP = """
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"].endswith("/none"):
        start_response("204 No Content", [])
        return []
    start_response("201 Made", [("Content-Type", "text/plain"), ("X-Twice", "1"), ("X-Twice", "2")])
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_LENGTH", "HTTP_X_ODD", "TAG")
    return [repr([environ.get(name) for name in names]).encode(), b" ", body]
"""
CHUNKS = (b"ab", b"c" * 70_000)


@dataclass(frozen=True, slots=True)
class Doors:
    """Addresses by who runs the rules."""

    addresses: dict[str, tuple[str, int]]


@pytest.fixture(scope="module")
def doors(shared_folder: Path) -> Iterator[Doors]:
    app = shared_folder / "app.py"
    app.write_text(APP)
    sockets = shared_folder / "f.sock", shared_folder / "s.sock"
    arguments = ("--fastcgi-socket", str(sockets[0]), "--scgi-socket", str(sockets[1]))
    rules = [
        "route-run = addvar:TAG=by-rule",
        f"route = ^/fcgi fcgi:{sockets[0]}",
        f"route = ^/scgi scgi:{sockets[1]}",
        f"route = ^/gone fcgi:{shared_folder}/nobody.sock",
    ]
    ports = free_port(), free_port()
    config = shared_folder / "uwgate.ini"
    config.write_text("\n".join(["[uwsgi]", *rules]))
    with (
        peers.uwsgi(shared_folder, *arguments, app=str(app)),
        running_uwgate(
            *("--ini", str(config), "--wsgi-file", str(app), "--http", f"127.0.0.1:{ports[0]}"),
            *("--http-socket", f"127.0.0.1:{ports[1]}"),
            folder=shared_folder,
        ) as program,
    ):
        program.wait_for_log("generation 1 serves")
        yield Doors({"gateway": ("127.0.0.1", ports[0]), "worker": ("127.0.0.1", ports[1])})


def ask(
    address: tuple[str, int], target: str, body: bytes | Iterable[bytes] | None = None
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    with contextlib.closing(connection):
        method = "GET" if body is None else "POST"
        connection.request(method, target, body, {"X-Odd": "yes", "Proxy": "evil"})
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()


@pytest.mark.parametrize("protocol", ["fcgi", "scgi"])
@pytest.mark.parametrize("door", ["gateway", "worker"])
def test_a_real_uwsgi_is_asked(doors: Doors, door: str, protocol: str) -> None:
    address = doors.addresses[door]
    status, fields, body = ask(address, f"/{protocol}/a%20b?c=d")
    assert status == 201
    assert [value for name, value in fields if name == "X-Twice"] == ["1", "2"]
    assert "Status" not in dict(fields)
    length = "" if protocol == "fcgi" else "0"
    seen = ["GET", f"/{protocol}/a b", "c=d", length, "yes", "by-rule"]
    assert body == repr(seen).encode() + b" "
    assert ask(address, f"/{protocol}/none")[::2] == (204, b"")


@pytest.mark.parametrize("protocol", ["fcgi", "scgi"])
@pytest.mark.parametrize("door", ["gateway", "worker"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_reaches_it(doors: Doors, door: str, protocol: str, chunked: bool) -> None:
    whole = b"".join(CHUNKS)
    status, _, body = ask(doors.addresses[door], f"/{protocol}", CHUNKS if chunked else whole)
    seen = ["POST", f"/{protocol}", "", str(len(whole)), "yes", "by-rule"]
    assert (status, body) == (201, repr(seen).encode() + b" " + whole)


@pytest.mark.parametrize("door", ["gateway", "worker"])
def test_a_backend_that_is_gone_is_a_502(doors: Doors, door: str) -> None:
    assert ask(doors.addresses[door], "/gone")[0] == 502
