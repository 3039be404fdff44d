"""Stats servers (gateways/registry/stats.py), over real sockets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from tests.gateways.registry.waiting import PATIENCE, until
from uwgate.gateways.registry.document import HTTP_HEAD
from uwgate.gateways.registry.stats import (
    HEAD_LIMIT,
    MAX_HEAD,
    MOST_READERS,
    PIECE,
    STALL_LIMIT,
    StatsServer,
)

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Author:
    """Writes documents, and counts them."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces
        self.asked = 0

    async def __call__(self) -> Iterator[str]:
        self.asked += 1
        return iter(self.pieces)


@contextlib.asynccontextmanager
async def serving(author: Author, folder: Path, *, http: bool = False) -> AsyncIterator[str]:
    """The path where it is read."""
    sock = socket.socket(socket.AF_UNIX)
    path = str(folder / "stats")
    sock.bind(path)
    sock.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(StatsServer(sock, author, http=http).run, nursery)
        yield path
        nursery.cancel_scope.cancel()


async def connect(path: str) -> trio.socket.SocketType:
    sock = trio.socket.socket(socket.AF_UNIX)
    await sock.connect(path)
    return sock


async def read(path: str, *says: bytes) -> bytes:
    """Connect, say something, and read up to the end."""
    found = b""
    with await connect(path) as sock, trio.fail_after(PATIENCE):
        for one in says:
            await sock.send(one)
        while data := await sock.recv(65536):
            found += data
    return found


async def test_whoever_connects_gets_a_document_and_the_end(tmp_path: Path) -> None:
    async with serving(Author("{", "}"), tmp_path) as path:
        assert await read(path) == b"{}"
        assert await read(path) == b"{}"


async def test_an_http_request_is_answered_in_http(tmp_path: Path) -> None:
    async with serving(Author("{}"), tmp_path, http=True) as path:
        assert await read(path, REQUEST[:9], REQUEST[9:]) == HTTP_HEAD + b"{}"


async def test_the_http_head_is_that_of_uwsgi() -> None:
    assert HTTP_HEAD.split(b"\r\n") == [
        b"HTTP/1.0 200 OK",
        b"Connection: close",
        b"Access-Control-Allow-Origin: *",
        b"Content-Type: application/json",
        b"",
        b"",
    ]


async def test_a_request_that_never_ends_is_answered_after_its_first_bytes(tmp_path: Path) -> None:
    async with serving(Author("{}"), tmp_path, http=True) as path:
        assert await read(path, b"G" * (MAX_HEAD + 100)) == HTTP_HEAD + b"{}"


async def test_who_says_nothing_in_time_gets_nothing(tmp_path: Path, hurried_clock: Clock) -> None:
    author = Author("{}")
    async with serving(author, tmp_path, http=True) as path:
        began = trio.current_time()
        assert await read(path, b"GET / HTTP/1.1\r\n") == b""
        assert trio.current_time() - began >= HEAD_LIMIT
    assert author.asked == 0


async def test_who_leaves_without_a_word_is_forgotten(tmp_path: Path) -> None:
    author = Author("{}")
    async with serving(author, tmp_path, http=True) as path:
        (await connect(path)).close()
        assert await read(path, REQUEST) == HTTP_HEAD + b"{}"
    assert author.asked == 1


async def test_a_long_document_comes_whole(tmp_path: Path) -> None:
    pieces = [f"{number:09d}\n" for number in range(3 * PIECE // 10)]
    async with serving(Author(*pieces), tmp_path) as path:
        assert await read(path, b"is this http?\r\n\r\n") == "".join(pieces).encode()


async def test_who_takes_nothing_is_given_up_and_others_are_served(
    tmp_path: Path, hurried_clock: Clock
) -> None:
    async with serving(Author("x" * PIECE * 64), tmp_path) as path:
        stuck = [await connect(path) for _ in range(MOST_READERS)]
        began = trio.current_time()
        assert len(await read(path)) == PIECE * 64
        assert trio.current_time() - began >= STALL_LIMIT
        for sock in stuck:
            sock.close()


async def test_a_reader_that_breaks_off_harms_nobody(tmp_path: Path) -> None:
    async with serving(Author("x" * PIECE * 64), tmp_path) as path:
        for _ in range(2 * MOST_READERS):
            with await connect(path) as sock:
                await sock.recv(1)
        assert len(await read(path)) == PIECE * 64


async def test_who_reads_while_others_take_over_gets_everything(tmp_path: Path) -> None:
    found: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "stats"))
        sock.listen()
        server = StatsServer(sock, Author("x" * PIECE * 64), http=False)

        async def reader() -> None:
            found.append(await read(str(tmp_path / "stats")))

        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(server.run, nursery)
                nursery.start_soon(reader)
                await until(lambda: server._readers == 1)
                accepting.cancel_scope.cancel()
            await server.wait_idle()
    assert found == [b"x" * PIECE * 64]


@pytest.mark.parametrize("http", [False, True])
async def test_the_socket_is_closed_in_the_end(tmp_path: Path, http: bool) -> None:
    async with serving(Author("{}"), tmp_path, http=http) as path:
        await read(path, REQUEST)
    with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
        late.connect(path)
