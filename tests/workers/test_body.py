"""``wsgi.input`` reads like a file, however its bytes arrive."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire.lease import CHUNK
from uwgate.workers.body import (
    EMPTY,
    Body,
    BodyError,
    ChunkedBody,
    FramedBody,
    LengthBody,
    buffer_body,
)
from uwgate.workers.connection import Connection

NEXT = b"next request"
Make = Callable[[Connection, list[bytes]], tuple[Body, bytes]]


def by_length(connection: Connection, parts: list[bytes]) -> tuple[Body, bytes]:
    data = b"".join(parts)
    return LengthBody(connection, len(data)), data


def by_frames(connection: Connection, parts: list[bytes]) -> tuple[Body, bytes]:
    wire = b"".join(CHUNK.pack(len(part)) + part for part in (*parts, b""))
    return FramedBody(connection, 0), wire


def by_chunks(connection: Connection, parts: list[bytes]) -> tuple[Body, bytes]:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return ChunkedBody(connection, 0), wire + b"0\r\n\r\n"


MAKERS = (by_length, by_frames, by_chunks)
TEXT = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"d\ne", b"x" * 300]), min_size=1, max_size=12)
CALLS = st.lists(
    st.tuples(st.sampled_from(["read", "readline"]), st.sampled_from([0, 1, 2, 5, 700, -1, None])),
    max_size=12,
)


@pytest.mark.parametrize("make", MAKERS)
@given(parts=TEXT, calls=CALLS, split=st.integers(0, 50))
def test_it_reads_like_a_file(
    make: Make, parts: list[bytes], calls: list[tuple[str, Any]], split: int
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, 1.0)
        body, wire = make(connection, parts)
        wire += NEXT
        connection.buffer = wire[:split]
        theirs.sendall(wire[split:])
        theirs.shutdown(socket.SHUT_WR)
        file = io.BytesIO(b"".join(parts))
        for name, size in calls:
            assert getattr(body, name)(size) == getattr(file, name)(size)
            assert body.tell() == file.tell()
        assert list(body) == list(file)
        assert body.read() == b""
        assert body.done
        rest = connection.buffer
        while data := connection.receive():
            rest += data
        assert rest == NEXT


@pytest.mark.parametrize("make", MAKERS)
def test_a_rest_that_comes_promptly_is_settled(make: Make) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, 1.0)
        body, wire = make(connection, [b"abc", b"def"])
        theirs.sendall(wire)
        assert body.read(1) == b"a"
        assert body.settle(100)


@pytest.mark.parametrize("make", MAKERS)
def test_a_rest_that_stays_away_is_not_settled(make: Make) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, 1.0)
        body, wire = make(connection, [b"abc", b"def"])
        theirs.sendall(wire[:-1])
        assert not body.settle(100)
        assert connection.timeout == 1.0


@pytest.mark.parametrize(
    ("finish", "status"), [(lambda sock: None, 408), (lambda sock: sock.close(), 400)]
)
def test_a_body_that_does_not_come_is_an_oserror(
    finish: Callable[[socket.socket], None], status: int
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        finish(theirs)
        with pytest.raises(BodyError) as caught:
            LengthBody(Connection(ours, 0.01), 3).read()
    assert caught.value.status == status
    assert isinstance(caught.value, OSError)


def test_readlines_stops_at_the_hint() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"a\nb\nc\n")
        body = LengthBody(Connection(ours, 1.0), 6)
        assert body.readlines(3) == [b"a\n", b"b\n"]
        assert body.readlines() == [b"c\n"]


@pytest.mark.parametrize("memory", [2, 100])
def test_a_buffered_body_is_a_file_at_its_start(memory: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"abcdef")
        file, size = buffer_body(LengthBody(Connection(ours, 1.0), 6), memory, 4)
        with file:
            assert size == 6
            assert file.read() == b"abcdef"
            file.seek(3)
            assert file.read(2) == b"de"


def test_the_empty_body_stays_empty() -> None:
    assert EMPTY.read() == EMPTY.read(5) == EMPTY.readline() == b""
    assert EMPTY.readlines() == list(EMPTY) == []
