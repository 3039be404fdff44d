"""Sockets that leave a group with SO_REUSEPORT."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Iterator

import pytest
import trio

from uwgate import parting
from uwgate.binding import Bound

CLIENTS = 4
PATIENCE = 60.0  # seconds


def listen(port: int = 0, *, shared: bool = True) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    sock.bind(("127.0.0.1", port))
    sock.listen(1024)
    return sock


class Member:
    """A socket of a group, and a thread that serves it until it has left."""

    def __init__(self, name: bytes, port: int = 0) -> None:
        self.sock = listen(port)
        self.name = name
        self.reason = 0
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError as error:
                self.reason = error.errno or 0
                return
            with client:
                client.sendall(self.name)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.sock.close()


@pytest.fixture
def group() -> Iterator[tuple[Member, Member]]:
    first = Member(b"first")
    second = Member(b"second", first.sock.getsockname()[1])
    yield first, second
    first.close()
    second.close()


async def test_who_connects_while_a_socket_leaves_is_served(group: tuple[Member, Member]) -> None:
    first, _ = group
    address = first.sock.getsockname()
    over = threading.Event()
    answers: list[bytes] = []

    def connect() -> None:
        while not over.is_set():
            with socket.create_connection(address, PATIENCE) as client:
                answers.append(client.recv(16))

    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(trio.to_thread.run_sync, connect)
        while len(set(answers)) < 2:  # noqa: ASYNC110  threads tell nobody
            await trio.sleep(0.01)
        await parting.leave([first.sock])
        first.thread.join(PATIENCE)
        count = len(answers)
        while b"second" not in answers[count:]:  # noqa: ASYNC110
            await trio.sleep(0.01)
        over.set()
    assert first.reason == errno.EINVAL
    assert set(answers) == {b"first", b"second"}  # none was empty, and no client failed


async def test_who_waits_in_the_queue_is_accepted_before_a_socket_leaves() -> None:
    with listen() as sock, socket.create_connection(sock.getsockname()) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parting.leave, [sock])
            await trio.sleep(2 * parting.HANDSHAKE)
            accepted, _ = sock.accept()
            with accepted:
                accepted.sendall(b"served")
        assert client.recv(16) == b"served"


def test_only_sockets_of_our_own_that_share_their_port_leave() -> None:
    with listen() as shared, listen(shared=False) as alone, socket.socket(socket.AF_UNIX) as unix:
        bound = {
            "a": Bound(shared, "a"),
            "b": Bound(alone, "b"),
            "c": Bound(unix, "c"),
            "fd://3": Bound(shared, "d"),
            "zerg /run/pool 1": Bound(shared, "e"),
        }
        assert parting.leavers(bound, {}, gives_away=False) == [shared]
        assert parting.leavers(bound, bound, gives_away=False) == []
        assert parting.leavers(bound, {}, gives_away=True) == []
