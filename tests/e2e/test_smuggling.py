"""Requests that two programs could read differently: refused, and nothing of them runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from .client import Connection, ask, request
from .processes import APPS, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .processes import Address

HOST = b"Host: example.com\r\n"
GET = b"GET /first HTTP/1.1\r\n" + HOST
POST = b"POST /first HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = b"GET /second HTTP/1.1\r\n" + HOST + b"\r\n"

# What each is answered with. After every one of them comes SECOND, which must not run.
REFUSED: dict[str, tuple[bytes, set[int]]] = {
    # lines
    "bare LF after the request line": (b"GET /first HTTP/1.1\n" + HOST + b"\r\n", {400}),
    "bare LF after a header": (GET + b"X: y\nZ: z\r\n\r\n", {400}),
    "bare LF everywhere": (b"GET /first HTTP/1.1\nHost: example.com\n\n", {400}),
    "bare LF hides a header": (GET + b"X: y\nContent-Length: 5\r\n\r\nabcde", {400}),
    "bare CR in a value": (GET + b"X: y\rZ: z\r\n\r\n", {400}),
    "bare CR ends the head": (GET + b"\rX: y\r\n\r\n", {400}),
    "folded header": (GET + b"X: y\r\n z\r\n\r\n", {400}),
    "folded header with a tab": (GET + b"X: y\r\n\tz\r\n\r\n", {400}),
    "folded Transfer-Encoding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", {400}),
    "first header folded": (b"GET /first HTTP/1.1\r\n " + HOST + b"\r\n", {400}),
    "space before the colon": (POST + b"Content-Length : 5\r\n\r\nabcde", {400}),
    "tab before the colon": (POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", {400}),
    "header without a colon": (GET + b"Nonsense\r\n\r\n", {400}),
    "header without a name": (GET + b": value\r\n\r\n", {400}),
    "space in a name": (GET + b"X Y: z\r\n\r\n", {400}),
    "NUL in a value": (GET + b"X: a\0b\r\n\r\n", {400}),
    "NUL in a name": (GET + b"X\0Y: z\r\n\r\n", {400}),
    "control character in a value": (GET + b"X: a\x01b\r\n\r\n", {400}),
    "DEL in a value": (GET + b"X: a\x7fb\r\n\r\n", {400}),
    "byte above ASCII in a name": (GET + b"X\xe9: z\r\n\r\n", {400}),
    "parenthesis in a name": (GET + b"X(): z\r\n\r\n", {400}),
    # request line
    "no version": (b"GET /first\r\n" + HOST + b"\r\n", {400}),
    "version 2": (b"GET /first HTTP/2.0\r\n" + HOST + b"\r\n", {400, 505}),
    "version 1.2": (b"GET /first HTTP/1.2\r\n" + HOST + b"\r\n", {400, 505}),
    "version with a word behind": (b"GET /first HTTP/1.1 x\r\n" + HOST + b"\r\n", {400}),
    "lower case protocol": (b"GET /first http/1.1\r\n" + HOST + b"\r\n", {400}),
    "version of two digits": (b"GET /first HTTP/1.10\r\n" + HOST + b"\r\n", {400, 505}),
    "two spaces": (b"GET  /first HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "tab instead of space": (b"GET\t/first HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "space in the target": (b"GET /first second HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "NUL in the target": (b"GET /fir\0st HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "NUL escaped in the path": (b"GET /first%00 HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "broken escape in the path": (b"GET /first%zz HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "no target": (b"GET HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "target without a slash": (b"GET first HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "method in brackets": (b"(GET) /first HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60 + b"\r\n\r\n", {400}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    # Host
    "no Host": (b"GET /first HTTP/1.1\r\nX: y\r\n\r\n", {400}),
    "two Hosts": (GET + b"Host: example.org\r\n\r\n", {400}),
    "the same Host twice": (GET + HOST + b"\r\n", {400}),
    "two names in Host": (b"GET /first HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", {400}),
    "slash in Host": (b"GET /first HTTP/1.1\r\nHost: a.example/b\r\n\r\n", {400}),
    "user in Host": (b"GET /first HTTP/1.1\r\nHost: u@a.example\r\n\r\n", {400}),
    "space in Host": (b"GET /first HTTP/1.1\r\nHost: a b\r\n\r\n", {400}),
    # Content-Length
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", {400}),
    "the same length twice": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", {400}),
    "two lengths in one line": (POST + b"Content-Length: 5, 5\r\n\r\nabcde", {400}),
    "length with a sign": (POST + b"Content-Length: +5\r\n\r\nabcde", {400}),
    "negative length": (POST + b"Content-Length: -5\r\n\r\n", {400}),
    "hexadecimal length": (POST + b"Content-Length: 0x5\r\n\r\nabcde", {400}),
    "length with a letter": (POST + b"Content-Length: 5a\r\n\r\nabcde", {400}),
    "length with an underscore": (POST + b"Content-Length: 1_0\r\n\r\nabcdeabcde", {400}),
    "length with a space inside": (POST + b"Content-Length: 1 0\r\n\r\nabcdeabcde", {400}),
    "empty length": (POST + b"Content-Length:\r\n\r\n", {400}),
    "length beyond 64 bits": (POST + b"Content-Length: 18446744073709551621\r\n\r\nabcde", {400}),
    # Transfer-Encoding
    "length and chunks": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {400},
    ),
    "chunks and length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        {400},
    ),
    "xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "chunked in two lines": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {400, 501},
    ),
    "chunked and identity": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        {400, 501},
    ),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", {400, 501}),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "quoted chunked": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', {400, 501}),
    "empty Transfer-Encoding": (POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", {400, 501}),
    "vertical tab before chunked": (
        POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        {400, 501},
    ),
    "chunked in HTTP/1.0": (
        b"POST /first HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {400},
    ),
    # too much of it
    "a line without end": (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {414, 431}),
    "a header without end": (GET + b"X: " + b"a" * 70000 + b"\r\n\r\n", {431}),
    "headers without end": (GET + b"X: y\r\n" * 5000 + b"\r\n", {431}),
    "an unknown expectation": (POST + b"Expect: 200-ok\r\nContent-Length: 5\r\n\r\nabcde", {417}),
}

# The head is right and the body's framing is not: the application may have begun to read.
BROKEN_CHUNKS = {
    "no hexadecimal": b"xyz\r\nabcde\r\n0\r\n\r\n",
    "negative": b"-5\r\nabcde\r\n0\r\n\r\n",
    "with a sign": b"+5\r\nabcde\r\n0\r\n\r\n",
    "with a prefix": b"0x5\r\nabcde\r\n0\r\n\r\n",
    "with an underscore": b"0_5\r\nabcde\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nabcde\r\n0\r\n\r\n",
    "no size": b"\r\nabcde\r\n0\r\n\r\n",
    "bare LF after the size": b"5\nabcde\r\n0\r\n\r\n",
    "bare LF after the data": b"5\r\nabcde\n0\r\n\r\n",
    "no CR LF after the data": b"5\r\nabcdefg\r\n0\r\n\r\n",
    "bare LF in an extension": b"5;x\ny\r\nabcde\r\n0\r\n\r\n",
    "size beyond 64 bits": b"10000000000000005\r\nabcde\r\n0\r\n\r\n",
    "extension without end": b"5;" + b"x" * 70000 + b"\r\nabcde\r\n0\r\n\r\n",
    "trailer without a colon": b"5\r\nabcde\r\n0\r\nnonsense\r\n\r\n",
    "bare LF in a trailer": b"5\r\nabcde\r\n0\r\nX: y\nZ: z\r\n\r\n",
}

ENTRANCES = ("http", "http-socket", "http11-socket")


@dataclass(frozen=True)
class Entrance:
    """A way in, and the file in which the application leaves a line for each request."""

    address: Address
    trace: Path

    def runs(self) -> list[str]:
        """The requests that reached the application so far."""
        return self.trace.read_text().splitlines()


@pytest.fixture(scope="module", params=ENTRANCES)
def entrance(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[Entrance]:
    folder = shared_folder / request.param
    folder.mkdir()
    trace = folder / "trace"
    trace.touch()
    arguments = [f"--{request.param}", "127.0.0.1:0", "--wsgi-file", str(APPS / "witness.py")]
    environment = {"TRACE": os.fspath(trace)}
    with running_uwgate(*arguments, folder=folder, env=environment) as program:
        yield Entrance(program.address, trace)


@pytest.mark.parametrize("case", REFUSED)
def test_an_ambiguous_request_is_refused_and_ends_the_connection(
    entrance: Entrance, case: str
) -> None:
    data, statuses = REFUSED[case]
    before = entrance.runs()
    with Connection(entrance.address) as connection:
        connection.send_what_it_takes(data + SECOND)
        answer = connection.answer()
        assert answer.status in statuses
        assert connection.ended()
    assert entrance.runs() == before
    # What was refused is forgotten: another client's request is read as ever.
    assert ask(entrance.address, request("GET", "/third")).body == b"ok\n"
    assert entrance.runs() == [*before, "GET /third"]


@pytest.mark.parametrize("case", BROKEN_CHUNKS)
def test_broken_chunks_end_the_connection_and_what_follows_does_not_run(
    entrance: Entrance, case: str
) -> None:
    before = entrance.runs()
    with Connection(entrance.address) as connection:
        head = CHUNKED.replace(b"/first", b"/size")
        connection.send_what_it_takes(head + BROKEN_CHUNKS[case] + SECOND)
        # The application may have been started; then its answer is an error or none at all.
        assert connection.status_or_nothing() in (400, 413, 431, 500, 502, None)
        assert connection.ended()
    assert "GET /second" not in entrance.runs()[len(before) :]


@pytest.mark.parametrize("case", ["Chunked", "CHUNKED", "  chunked"])
def test_chunked_in_any_case_is_chunked(entrance: Entrance, case: str) -> None:
    data = POST.replace(b"/first", b"/size") + f"Transfer-Encoding: {case}\r\n\r\n".encode()
    assert ask(entrance.address, data + b"5\r\nabcde\r\n0\r\n\r\n").body == b"5"


def test_chunk_extensions_and_trailers_are_passed_over(entrance: Entrance) -> None:
    data = CHUNKED.replace(b"/first", b"/size") + b'5;a=b;c="d"\r\nabcde\r\n0\r\nX: y\r\n\r\n'
    assert ask(entrance.address, data).body == b"5"


def test_a_good_request_afterwards_is_answered(entrance: Entrance) -> None:
    assert ask(entrance.address, request()).body == b"ok\n"
