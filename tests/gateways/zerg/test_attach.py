"""Asking zerg servers for sockets: good ones, and what else may answer."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.gateways.wire import zerg
from uwgate.gateways.zerg.attach import ask

Answer = Callable[[socket.socket], object]
Server = Callable[[Answer], str]
PATIENCE = 60.0  # seconds


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve one client with a function; gives the path."""
    with contextlib.ExitStack() as stack:

        def start(answer: Answer) -> str:
            path = str(tmp_path / "zerg.sock")
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(path)
            listening.listen()

            def serve() -> None:
                client, _ = listening.accept()
                with client:
                    answer(client)

            thread = threading.Thread(target=serve)
            thread.start()
            stack.callback(thread.join, PATIENCE)
            return path

        yield start


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


def soon() -> float:
    return time.monotonic() + PATIENCE


def give(message: bytes, *descriptors: int) -> Answer:
    return lambda client: socket.send_fds(client, [message], descriptors)


def descriptors_of(sock: socket.socket) -> list[int]:
    """All that this process has of a socket."""
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if os.path.sameopenfile(fd, sock.fileno()):
                found.append(fd)
    return found


def test_sockets_come_in_order_and_are_inherited_by_nobody(
    server: Server, listening: socket.socket
) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("")
        other.listen()
        path = server(give(zerg.encode(2), listening.fileno(), other.fileno()))
        descriptors = ask(path, soon())
    with (
        socket.socket(fileno=descriptors[0]) as first,
        socket.socket(fileno=descriptors[1]) as second,
    ):
        assert first.getsockname() == listening.getsockname()
        assert second.family == socket.AF_UNIX
        assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in descriptors)


def test_as_many_sockets_as_the_kernel_passes_come_at_once(
    server: Server, listening: socket.socket
) -> None:
    path = server(give(zerg.encode(253), *[listening.fileno()] * 253))
    descriptors = ask(path, soon())
    for fd in descriptors:
        os.close(fd)
    assert len(descriptors) == 253


def test_a_message_in_pieces_is_put_together(server: Server, listening: socket.socket) -> None:
    message = zerg.encode(1)

    def answer(client: socket.socket) -> None:
        socket.send_fds(client, [message[:3]], [listening.fileno()])
        client.sendall(message[3:])

    (fd,) = ask(server(answer), soon())
    os.close(fd)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "not a zerg server: it begins with b'SSH-2.0-OpenSSH'"),
        (zerg.encode(2), "it announces 2 sockets, and gives 1"),
        (b"uwsgi", "it ends after 5 of 14 bytes"),
        (b"uwsgi-zerg\0\0\0\0", "it announces 0 sockets"),
    ],
)
def test_nonsense_is_refused_and_its_descriptors_are_closed(
    server: Server, listening: socket.socket, message: bytes, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        ask(server(give(message, listening.fileno())), soon())
    assert descriptors_of(listening) == [listening.fileno()]


def test_a_server_without_descriptors_is_refused(server: Server) -> None:
    with pytest.raises(ConfigError, match="it announces 1 sockets, and gives 0"):
        ask(server(lambda client: client.sendall(zerg.encode(1))), soon())


def test_what_is_not_listening_is_refused(server: Server) -> None:
    with (
        socket.socket() as idle,
        pytest.raises(ConfigError, match="socket 0 that it gives is not listening"),
    ):
        ask(server(give(zerg.encode(1), idle.fileno())), soon())


def test_datagrams_are_refused(server: Server) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        pytest.raises(ConfigError, match="socket 0 that it gives is no stream socket"),
    ):
        ask(server(give(zerg.encode(1), udp.fileno())), soon())


def test_a_file_is_refused(server: Server) -> None:
    with (
        open("/dev/null", "rb") as file,
        pytest.raises(ConfigError, match="socket 0 that it gives is no socket"),
    ):
        ask(server(give(zerg.encode(1), file.fileno())), soon())


def test_a_server_that_says_nothing_is_given_up(server: Server) -> None:
    done = threading.Event()
    path = server(lambda _: done.wait(PATIENCE))
    with pytest.raises(ConfigError, match="it does not answer in time"):
        ask(path, time.monotonic() + 0.05)
    done.set()


def test_nobody_at_the_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        ask(str(tmp_path / "none.sock"), soon())
