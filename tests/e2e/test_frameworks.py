"""Applications of real frameworks, unchanged, over real sockets."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from .client import Answer, Connection, Upload, ask, request
from .processes import APPS, PATIENCE, Uwgate, forget_peak, peak, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = 16 << 20  # bytes that a process may grow by, whatever goes through it
UPLOAD = Upload(48)  # MiB
MUCH = 128 << 20  # bytes


@dataclass(frozen=True)
class Site:
    """A served application. ``folder`` is where it keeps its files."""

    program: Uwgate
    folder: Path

    def ask(self, data: bytes, method: str = "GET") -> Answer:
        """One request and its answer."""
        return ask(self.program.address, data, method)

    def processes(self) -> list[int]:
        """Those through which bodies go."""
        gateways = self.program.wait_for_processes("http", 1)
        return gateways + self.program.wait_for_processes("worker", 2)

    def growth(self, before: dict[int, int]) -> dict[int, int]:
        """How far above ``before`` the memory of each process has ever been."""
        return {pid: peak(pid) - before[pid] for pid in before}

    def remember(self) -> dict[int, int]:
        """Memory of each process now; peaks count from here."""
        for pid in self.processes():
            forget_peak(pid)
        return {pid: peak(pid) for pid in self.processes()}


@pytest.fixture(scope="module")
def flask(shared_folder: Path) -> Iterator[Site]:
    pytest.importorskip("flask")
    folder = shared_folder / "flask"
    folder.mkdir()
    arguments = ("--http", "127.0.0.1:0", "--module", "flask_site:app", "--processes", "2")
    with running_uwgate(*arguments, f"--pythonpath={APPS}", folder=folder) as program:
        yield Site(program, folder)


@pytest.fixture(scope="module")
def bottle(shared_folder: Path) -> Iterator[Site]:
    pytest.importorskip("bottle")
    folder = shared_folder / "bottle"
    folder.mkdir()
    arguments = ("--http", "127.0.0.1:0", "--module", "bottle_site:app", "--processes", "2")
    environment = {"FILES": os.fspath(folder)}
    with running_uwgate(
        *arguments, f"--pythonpath={APPS}", folder=folder, env=environment
    ) as program:
        yield Site(program, folder)


@pytest.fixture(scope="module")
def django(shared_folder: Path) -> Iterator[Site]:
    pytest.importorskip("django")
    folder = shared_folder / "django"
    folder.mkdir()
    environment = {
        "DJANGO_FOLDER": os.fspath(folder),
        "DJANGO_SETTINGS_MODULE": "django_site.settings",
        "DJANGO_SUPERUSER_PASSWORD": "secret",
        "PYTHONPATH": os.fspath(APPS),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for command in (["migrate"], ["createsuperuser", "--username=ada", "--email=a@example.com"]):
        argv = [sys.executable, "-m", "django", *command, "--no-input", "--verbosity=0"]
        subprocess.run(argv, env={**os.environ, **environment}, check=True, timeout=PATIENCE)
    del environment["PYTHONPATH"]
    arguments = ("--http", "127.0.0.1:0", "--module", "django_site.wsgi", "--processes", "2")
    with running_uwgate(
        *arguments, f"--pythonpath={APPS}", folder=folder, env=environment
    ) as program:
        yield Site(program, folder)


def test_flask_answers_and_keeps_a_session(flask: Site) -> None:
    answer = flask.ask(request("GET", "/hello/J%C3%BCrgen?greeting=gr%C3%BC%C3%9F+dich"))
    assert (answer.status, answer.body.decode()) == (200, "Hello Jürgen, grüß dich\n")
    cookie = answer["set-cookie"].partition(";")[0]
    again = flask.ask(request("GET", "/again", [("Cookie", cookie)]))
    assert again.json() == {"name": "Jürgen"}


def test_flask_reads_a_form_with_a_file(flask: Site) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
        b'--b\r\nContent-Disposition: form-data; name="part"; filename="a.bin"\r\n\r\n'
        + bytes(range(256))
        + b"\r\n--b--\r\n"
    )
    kind = ("Content-Type", "multipart/form-data; boundary=b")
    seen = flask.ask(request("POST", "/form", [kind], body)).json()
    assert (seen["name"], seen["field"]) == ("a.bin", "value")
    assert seen["sha256"].startswith("40aff2e9d2d8922e47afd4648e696749")


def test_flask_answers_an_exception_with_500(flask: Site) -> None:
    answer = flask.ask(request("GET", "/error"))
    assert answer.status == 500
    assert b"as asked for" not in answer.body
    flask.program.wait_for_log("RuntimeError: as asked for")
    flask.program.tracebacks_expected = True


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("name", ["flask", "bottle", "django"])
def test_a_large_upload_arrives_whole_at_constant_memory(
    request: pytest.FixtureRequest, name: str, chunked: bool
) -> None:
    if chunked and name != "flask":
        pytest.skip(f"{name} reads no body without a CONTENT_LENGTH: see post-buffering below")
    site: Site = request.getfixturevalue(name)
    before = site.remember()
    with Connection(site.program.address) as connection:
        seen = UPLOAD.send(connection, "/upload", chunked=chunked).json()
    assert seen == {"size": UPLOAD.size, "sha256": UPLOAD.sha256()}
    assert max(site.growth(before).values()) < MEMORY


def test_a_large_download_comes_whole_at_constant_memory(flask: Site) -> None:
    block = bytes(range(256)) * 256
    before = flask.remember()
    with Connection(flask.program.address) as connection:
        connection.send(request("GET", f"/download/{MUCH // len(block)}"))
        head = connection.head()
        size, first = 0, b""
        for piece in connection.pieces(head):
            # Pieces end anywhere: each has to go on where the last one ended.
            start = size % 256
            assert piece[:64] == (block[start : start + 64])[: len(piece)]
            first = first or piece
            size += len(piece)
    assert (head.status, size) == (200, MUCH)
    assert max(flask.growth(before).values()) < MEMORY


def test_a_large_file_comes_whole_at_constant_memory(bottle: Site) -> None:
    with (bottle.folder / "large").open("wb") as file:
        file.truncate(MUCH)
        file.seek(MUCH - 3)
        file.write(b"end")
    before = bottle.remember()
    with Connection(bottle.program.address) as connection:
        connection.send(request("GET", "/file/large"))
        head = connection.head()
        size, last = 0, b""
        for last in connection.pieces(head):
            size += len(last)
    assert (head.status, int(head["content-length"]), size) == (200, MUCH, MUCH)
    assert last.endswith(b"end")
    assert max(bottle.growth(before).values()) < MEMORY


def test_bottle_answers_and_sets_a_cookie(bottle: Site) -> None:
    answer = bottle.ask(request("GET", "/hello/ada"))
    assert (answer.status, answer.body) == (200, b"Hello ada\n")
    cookie = answer["set-cookie"].partition(";")[0]
    assert bottle.ask(request("GET", "/again", [("Cookie", cookie)])).json() == {"name": "ada"}


def test_bottle_streams(bottle: Site) -> None:
    assert bottle.ask(request("GET", "/stream")).body == b"one\ntwo\n"


def test_bottle_sends_part_of_a_file(bottle: Site) -> None:
    (bottle.folder / "small").write_bytes(bytes(range(200)))
    answer = bottle.ask(request("GET", "/file/small", [("Range", "bytes=10-19")]))
    assert (answer.status, answer.body) == (206, bytes(range(10, 20)))


def test_django_serves_its_admin_pages_to_who_logs_in(django: Site) -> None:
    form = django.ask(request("GET", "/admin/login/?next=/admin/"))
    assert form.status == 200
    token = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', form.body)
    assert token
    cookie = form["set-cookie"].partition(";")[0]
    fields = {
        "csrfmiddlewaretoken": token[1].decode(),
        "username": "ada",
        "password": "secret",
        "next": "/admin/",
    }
    headers = [("Cookie", cookie), ("Content-Type", "application/x-www-form-urlencoded")]
    body = urlencode(fields).encode()
    login = django.ask(request("POST", "/admin/login/?next=/admin/", headers, body))
    assert (login.status, login["location"]) == (302, "/admin/")
    cookies = [value.partition(";")[0] for name, value in login.headers if name == "Set-Cookie"]
    assert len(cookies) == 2  # a new token, and the session: two lines, never joined
    page = django.ask(request("GET", "/admin/", [("Cookie", "; ".join(cookies))]))
    assert page.status == 200
    assert b"Site administration" in page.body
    wrong = urlencode({**fields, "password": "guess"}).encode()
    assert django.ask(request("POST", "/admin/login/", headers, wrong)).status == 200


@pytest.mark.parametrize(
    "name", ["admin/css/base.css", "admin/js/vendor/jquery/jquery.js", "admin/img/icon-yes.svg"]
)
def test_django_serves_the_admin_pages_files(django: Site, name: str) -> None:
    package = importlib.util.find_spec("django")
    assert package
    assert package.origin
    answer = django.ask(request("GET", f"/static/{name}"))
    path = Path(package.origin).parent / "contrib/admin/static" / name
    assert answer.body == path.read_bytes()
    assert int(answer["content-length"]) == len(answer.body)


@pytest.mark.parametrize("module", ["bottle_site:app", "django_site.wsgi"])
def test_buffering_gives_chunked_bodies_to_those_who_want_a_length(
    django: Site, module: str
) -> None:
    folder = django.folder / module.partition(":")[0]
    folder.mkdir()
    environment = {"FILES": "", "DJANGO_FOLDER": os.fspath(folder)}
    arguments = ("--http=127.0.0.1:0", "--module", module, "--post-buffering=65536", "-p2")
    with running_uwgate(
        *arguments, f"--pythonpath={APPS}", folder=folder, env=environment
    ) as program:
        site = Site(program, folder)
        before = site.remember()
        with Connection(program.address) as connection:
            seen = UPLOAD.send(connection, "/upload", chunked=True).json()
        assert seen == {"size": UPLOAD.size, "sha256": UPLOAD.sha256()}
        assert max(site.growth(before).values()) < MEMORY
