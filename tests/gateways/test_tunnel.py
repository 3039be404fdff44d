"""Tunnels by themselves: two sides in memory, or two sockets."""

from __future__ import annotations

import math
import select
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from uwgate.gateways.streams import SendFirst
from uwgate.gateways.tunnel import LAST_WORDS, PIECE, SLACK, SocketSide, relay

IDLE = 60.0  # seconds


class Memory:
    """A side whose peer is the test.

    ``say`` is what the peer does; ``heard`` is what it got, None for the end of file. It takes
    ``room`` pieces.
    """

    def __init__(self, room: float = math.inf) -> None:
        self._say, self._hear = trio.open_memory_channel[bytes | None](math.inf)
        self.heard: list[bytes | None] = []
        self.is_gone = False
        self.room = room
        self._roomy = trio.Event()

    def say(self, data: bytes) -> None:
        self._say.send_nowait(data)

    def end(self) -> None:
        self._say.send_nowait(b"")

    def vanish(self) -> None:
        self.is_gone = True
        self._say.send_nowait(None)

    def take_more(self) -> None:
        self.room = math.inf
        self._roomy.set()

    async def receive(self) -> bytes:
        data = await self._hear.receive()
        if data is None:
            raise ConnectionResetError
        return data

    async def send_all(self, data: bytes) -> None:
        while self.room <= len(self.heard):
            await self._roomy.wait()
        await trio.lowlevel.checkpoint()
        if self.is_gone:
            raise BrokenPipeError
        self.heard.append(data)

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_gone:
            raise BrokenPipeError
        self.heard.append(None)


class Tunnel:
    """A relay that runs."""

    def __init__(
        self, nursery: trio.Nursery, *, room: float = math.inf, idle: float = IDLE
    ) -> None:
        self.client = Memory(room)
        self.backend = Memory()
        self.ended_at: float | None = None
        self.was_busy: bool | None = None
        nursery.start_soon(self._run, idle)

    async def _run(self, idle: float) -> None:
        self.was_busy = await relay(self.client, self.backend, idle)
        self.ended_at = trio.current_time()

    @property
    def is_open(self) -> bool:
        return self.ended_at is None


@pytest.fixture
async def tunnel(nursery: trio.Nursery) -> Tunnel:
    return Tunnel(nursery)


settled = trio.testing.wait_all_tasks_blocked


async def test_bytes_go_both_ways(tunnel: Tunnel) -> None:
    tunnel.client.say(b"a")
    tunnel.client.say(b"b")
    tunnel.backend.say(b"c")
    await settled()
    assert tunnel.backend.heard == [b"a", b"b"]
    assert tunnel.client.heard == [b"c"]
    assert tunnel.is_open


async def test_the_end_of_the_backend_ends_it_and_is_told(tunnel: Tunnel) -> None:
    tunnel.backend.say(b"last")
    tunnel.backend.end()
    await settled()
    assert tunnel.client.heard == [b"last", None]
    assert tunnel.was_busy


async def test_a_backend_that_dies_ends_it_like_one_that_closes(tunnel: Tunnel) -> None:
    tunnel.backend.say(b"last")
    tunnel.backend.vanish()
    await settled()
    assert tunnel.client.heard == [b"last", None]
    assert not tunnel.is_open


async def test_a_client_that_half_closes_still_gets_what_the_backend_has_to_say(
    tunnel: Tunnel,
) -> None:
    tunnel.client.say(b"question")
    tunnel.client.end()
    await settled()
    assert tunnel.backend.heard == [b"question", None]
    tunnel.backend.say(b"answer")
    await settled()
    assert tunnel.client.heard == [b"answer"]
    assert tunnel.is_open
    tunnel.backend.end()
    await settled()
    assert not tunnel.is_open


async def test_a_client_that_is_gone_ends_it(tunnel: Tunnel) -> None:
    tunnel.client.vanish()
    await settled()
    assert not tunnel.is_open


async def test_a_client_whose_loss_shows_when_it_is_sent_to_ends_it(tunnel: Tunnel) -> None:
    tunnel.client.is_gone = True
    tunnel.backend.say(b"?")
    await settled()
    assert not tunnel.is_open


async def test_what_a_backend_said_before_it_left_reaches_the_client(tunnel: Tunnel) -> None:
    tunnel.backend.is_gone = True
    tunnel.client.say(b"nobody takes this")
    await settled()
    assert tunnel.is_open
    tunnel.backend.say(b"farewell")
    tunnel.backend.end()
    await settled()
    assert tunnel.client.heard == [b"farewell", None]


async def test_nobody_is_read_before_the_other_side_has_taken(nursery: trio.Nursery) -> None:
    tunnel = Tunnel(nursery, room=1)
    for _ in range(5):
        tunnel.backend.say(b"x")
    await settled()
    assert tunnel.client.heard == [b"x"]
    assert tunnel.backend._hear.statistics().current_buffer_used == 3  # one is in the tunnel
    tunnel.client.take_more()
    await settled()
    assert tunnel.client.heard == [b"x"] * 5


async def test_a_silent_tunnel_is_closed(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    tunnel = Tunnel(nursery)
    await trio.sleep(2 * IDLE)
    assert tunnel.ended_at == IDLE + SLACK
    assert tunnel.was_busy is False


@pytest.mark.parametrize("side", ["client", "backend"])
async def test_a_byte_either_way_keeps_it_open(
    side: str, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    tunnel = Tunnel(nursery)
    for _ in range(10):
        await trio.sleep(IDLE - 1)
        getattr(tunnel, side).say(b"ping")
    await trio.sleep(IDLE - 1)
    assert tunnel.is_open
    await trio.sleep(3)
    assert tunnel.ended_at == 10 * (IDLE - 1) + IDLE + SLACK


@pytest.mark.parametrize("idle", [IDLE, 0, 2.0])
async def test_a_backend_may_not_be_silent_for_long_to_a_client_that_has_ended(
    idle: float, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    tunnel = Tunnel(nursery, idle=idle)
    pause = min(idle or LAST_WORDS, LAST_WORDS)
    tunnel.client.end()
    for _ in range(3):
        await trio.sleep(pause)
        tunnel.backend.say(b"...")
        await settled()
    assert tunnel.is_open
    assert tunnel.client.heard == [b"..."] * 3
    await trio.sleep(3 * LAST_WORDS)
    assert tunnel.ended_at == 4 * pause + SLACK


async def test_a_time_out_of_0_is_none(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    client, backend = Memory(), Memory()
    nursery.start_soon(relay, client, backend, 0)
    await trio.sleep(80000)
    backend.say(b"still here")
    await settled()
    assert client.heard == [b"still here"]


async def test_a_client_that_takes_nothing_is_given_up(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    tunnel = Tunnel(nursery, room=0)
    tunnel.backend.say(b"x")
    await trio.sleep(2 * IDLE)
    assert tunnel.was_busy is False


# Sockets


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.settimeout(60)
        yield ours, theirs


async def test_a_socket_gives_first_what_was_read_before(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    side = SocketSide(ours, b"before")
    theirs.send(b"after")
    assert await side.receive() == b"before"
    assert await side.receive() == b"after"
    theirs.shutdown(socket.SHUT_WR)
    assert await side.receive() == b""


async def test_a_socket_gives_no_more_than_a_piece_at_once(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.send(bytes(PIECE + 1))
    assert len(await SocketSide(ours).receive()) <= PIECE


async def test_a_socket_is_half_closed_by_an_end_of_file(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    side = SocketSide(ours)
    await side.send_all(b"bye")
    await side.send_eof()
    assert theirs.recv(10) == b"bye"
    assert theirs.recv(10) == b""
    theirs.send(b"wait")
    assert await side.receive() == b"wait"


class Stubborn:
    """A socket that has to send before it can receive, as TLS may."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.fileno = sock.fileno
        self.send = sock.send
        self.setsockopt = sock.setsockopt
        self.shutdown = sock.shutdown
        self.close = sock.close

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        if not select.select([], [self._sock], [], 0)[1]:
            raise SendFirst
        return self._sock.recv(size, flags)


async def test_a_receiver_that_has_to_send_first_may_wait_beside_a_sender(
    pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    ours, theirs = pair
    side = SocketSide(Stubborn(ours))
    theirs.send(b"answer")
    size = 1 << 20
    got: list[bytes] = []

    async def receive() -> None:
        got.append(await side.receive())

    nursery.start_soon(side.send_all, bytes(size))
    await settled()
    nursery.start_soon(receive)
    await settled()
    assert got == []
    while size:
        size -= len(await trio.to_thread.run_sync(theirs.recv, 65536))
    await settled()
    assert got == [b"answer"]
