"""Clients and workers that do anything at any time: in the end no request and no lease is lost."""

from __future__ import annotations

import random
import socket
from functools import partial

import pytest
import trio

from tests.gateways.fastrouter.instance import running
from tests.gateways.fastrouter.test_chaos import be_client
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.uwsgi import HEADER

REQUESTS = 120
SLOTS = 3
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
_ANSWER = wire.HEAD | wire.LAST
ACTS = (
    b"",  # dies
    wire.GOODBYE_FRAME,
    wire.TAKEN_FRAME,  # and dies
    wire.FRAME.pack(wire.HEAD, 0xFFFF, 0) + b"begun",
    wire.FRAME.pack(0, 0, 0xFFFFFFFF),
    wire.encode_frame(_ANSWER | wire.GOODBYE, HEAD, b"last"),
    wire.encode_frame(wire.HEAD, HEAD, b"a") + wire.FRAME.pack(wire.LAST | wire.ABORTED, 0, 0),
    wire.encode_frame(wire.HEAD, HEAD, b"a") + wire.GOODBYE_FRAME,
)


class Slot:
    """A worker slot with a lease that takes requests, and sometimes does as it likes."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.received = bytearray()
        self.queue: socket.socket | None = None

    async def run(self, sock: trio.socket.SocketType) -> None:
        try:
            with sock:
                await self._serve(sock)
        except OSError:
            pass
        finally:
            if self.queue is not None:
                self.queue.close()

    async def _serve(self, sock: trio.socket.SocketType) -> None:
        await sock.send(wire.HELLO_FRAME)
        data, ancillary, _, _ = await sock.recvmsg(4, socket.CMSG_SPACE(4))
        if len(data) < 4:
            return
        self.queue = socket.socket(fileno=int.from_bytes(ancillary[0][2], "little"))
        self.queue.setblocking(False)
        flags = await self._packet(sock)
        while flags is not None:
            if self.dice.random() < 0.2:
                await sock.send(self.dice.choice(ACTS))
                return
            if flags & wire.HANDED_OVER:
                await sock.send(wire.TAKEN_FRAME + HEAD + b"plain")
                return
            if flags & wire.ACKNOWLEDGE:
                await sock.send(wire.encode_frame(_ANSWER | wire.GOODBYE, HEAD, b"no body"))
                return
            flags = await self._answer(sock)

    async def _answer(self, sock: trio.socket.SocketType) -> int | None:
        """Answer, and begin with the next request."""
        assert self.queue is not None
        if self.dice.random() < 0.3:
            parts = wire.encode_frame(wire.HEAD, HEAD, b"x" * self.dice.randrange(100_000))
            await trio.SocketStream(sock).send_all(parts + wire.encode_frame(wire.LAST, b"", b"y"))
            return await self._packet(sock)
        try:
            message = self.queue.recv(8192)
        except BlockingIOError:
            message = b""
        if not message:
            await sock.send(wire.encode_frame(_ANSWER, HEAD, b"ok"))
            return await self._packet(sock)
        if self.dice.random() < 0.1:
            return None  # dies, and nobody knows what it has taken
        await sock.send(wire.encode_frame(_ANSWER | wire.QUEUE, HEAD, b"ok") + message[:4])
        flags: int = HEADER.unpack_from(message, 4)[2]
        return flags

    async def _packet(self, sock: trio.socket.SocketType) -> int | None:
        """Take a packet with what has come of its body; its flags, None at the end of the lease."""
        received = self.received
        while len(received) < 4 or len(received) < 4 + HEADER.unpack_from(received)[1]:
            data = await sock.recv(65536)
            if not data:
                return None
            received += data
        flags: int = HEADER.unpack_from(received)[2]
        received.clear()
        return flags


async def be_workers(dice: random.Random, listener: trio.socket.SocketType) -> None:
    free = trio.Semaphore(SLOTS)

    async def serve(sock: trio.socket.SocketType) -> None:
        await Slot(dice).run(sock)
        free.release()

    async with trio.open_nursery() as nursery:
        while True:
            await free.acquire()
            sock, _ = await listener.accept()
            nursery.start_soon(serve, sock)


@pytest.mark.parametrize("buffering", [0, 50], ids=["streamed", "taken in"])
@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_left_of_accidents(buffering: int, seed: int) -> None:
    dice = random.Random(seed)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind("")
    bound.listen(64)
    with trio.socket.from_stdlib_socket(bound) as listener:
        address = bytes(listener.getsockname())[1:].decode()
        async with (
            trio.open_nursery() as slots,
            running(
                lease_address=address,
                processes=SLOTS,
                fastrouter_timeout=2.0,
                fastrouter_post_buffering=buffering,
                fastrouter_buffer_size=4096,
            ) as gateway,
        ):
            slots.start_soon(be_workers, dice, listener)
            async with trio.open_nursery() as clients:
                for _ in range(REQUESTS):
                    clients.start_soon(partial(be_client, dice, gateway))
                    await trio.sleep(0.002)
            gateway.drain()
            with trio.fail_after(60):
                await gateway.gateway.drained()
            leases = gateway.gateway.leases
            assert leases is not None
            assert not leases._waiters
            assert leases._open == leases._connecting  # whatever was opened has been closed
            slots.cancel_scope.cancel()
