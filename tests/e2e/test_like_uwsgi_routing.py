"""The same rules in a real uWSGI and in uwgate: the same status, headers and body.

The cases are in tests/cases/routing (``routing_cases`` says how to read them).
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import temporary_folder
from .peers import program
from .processes import Process, finish_uwgate, free_port, start_uwgate
from .routing_cases import FILES, FOLDER, Ask, Case, CaseFile, fill, read

APP = FOLDER / "app.py"
SOURCE = str(Path(__file__).parents[2])  # where the application finds tests.routing.mirror
PATIENCE = 30.0  # seconds
# uWSGI sends none by itself.
OURS_ALONE = (b"date", b"connection", b"accept-ranges", b"etag", b"vary")
FRAMING = (b"content-length", b"transfer-encoding")

CASES = [(path, case) for path in FILES for case in read(path).cases]


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; ``status`` is empty if there was no head.

    ``length`` is Content-Length, None without one. ``chunks``: the body as it was sent, if that
    was in chunks, which are undone in ``body``.
    """

    status: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    length: bytes | None
    body: bytes
    chunks: bytes | None

    def __str__(self) -> str:
        lines = [self.status, *(b"%b: %b" % pair for pair in self.headers)]
        return b"\n".join([*lines, b"", self.body]).decode("utf-8", "backslashreplace")


def ask(address: tuple[str, int], request: bytes) -> Response:
    """One request on a connection of its own."""
    data = b""
    with socket.create_connection(address, PATIENCE) as connection:
        connection.sendall(request)
        with contextlib.suppress(ConnectionResetError):  # a killed worker's answer is none
            while received := connection.recv(65536):
                data += received
    if not data.startswith(b"HTTP/"):
        return Response(b"", (), None, data, None)
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.split(b"\r\n")
    pairs = [(name, value.strip()) for name, _, value in (one.partition(b":") for one in rest)]
    framing = {name.lower(): value for name, value in pairs if name.lower() in FRAMING}
    kept = tuple(pair for pair in pairs if pair[0].lower() not in (*OURS_ALONE, *FRAMING))
    in_chunks = b"transfer-encoding" in framing
    return Response(
        line.partition(b" ")[2],
        kept,
        framing.get(b"content-length"),
        unchunked(body) if in_chunks else body,
        body if in_chunks else None,
    )


def unchunked(data: bytes) -> bytes:
    """A body without its chunks."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        body += data[:length]
        assert data[length : length + 2] == b"\r\n", data
        data = data[length + 2 :]
    return body


@dataclass(frozen=True, slots=True)
class Pair:
    """Both servers with the rules of one file; clients reach ours by worker and by gateway."""

    theirs: tuple[str, int]
    worker: tuple[str, int]
    gateway: tuple[str, int]


class Servers:
    """A pair of servers for each file, started when it is first asked for."""

    def __init__(self, ends: contextlib.ExitStack, folder: Path) -> None:
        self._ends = ends
        self._folder = folder
        self.places = {"": str(folder / "files"), **self._backends()}
        self._pairs: dict[Path, Pair] = {}

    def filled(self, request: bytes) -> bytes:
        """A request with the places that it names."""
        return fill(request.decode("latin-1"), self.places).encode("latin-1")

    def of(self, path: Path) -> Pair:
        """The pair for a file of cases."""
        if path not in self._pairs:
            self._pairs[path] = self._start(read(path))
        return self._pairs[path]

    def _backends(self) -> dict[str, str]:
        """What rules hand requests to, by the names that cases have for them."""
        http, store = free_port(), free_port()
        packets = str(self._folder / "backend.sock")
        argv = [program("uwsgi"), "--die-on-term", "--http-socket", f"127.0.0.1:{http}"]
        argv += ["--socket", packets, "--wsgi-file", str(APP), "--pythonpath", SOURCE]
        argv += ["--need-app", "--master", "--buffer-size", "65535"]
        backend = Process(argv, folder=self._folder, name="backend")
        self._ends.callback(backend.stop)
        argv = [program("redis-server"), "--port", f"{store}", "--bind", "127.0.0.1"]
        redis = Process([*argv, "--save", ""], folder=self._folder, name="redis")
        self._ends.callback(redis.stop, signal.SIGTERM)
        backend.wait_for_log("spawned uWSGI worker 1")
        redis.wait_for_socket(("127.0.0.1", store))
        with socket.create_connection(("127.0.0.1", store), PATIENCE) as connection:
            connection.sendall(b"SET greeting hello\r\n")
            assert connection.recv(100) == b"+OK\r\n"
        addresses = {"http": f"127.0.0.1:{http}", "redis": f"127.0.0.1:{store}"}
        return addresses | {"uwsgi": packets, "dead": f"127.0.0.1:{free_port()}"}

    def _start(self, cases: CaseFile) -> Pair:
        port = free_port()
        name = cases.path.stem
        common = f"wsgi-file = {APP}\npythonpath = {SOURCE}\nneed-app = true\nbuffer-size = 65535\n"
        common += cases.ini(self.places)
        theirs, ours = (self._folder / f"{name}-{who}.ini" for who in ("theirs", "ours"))
        theirs.write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:{port}\nmaster = true\n{common}")
        ours.write_text(f"[uwsgi]\nhttp = 127.0.0.1:0\nhttp-socket = 127.0.0.1:0\n{common}")
        argv = [program("uwsgi"), "--die-on-term", str(theirs)]
        peer = Process(argv, folder=self._folder, name=theirs.stem)
        self._ends.callback(peer.stop)
        gate = start_uwgate(str(ours), folder=self._folder, name=ours.stem)
        self._ends.callback(finish_uwgate, gate)
        peer.wait_for_log("spawned uWSGI worker 1")
        gate.wait_for_log("generation 1 serves")
        gateway, worker = (
            ("127.0.0.1", int(gate.wait_for_log(rf"127\.0\.0\.1:(\d+) \({what}")[1]))
            for what in ("HTTP gateway", "workers")
        )
        return Pair(("127.0.0.1", port), worker, gateway)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Everything that the cases need."""
    with temporary_folder() as folder, contextlib.ExitStack() as ends:
        shutil.copytree(FOLDER / "files", folder / "files")
        (folder / "files/folder").mkdir(exist_ok=True)  # git keeps no empty ones
        yield Servers(ends, folder)


@pytest.mark.parametrize(("path", "case"), CASES, ids=lambda one: getattr(one, "name", None))
def test_a_worker_gives_the_same_answers(servers: Servers, path: Path, case: Case) -> None:
    pair = servers.of(path)
    assert case.asks
    for one in case.asks:
        request = servers.filled(one.as_bytes(case.name))
        theirs, ours = ask(pair.theirs, request), ask(pair.worker, request)
        compare(one, theirs, ours)
        assert one.differs or ours.chunks == theirs.chunks


@pytest.mark.parametrize(
    ("path", "case"),
    [(path, case) for path, case in CASES if not case.alone],
    ids=lambda one: getattr(one, "name", None),
)
def test_a_gateway_gives_the_same_answers(servers: Servers, path: Path, case: Case) -> None:
    pair = servers.of(path)
    for one in case.asks:
        request = servers.filled(one.as_bytes(case.name, close=True))
        compare(one, ask(pair.theirs, request), ask(pair.gateway, request))


def compare(asked: Ask, theirs: Response, ours: Response) -> None:
    """See that both are the same, or differ as meant."""
    same = (theirs.status, theirs.headers, theirs.body) == (ours.status, ours.headers, ours.body)
    same = same and theirs.length in (None, ours.length)
    if not asked.differs:
        assert same, f"{asked.line}\n--- uWSGI\n{theirs}\n--- uwgate\n{ours}"
        return
    same = same and theirs.chunks == ours.chunks
    assert not same, f"{asked.line}: is the same in both, and is to differ: {asked.differs}"
    status, _, part = asked.ours.partition("|")
    assert ours.status.startswith(status.strip().encode()), f"{asked.line}\n{ours}"
    assert part.strip().encode() in ours.body, f"{asked.line}\n{ours}"


_ROW = re.compile(r"(condition|action|variable|transformation|chain|option|recipe|engine) (\S+)")
_SEEN = {  # what has to be in a case's lines for a row of that kind
    "condition": "{}:",
    "action": "{}:",
    "transformation": "{}:",
    "variable": "${{{}[",
    "option": "{} =",
    "chain": "{}-route",
}


@pytest.mark.parametrize(
    ("path", "case", "row"),
    [(path, case, row) for path, case in CASES for row in case.rows or [""]],
    ids=lambda one: getattr(one, "name", None),
)
def test_a_case_tries_what_it_says(path: Path, case: Case, row: str) -> None:
    match = _ROW.fullmatch(row)
    assert match
    lines = "\n".join(f" {name} = {value}" for name, value in (*read(path).shared, *case.lines))
    assert _SEEN.get(match[1], "").format(match[2]) in lines
