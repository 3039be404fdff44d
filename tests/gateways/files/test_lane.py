"""What a socket takes at once of a file, and what is left."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from uwgate.files.plan import Extent, Piece, Plan
from uwgate.files.resident import ShortenedError
from uwgate.gateways.files import lane as module
from uwgate.gateways.files.lane import PIECE, Rest, push

from .conftest import LARGE


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def descriptor(www: Path) -> Iterator[int]:
    descriptor = os.open(www / "large.bin", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def plan(*pieces: Piece) -> Plan:
    return Plan(200, (), pieces)


def test_a_small_plan_goes_at_once(
    pair: tuple[socket.socket, socket.socket], descriptor: int
) -> None:
    pieces = (b"<", Extent(descriptor, 5, 1000), b"|", Extent(descriptor, 0, 5), b">")
    assert push(pair[0], b"head", plan(*pieces)) is None
    expected = b"head<" + LARGE[5:1005] + b"|" + LARGE[:5] + b">"
    assert pair[1].recv(10000) == expected


def test_an_answer_without_a_body_is_its_head(pair: tuple[socket.socket, socket.socket]) -> None:
    assert push(pair[0], b"head", plan()) is None
    assert pair[1].recv(10) == b"head"


def test_what_the_socket_does_not_take_is_left(
    pair: tuple[socket.socket, socket.socket], descriptor: int
) -> None:
    rest = push(pair[0], b"head", plan(Extent(descriptor, 0, len(LARGE))))
    assert rest is not None
    assert (rest.head, rest.number) == (b"", 0)
    assert 0 < rest.done < len(LARGE)
    received = b""
    while len(received) < rest.done + 4:
        received += pair[1].recv(rest.done + 4 - len(received))
    assert received == b"head" + LARGE[: rest.done]


def test_a_full_socket_takes_nothing(
    pair: tuple[socket.socket, socket.socket], descriptor: int
) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            pair[0].send(bytes(65536))
    assert push(pair[0], b"head", plan(Extent(descriptor, 0, 5))) == Rest(b"head")


def test_one_client_does_not_get_everything_in_one_turn(descriptor: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with ours, theirs:

        def drain() -> None:
            while theirs.recv(1 << 20):
                pass

        reader = threading.Thread(target=drain)
        reader.start()
        rest = push(ours, b"head", plan(Extent(descriptor, 0, len(LARGE))))
        ours.shutdown(socket.SHUT_WR)
        reader.join()
    assert rest == Rest(b"", 0, PIECE)


def test_what_is_not_in_memory_is_left(
    pair: tuple[socket.socket, socket.socket], descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "is_resident", lambda *arguments: False)
    pieces = (b"text", Extent(descriptor, 0, 5))
    assert push(pair[0], b"head", plan(*pieces)) == Rest(b"", 1, 0)


def test_a_file_that_has_become_shorter_is_told(
    pair: tuple[socket.socket, socket.socket], descriptor: int
) -> None:
    with pytest.raises(ShortenedError):
        push(pair[0], b"head", plan(Extent(descriptor, len(LARGE) - 5, 10)))


def test_a_peer_that_is_gone_is_an_error(
    pair: tuple[socket.socket, socket.socket], descriptor: int
) -> None:
    pair[1].close()
    with pytest.raises(OSError, match="pipe"):
        push(pair[0], b"head", plan(Extent(descriptor, 0, 5)))
