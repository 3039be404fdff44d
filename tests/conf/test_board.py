"""conf/board.py: what the legion process writes and workers read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from uwgate.conf.board import (
    MAX_STATS,
    Board,
    Notice,
    Scrolls,
    Standing,
    clock,
    make_board,
    open_for_reading,
)


@pytest.fixture
def board() -> Iterator[int]:
    fd = make_board(["ring", "länder"], scroll=10, scrolls=40)
    yield fd
    os.close(fd)


@pytest.fixture
def reading(board: int) -> Iterator[int]:
    fd = open_for_reading(board)
    yield fd
    os.close(fd)


def notice(fd: int, name: str = "ring", *, writable: bool = False) -> Notice:
    return Board(fd, writable=writable).notices[name]


def test_readers_find_the_legions_by_their_names(reading: int) -> None:
    assert list(Board(reading).notices) == ["ring", "länder"]


def test_a_new_board_knows_nothing(reading: int) -> None:
    empty = notice(reading)
    assert empty.standing == Standing()
    assert not empty.standing.is_lord
    assert empty.scrolls == Scrolls()
    assert empty.stats == b""


def test_what_is_written_is_read_by_others(board: int, reading: int) -> None:
    writer, reader = notice(board, "länder", writable=True), notice(reading, "länder")
    writer.standing = Standing(until=clock() + 60, term=1 << 52, since=7)
    writer.scrolls = Scrolls(b"lord", (b"own", b"", b"other"))
    writer.stats = b"{}"
    assert (reader.standing.term, reader.standing.since) == (1 << 52, 7)
    assert reader.standing.is_lord
    assert reader.scrolls == Scrolls(b"lord", (b"own", b"", b"other"))
    assert reader.stats == b"{}"
    assert notice(reading, "ring").standing == Standing()


def test_the_last_of_many_writes_counts(board: int, reading: int) -> None:
    writer = notice(board, writable=True)
    for term in range(5):
        writer.standing = Standing(term=term)
    assert notice(reading).standing.term == 4


def test_a_lordship_ends_when_nobody_renews_it(board: int) -> None:
    writer = notice(board, writable=True)
    writer.standing = Standing(until=clock() - 0.001, term=3)
    assert not writer.standing.is_lord


def test_a_torn_record_is_not_read(board: int) -> None:
    writer = notice(board, writable=True)
    writer.standing = Standing(term=3)
    size = os.fstat(board).st_size
    os.pwrite(board, b"\xff" * (size - 300), 300)
    assert notice(board).standing == Standing()


def test_what_does_not_fit_is_refused(board: int) -> None:
    with pytest.raises(ValueError, match="room for"):
        notice(board, writable=True).stats = b"x" * (MAX_STATS + 1)


def test_nothing_can_be_written_through_the_readers_descriptor(reading: int) -> None:
    with pytest.raises(TypeError, match="must be read-write"):
        notice(reading).standing = Standing(term=1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(reading, b"x", 0)


def test_another_file_is_no_board() -> None:
    fd = os.memfd_create("other")
    try:
        with pytest.raises(ValueError, match="no board"):
            Board(fd)
        os.write(fd, b"x" * 100)
        with pytest.raises(ValueError, match="no board"):
            Board(fd)
    finally:
        os.close(fd)
