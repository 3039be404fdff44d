"""Bytes of a WebSocket between a client and the backend of a rule."""

from __future__ import annotations

import socket
import threading

import pytest

from uwgate.workers.connection import Connection
from uwgate.workers.rules.tunnel import carry

PATIENCE = 60.0  # seconds
MUCH = 1 << 20  # bytes, more than sockets hold


@pytest.fixture
def pairs() -> tuple[socket.socket, Connection, Connection, socket.socket]:
    client, ours = socket.socketpair()
    theirs, backend = socket.socketpair()
    client.settimeout(PATIENCE)
    backend.settimeout(PATIENCE)
    return client, Connection(ours, None), Connection(theirs, None), backend


Pairs = tuple[socket.socket, Connection, Connection, socket.socket]


def close(pairs: Pairs) -> None:
    for one in pairs:
        one.close()


def test_bytes_go_both_ways_until_both_have_ended(pairs: Pairs) -> None:
    client, ours, theirs, backend = pairs
    ours.buffer = b"early "
    thread = threading.Thread(target=carry, args=(ours, theirs, b"first ", None))
    thread.start()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    asked = b"".join(iter(lambda: backend.recv(100), b""))
    backend.sendall(b"answer")
    backend.shutdown(socket.SHUT_WR)
    answered = b"".join(iter(lambda: client.recv(100), b""))
    thread.join(PATIENCE)
    close(pairs)
    assert (asked, answered) == (b"early question", b"first answer")


def test_a_side_that_does_not_read_holds_up_the_other_and_nothing_is_lost(pairs: Pairs) -> None:
    client, ours, theirs, backend = pairs
    thread = threading.Thread(target=carry, args=(ours, theirs, b"", None))
    thread.start()
    sender = threading.Thread(target=backend.sendall, args=(b"x" * MUCH,))
    sender.start()
    client.sendall(b"meanwhile")
    assert backend.recv(100) == b"meanwhile"
    got = 0
    while got < MUCH:
        got += len(client.recv(65536))
    sender.join(PATIENCE)
    client.shutdown(socket.SHUT_WR)
    backend.shutdown(socket.SHUT_WR)
    thread.join(PATIENCE)
    close(pairs)
    assert got == MUCH


def test_silence_has_an_end(pairs: Pairs) -> None:
    with pytest.raises(TimeoutError):
        carry(pairs[1], pairs[2], b"", 0.01)
    close(pairs)


def test_a_side_that_breaks_ends_it(pairs: Pairs) -> None:
    client, ours, theirs, _ = pairs
    client.sendall(b"x")
    client.close()
    theirs.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(OSError, match="pipe"):
        carry(ours, theirs, b"", None)
    close(pairs)
