"""The same rules in a real uWSGI and in uwgate: the same status, headers and body.

The cases are in tests/cases/routing (``routing_cases`` says how to read them).
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import temporary_folder
from .peers import program
from .processes import Process, Uwgate, finish_uwgate, free_port, start_uwgate
from .routing_cases import FILES, Ask, Case, CaseFile, fill, read

APP = Path(__file__).parents[1] / "routing" / "mirror.py"
PATIENCE = 30.0  # seconds
OURS_ALONE = (b"date", b"connection", b"accept-ranges", b"etag")  # uWSGI sends none by itself
FRAMING = b"content-length"

CASES = [(path, case) for path in FILES for case in read(path).cases]


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; ``status`` is empty if there was no head."""

    status: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    length: bytes | None
    body: bytes

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
        return Response(b"", (), None, data)
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.split(b"\r\n")
    pairs = [(name, value.strip()) for name, _, value in (one.partition(b":") for one in rest)]
    lengths = [value for name, value in pairs if name.lower() == FRAMING]
    kept = tuple(pair for pair in pairs if pair[0].lower() not in (*OURS_ALONE, FRAMING))
    return Response(line.partition(b" ")[2], kept, lengths[0] if lengths else None, body)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both servers with the rules of one file."""

    theirs: tuple[str, int]
    ours: tuple[str, int]


class Servers:
    """A pair of servers for each file; all start at the same time."""

    def __init__(self, ends: contextlib.ExitStack, folder: Path) -> None:
        self._ends = ends
        self._folder = folder
        self.places = {"": str(folder / "files")}
        self._starting = {path: self._start(read(path)) for path in FILES}

    def filled(self, request: bytes) -> bytes:
        """A request with the places that it names."""
        return fill(request.decode("latin-1"), self.places).encode("latin-1")

    def of(self, path: Path) -> Pair:
        """The pair for a file of cases."""
        peer, port, gate = self._starting[path]
        peer.wait_for_log("spawned uWSGI worker 1")
        gate.wait_for_log("generation 1 serves")
        return Pair(("127.0.0.1", port), gate.address)

    def _start(self, cases: CaseFile) -> tuple[Process, int, Uwgate]:
        port = free_port()
        name = cases.path.stem
        common = f"wsgi-file = {APP}\nneed-app = true\nbuffer-size = 65535\n"
        common += cases.ini(self.places)
        theirs, ours = (self._folder / f"{name}-{who}.ini" for who in ("theirs", "ours"))
        theirs.write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:{port}\nmaster = true\n{common}")
        ours.write_text(f"[uwsgi]\nhttp-socket = 127.0.0.1:0\n{common}")
        argv = [program("uwsgi"), "--die-on-term", str(theirs)]
        peer = Process(argv, folder=self._folder, name=theirs.stem)
        self._ends.callback(peer.stop)
        gate = start_uwgate(str(ours), folder=self._folder, name=ours.stem)
        self._ends.callback(finish_uwgate, gate)
        return peer, port, gate


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Everything that the cases need."""
    with temporary_folder() as folder, contextlib.ExitStack() as ends:
        shutil.copytree(APP.parents[1] / "cases" / "routing" / "files", folder / "files")
        yield Servers(ends, folder)


@pytest.mark.parametrize(("path", "case"), CASES, ids=lambda one: getattr(one, "name", None))
def test_both_give_the_same_answers(servers: Servers, path: Path, case: Case) -> None:
    pair = servers.of(path)
    assert case.asks
    for one in case.asks:
        request = servers.filled(one.as_bytes(case.name))
        compare(one, ask(pair.theirs, request), ask(pair.ours, request))


def compare(asked: Ask, theirs: Response, ours: Response) -> None:
    """See that both are the same, or differ as meant."""
    same = (theirs.status, theirs.headers, theirs.body) == (ours.status, ours.headers, ours.body)
    same = same and theirs.length in (None, ours.length)
    if not asked.differs:
        assert same, f"{asked.line}\n--- uWSGI\n{theirs}\n--- uwgate\n{ours}"
        return
    assert not same, f"{asked.line}: is the same in both, and is to differ: {asked.differs}"
    status, _, part = asked.ours.partition("|")
    assert ours.status.startswith(status.strip().encode()), f"{asked.line}\n{ours}"
    assert part.strip().encode() in ours.body, f"{asked.line}\n{ours}"


_ROW = re.compile(r"(?:condition|action|variable|transformation|chain|option|recipe|engine) \S+")


@pytest.mark.parametrize(("path", "case"), CASES, ids=lambda one: getattr(one, "name", None))
def test_a_case_says_what_it_tries(path: Path, case: Case) -> None:
    del path
    assert case.rows
    assert all(_ROW.fullmatch(row) for row in case.rows)
