"""Encoded answers, from real applications through the gateway to real clients."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from . import peers
from .client import Connection, ask, request
from .conftest import Start
from .processes import APPS, Address, forget_peak, free_port, peak, running_uwgate

brotli: Any = importlib.import_module("brotli")

APP = ("--wsgi-file", str(APPS / "encoded.py"))
# The application answers before the body has come: the gateway must not wait for it.
HTTP = ("--http", "127.0.0.1:0", "--http-auto-gzip", "--http-body-buffer", "0")
ALL = (*HTTP, "--http-auto-brotli", "--http-auto-zstd")
TEXT = b"All work and no play makes Jack a dull boy.\n" * 100
ACCEPT = ("Accept-Encoding", "gzip, deflate, br, zstd")


@contextlib.contextmanager
def before_workers(folder: Path) -> Iterator[Address]:
    with running_uwgate(*ALL, *APP, folder=folder) as gateway:
        yield gateway.address


@contextlib.contextmanager
def before_uwsgi(folder: Path) -> Iterator[Address]:
    backend = f"{folder}/uwsgi.sock"
    with (
        peers.uwsgi(folder, "--socket", backend, app="encoded.py"),
        running_uwgate(*ALL, "--http-to", backend, folder=folder) as gateway,
    ):
        yield gateway.address


@contextlib.contextmanager
def uwsgi_alone(folder: Path) -> Iterator[Address]:
    address = ("127.0.0.1", free_port())
    where = ("--http", f"127.0.0.1:{address[1]}", "--http-auto-gzip")
    with peers.uwsgi(folder, *where, app="encoded.py") as process:
        process.wait_for_socket(address)
        yield address


OURS = {"before_workers": before_workers, "before_uwsgi": before_uwsgi}
ANY = {**OURS, "uwsgi_alone": uwsgi_alone}


@pytest.fixture(scope="module", params=OURS)
def gateway(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[Address]:
    folder = shared_folder / request.param
    folder.mkdir()
    with OURS[request.param](folder) as address:
        yield address


@pytest.mark.parametrize("front", ANY)
def test_gzip_is_what_uwsgi_makes_of_it(front: str, folder: Path) -> None:
    with ANY[front](folder) as address, Connection(address) as connection:
        lines = [("Accept-Encoding", "gzip"), ("Content-Length", "1")]
        connection.send(request("POST", "/stream?encoding=gzip", lines))
        head = connection.head()
        assert head["content-encoding"] == "gzip"
        assert head["transfer-encoding"] == "chunked"
        pieces = connection.pieces(head)
        decoder = zlib.decompressobj(31)
        body = b""
        while len(body) < 1000:
            body += decoder.decompress(next(pieces))
        assert body == TEXT[:1000]
        connection.send(b"x")
        body += b"".join(decoder.decompress(piece) for piece in pieces)
        assert body == TEXT
        assert decoder.eof


@pytest.mark.parametrize("target", ["/whole?", "/whole?length=1&", "/other?"])
@pytest.mark.parametrize(
    ("encoding", "coding", "decode"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("br,gzip", "br", brotli.decompress),
        (
            "zstd",
            "zstd",
            lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        ),
    ],
)
def test_every_coding_arrives(
    gateway: Address, target: str, encoding: str, coding: str, decode: Any
) -> None:
    answer = ask(gateway, request("GET", f"{target}encoding={encoding}", [ACCEPT]))
    assert answer["content-encoding"] == coding
    assert answer["vary"] == "Accept-Encoding"
    assert answer["etag"] == 'W/"jack"'
    assert "uwsgi-encoding" not in answer
    assert decode(answer.body) == TEXT


def test_what_is_not_asked_for_is_not_encoded(gateway: Address) -> None:
    answer = ask(gateway, request("GET", "/whole", [ACCEPT]))
    assert answer.body == TEXT
    assert answer["etag"] == '"jack"'
    assert "vary" not in answer


def test_head_and_get_agree(gateway: Address) -> None:
    target = "/whole?encoding=br"
    answers = [
        ask(gateway, request(method, target, [ACCEPT]), method) for method in ("GET", "HEAD")
    ]
    names = ("content-encoding", "vary", "etag", "content-type")
    assert [answers[0][name] for name in names] == [answers[1][name] for name in names]


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_curl_decodes_a_large_stream(gateway: Address, encoding: str) -> None:
    curl = peers.program("curl")
    features = subprocess.run([curl, "--version"], capture_output=True, check=True).stdout
    names = {"gzip": b"libz", "br": b"brotli", "zstd": b"zstd"}
    if names[encoding] not in features:
        pytest.skip(f"this curl was built without {encoding}")
    url = f"http://{gateway[0]}:{gateway[1]}/large?encoding={encoding}"
    options = ("--silent", "--show-error", "--fail", "--max-time", "120", "--noproxy", "*")
    done = subprocess.run(
        [curl, *options, "--compressed", url], capture_output=True, check=True, timeout=240
    )
    expected = hashlib.sha256()
    for number in range(64):
        expected.update((b"%08d" % number) * 32768)
    assert hashlib.sha256(done.stdout).hexdigest() == expected.hexdigest()


def test_a_large_stream_takes_little_memory(uwgate: Start) -> None:
    program = uwgate(*ALL, *APP)
    (pid,) = program.wait_for_processes("http", 1)
    target = "/large?encoding=br"
    ask(program.address, request("GET", "/whole?encoding=br", [ACCEPT]))
    forget_peak(pid)
    before = peak(pid)
    with Connection(program.address) as connection:
        connection.send(request("GET", target, [ACCEPT]))
        head = connection.head()
        assert head["content-encoding"] == "br"
        size = sum(len(piece) for piece in connection.pieces(head))
    assert size < 2_000_000  # of 17 MB
    assert peak(pid) < before + 8_000_000
