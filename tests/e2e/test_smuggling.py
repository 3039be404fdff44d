"""One request in is at most one request out, and all agree where it ends (tests/smuggling/)."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.smuggling.corpus import Case, load

from .client import Connection, ask, request
from .peers import nginx, uwsgi
from .processes import APPS, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .processes import Address

SECOND = b"GET /second HTTP/1.1\r\nHost: example.com\r\n\r\n"
WITNESS = APPS / "witness.py"


@dataclass(frozen=True)
class Entrance:
    """A way in, and the file in which the application leaves a line for each request.

    ``keeps``: a connection is good for more than one request.
    """

    address: Address
    trace: Path
    keeps: bool

    def runs(self) -> list[str]:
        """The requests that reached the application so far."""
        return self.trace.read_text().splitlines()

    def assert_well(self, before: list[str], *allowed: str) -> None:
        """Nothing else has run since, and another client's request is read as ever.

        There is one worker, and it takes who comes first: when it has answered, whatever was
        begun before has run.
        """
        assert ask(self.address, request("GET", "/third")).body == b"ok\n"
        *since, last = self.runs()[len(before) :]
        assert last == "GET /third"
        assert since in ([], [*allowed])


@contextlib.contextmanager
def through(way: str, folder: Path, env: dict[str, str]) -> Iterator[Address]:
    """The address of an instance that is reached in this way."""
    if way == "http-to":
        backend = str(folder / "uwsgi")
        with uwsgi(folder, "--socket", backend, app=WITNESS.name, env=env, processes=1):
            arguments = ["--http", "127.0.0.1:0", "--http-to", backend, "-p0"]
            with running_uwgate(*arguments, folder=folder) as program:
                yield program.address
    elif way == "http-to-nginx":
        backend = str(folder / "uwsgi")
        with (
            uwsgi(folder, "--socket", backend, app=WITNESS.name, env=env, processes=1),
            nginx(folder, backend) as (host, port),
        ):
            to = ["--http-to", f"{host}:{port}", "--http-backend-http", "-p0"]
            with running_uwgate("--http", "127.0.0.1:0", *to, folder=folder) as program:
                yield program.address
    else:
        arguments = [f"--{way}", "127.0.0.1:0", "--wsgi-file", str(WITNESS)]
        with running_uwgate(*arguments, folder=folder, env=env) as program:
            yield program.address


WAYS = ["http", "http-to", "http-to-nginx", "http-socket", "http11-socket"]


@pytest.fixture(scope="module", params=WAYS)
def entrance(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[Entrance]:
    way = str(request.param)
    folder = shared_folder / way
    folder.mkdir()
    trace = folder / "trace"
    trace.touch()
    with through(way, folder, {"TRACE": os.fspath(trace)}) as address:
        yield Entrance(address, trace, way != "http-socket")


@pytest.mark.parametrize("case", load("refused"), ids=str)
def test_an_ambiguous_request_is_refused_and_ends_the_connection(
    entrance: Entrance, case: Case
) -> None:
    before = entrance.runs()
    with Connection(entrance.address) as connection:
        connection.send_what_it_takes(case.data + SECOND)
        assert connection.answer().status in case.numbers
        assert connection.ended()
    entrance.assert_well(before)


@pytest.mark.parametrize("case", load("broken"), ids=str)
def test_a_broken_body_ends_the_connection_and_what_follows_does_not_run(
    entrance: Entrance, case: Case
) -> None:
    before = entrance.runs()
    with Connection(entrance.address) as connection:
        connection.send_what_it_takes(case.data + SECOND)
        # The application may have been started; then its answer is an error or none at all.
        assert connection.status_or_nothing() in (*case.numbers, None)
        assert connection.ended()
    entrance.assert_well(before, "POST /size")


@pytest.mark.parametrize("case", load("accepted"), ids=str)
def test_an_odd_but_clear_request_ends_where_it_says(entrance: Entrance, case: Case) -> None:
    before = entrance.runs()
    method = case.data.split()[0].decode()
    first = f"{method} /size" if case.numbers else f"{method} /first"
    body = str(*case.numbers).encode() or b"ok\n"
    with Connection(entrance.address) as connection:
        connection.send_what_it_takes(case.data + SECOND)
        answer = connection.answer()
        assert (answer.status, answer.body) == (200, body)
        second = connection.answer().body if entrance.keeps else b""
        assert second == (b"ok\n" if entrance.keeps else b"")
        assert entrance.keeps or connection.ended()
    entrance.assert_well([*before, first, *["GET /second"] * entrance.keeps])
