"""Pipes: few, and only as long as they are needed."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import tempfile
from collections.abc import Iterator

import pytest

from uwgate.gateways.flow import ROUNDS, Broken, Stream
from uwgate.gateways.rawrouter import pipes
from uwgate.gateways.rawrouter.pipes import KEPT, Pipes
from uwgate.gateways.rawrouter.spliced import SplicedFlow

BUFFER = 4096


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_there_are_only_so_many() -> None:
    pipes = Pipes(1)
    pipe = pipes.take()
    assert pipe is not None
    assert pipes.take() is None
    pipes.give_back(pipe, is_empty=True)
    assert pipes.take() is pipe
    pipes.give_back(pipe, is_empty=True)
    pipes.close()
    assert not is_open(pipe.reader)


def test_one_with_something_in_it_is_not_used_again() -> None:
    pipes = Pipes(1)
    pipe = pipes.take()
    assert pipe is not None
    os.write(pipe.writer, b"somebody's secret")
    pipes.give_back(pipe, is_empty=False)
    assert not is_open(pipe.reader)
    assert pipes.used == 0


def test_few_stay_open_while_nobody_uses_them() -> None:
    pipes = Pipes(KEPT + 2)
    taken = [pipe for _ in range(KEPT + 2) if (pipe := pipes.take())]
    for pipe in taken:
        pipes.give_back(pipe, is_empty=True)
    assert sum(is_open(pipe.reader) for pipe in taken) == KEPT
    pipes.close()
    assert not any(is_open(pipe.reader) for pipe in taken)


def test_without_descriptors_there_is_none() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd"))) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
    held: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while len(held) <= used:
                held.append(os.dup(0))
        assert len(held) < used
        assert Pipes(1).take() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in held:
            os.close(fd)


class Ends:
    """``near`` sends into the flow, ``far`` receives out of it."""

    def __init__(self) -> None:
        self.near, self.source = socket.socketpair()
        self.sink, self.far = socket.socketpair()
        for sock in (self.near, self.source, self.sink, self.far):
            sock.setblocking(False)
        self.pipes = Pipes(1)
        self.flow = SplicedFlow(self.source, self.sink, memoryview(bytearray(BUFFER)), self.pipes)

    def close(self) -> None:
        self.flow.close()
        self.pipes.close()
        for sock in (self.near, self.source, self.sink, self.far):
            sock.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    found = Ends()
    yield found
    found.close()


def stuff(sock: socket.socket) -> int:
    """Send until the kernel takes no more; the bytes taken."""
    total = 0
    try:
        while True:
            total += sock.send(b"x" * BUFFER)
    except BlockingIOError:
        return total


def test_few_bytes_take_no_pipe(ends: Ends) -> None:
    ends.near.send(b"abc")
    ends.flow.pump()
    assert ends.far.recv(9) == b"abc"
    assert ends.pipes.take() is not None  # the only one


def test_a_full_sink_keeps_the_pipe_and_a_break_gives_it_back(ends: Ends) -> None:
    stuff(ends.near)
    while ends.flow.pump():
        pass
    stuff(ends.near)
    ends.flow.pump()
    assert ends.flow.is_blocked
    assert ends.pipes.used <= 1
    ends.flow.close()
    assert ends.pipes.used == 0


def test_a_sink_that_broke_is_told_apart(ends: Ends) -> None:
    stuff(ends.near)
    ends.far.close()
    while ends.flow.pump():
        pass
    assert ends.flow.broken is Broken.SINK


def test_an_end_of_file_comes_behind_everything(ends: Ends) -> None:
    sent = stuff(ends.near)
    ends.near.shutdown(socket.SHUT_WR)
    received = 0
    while not ends.flow.is_done:
        ends.flow.pump()
        while True:
            try:
                received += len(ends.far.recv(1 << 20))
            except BlockingIOError:
                break
            if ends.flow.is_done:
                break
    while data := ends.far.recv(1 << 20):
        received += len(data)
    assert received == sent == ends.flow.went
    assert ends.pipes.used == 0


@pytest.mark.parametrize("pieces", range(2 * ROUNDS + 1))
def test_an_end_of_file_behind_spliced_bytes_goes_on_at_once(
    monkeypatch: pytest.MonkeyPatch, ends: Ends, pieces: int
) -> None:
    monkeypatch.setattr(pipes, "SIZE", BUFFER)  # so that one splice moves no more than a piece
    for _ in range(pieces):
        ends.near.send(b"x" * BUFFER)
    ends.near.shutdown(socket.SHUT_WR)
    while ends.flow.pump():
        assert not ends.flow.is_blocked
    assert ends.flow.is_done
    assert ends.pipes.used == 0


@contextlib.contextmanager
def without_splice(end: str) -> Iterator[int]:
    """A descriptor of the kind that splice(2) refuses with EINVAL, at that end."""
    if end == "source":
        with select.epoll() as epoll:
            yield epoll.fileno()
    else:
        with tempfile.TemporaryDirectory() as folder:
            fd = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                yield fd
            finally:
                os.close(fd)


class Unspliced:
    """A socket that can be copied from and to, and cannot be spliced."""

    def __init__(self, sock: socket.socket, fd: int) -> None:
        self.fileno = lambda: fd
        self.recv_into = sock.recv_into
        self.send = sock.send
        self.shutdown = sock.shutdown


@pytest.mark.parametrize("end", ["source", "sink"])
def test_what_cannot_be_spliced_is_copied(ends: Ends, end: str) -> None:
    with without_splice(end) as fd:
        sock = ends.source if end == "source" else ends.sink
        other: dict[str, Stream] = {"source": ends.source, "sink": ends.sink}
        other[end] = Unspliced(sock, fd)
        flow = SplicedFlow(
            other["source"], other["sink"], memoryview(bytearray(BUFFER)), ends.pipes
        )
        sent = bytes(range(256)) * (4 * BUFFER // 256)
        ends.near.setblocking(True)
        ends.near.sendall(sent)
        ends.near.shutdown(socket.SHUT_WR)
        received = b""
        while not flow.is_done:
            flow.pump()
            assert flow.broken is None
            with contextlib.suppress(BlockingIOError):
                received += ends.far.recv(1 << 20)
        while data := ends.far.recv(1 << 20):
            received += data
        assert received == sent
        assert ends.pipes.used == 0
        flow.close()
