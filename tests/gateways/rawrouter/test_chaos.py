"""Peers that do anything at any time: bytes arrive as they were sent, or the break is seen."""

from __future__ import annotations

import enum
import os
import random
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from tests.gateways.peers import PATIENCE
from tests.gateways.rawrouter.instance import Instance, descriptors, running

CONNECTIONS = 60
AT_A_TIME = 12
SEED = int(os.environ.get("UWGATE_RAW_SEED", "0"))
RESET = struct.pack("ii", 1, 0)
PATTERN = bytes(range(251)) * 1200  # 300 KB, never aligned with anything


class End(enum.Enum):
    """How what a peer receives came to its end."""

    NEVER = "it did not look"
    CLEAN = "end of file"
    BREAK = "error"


@dataclass
class Account:
    """What one peer has done and seen."""

    sent: int = 0
    said_goodbye: bool = False  # half-closed behind all that it sent
    was_rude: bool = False  # reset the connection
    saw_break: bool = False  # while it was sending
    received: bytearray = field(default_factory=bytearray)
    end: End = End.NEVER


async def live(dice: random.Random, sock: trio.socket.SocketType, account: Account) -> None:
    """One peer, from its first byte to its last."""

    async def speak() -> None:
        try:
            for _ in range(dice.randrange(12)):
                act = dice.randrange(5)
                size = 1 if act < 2 else dice.randrange(1, 5000) if act < 4 else 200_000
                start = account.sent % 251
                left = memoryview(PATTERN)[start : start + size]
                while left:
                    count = await sock.send(left)
                    account.sent += count
                    left = left[count:]
                if act == 0:
                    await trio.sleep(dice.random() / 100)
            sock.shutdown(socket.SHUT_WR)
            account.said_goodbye = True
        except OSError:  # the kernel tells of a break once, whoever asks first
            account.saw_break = True

    async def listen() -> None:
        try:
            while data := await sock.recv(dice.choice((1, 100, 65536, 1 << 20))):
                account.received += data
                if dice.randrange(20) == 0:
                    await trio.sleep(dice.random() / 50)
            account.end = End.CLEAN
        except OSError:
            account.end = End.BREAK

    async def be_rude() -> None:
        await trio.sleep(dice.random() / 20)
        account.was_rude = True
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        nursery.cancel_scope.cancel()

    with sock:
        async with trio.open_nursery() as nursery:
            if dice.randrange(4) == 0:
                nursery.start_soon(be_rude)
                nursery.start_soon(speak)
                nursery.start_soon(listen)
            else:
                async with trio.open_nursery() as both:
                    both.start_soon(speak)
                    both.start_soon(listen)


def check(sender: Account, receiver: Account) -> None:
    """What came is how it began, and a clean end means that it is whole."""
    expected = (PATTERN * (len(receiver.received) // len(PATTERN) + 1))[: len(receiver.received)]
    assert receiver.received == expected
    assert len(receiver.received) <= sender.sent
    if receiver.end is End.CLEAN and not receiver.saw_break:
        assert sender.said_goodbye
        assert len(receiver.received) == sender.sent
    if not sender.was_rude and not receiver.was_rude:
        assert receiver.end is End.CLEAN
        assert not receiver.saw_break


async def converse(gateway: Instance, number: int) -> None:
    """One connection, and what is true of it afterwards."""
    client, server = Account(), Account()
    dice = random.Random(f"client {SEED} {number}")
    sock = trio.socket.socket(gateway.door.family)
    await sock.connect(gateway.door.getsockname())
    # The backend knows by the first byte which of them this is.
    await sock.send(bytes((number,)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(live, dice, sock, client)
        conversation = meetings[number]
        await conversation.wait_value()
        assert conversation.sock is not None
        nursery.start_soon(
            live, random.Random(f"server {SEED} {number}"), conversation.sock, server
        )
    check(client, server)
    check(server, client)


class Meeting:
    """A backend's connection, when it has come."""

    def __init__(self) -> None:
        self.sock: trio.socket.SocketType | None = None
        self._event = trio.Event()

    def come(self, sock: trio.socket.SocketType) -> None:
        self.sock = sock
        self._event.set()

    async def wait_value(self) -> None:
        with trio.fail_after(PATIENCE):
            await self._event.wait()


meetings: dict[int, Meeting] = {}


async def introduce(listener: trio.socket.SocketType) -> None:
    """Accept for the conversations."""

    async def look(sock: trio.socket.SocketType) -> None:
        number = (await sock.recv(1))[0]
        meetings[number].come(sock)

    async with trio.open_nursery() as nursery:
        while True:
            sock, _ = await listener.accept()
            nursery.start_soon(look, sock)


@pytest.mark.parametrize("pipes", [128, 2, 0])
async def test_bytes_arrive_as_they_were_sent_or_the_break_is_seen(pipes: int) -> None:
    meetings.clear()
    meetings.update((number, Meeting()) for number in range(CONNECTIONS))
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        host, port = listener.getsockname()
        async with (
            running(to=(f"{host}:{port}",), pipes=pipes) as gateway,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(introduce, listener)
            before = descriptors()
            limit = trio.CapacityLimiter(AT_A_TIME)

            async def one(number: int) -> None:
                async with limit:
                    await converse(gateway, number)

            async with trio.open_nursery() as all_of_them:
                for number in range(CONNECTIONS):
                    all_of_them.start_soon(one, number)
            assert await gateway.is_empty()
            gateway.gateway.pipes.close()
            assert gateway.gateway.pipes.used == 0
            assert descriptors() == before
            nursery.cancel_scope.cancel()


async def test_unix_sockets_leave_nothing_behind_either(tmp_path: Path) -> None:
    async def serve(listener: trio.socket.SocketType) -> None:
        async with trio.open_nursery() as nursery:
            number = 0
            while True:
                sock, _ = await listener.accept()
                number += 1
                nursery.start_soon(live, random.Random(number), sock, Account())

    with trio.socket.socket(socket.AF_UNIX) as listener:
        await listener.bind(f"{tmp_path}/backend")
        listener.listen(4)
        async with (
            running(path=f"{tmp_path}/door", to=(f"{tmp_path}/backend",)) as gateway,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(serve, listener)
            before = descriptors()
            async with trio.open_nursery() as clients:
                for number in range(CONNECTIONS):
                    sock = trio.socket.socket(socket.AF_UNIX)
                    await sock.connect(gateway.door.getsockname())
                    clients.start_soon(live, random.Random(-number), sock, Account())
            assert await gateway.is_empty()
            gateway.gateway.pipes.close()
            with trio.fail_after(PATIENCE):  # the backends' own ends are closed by their tasks
                while descriptors() != before:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
