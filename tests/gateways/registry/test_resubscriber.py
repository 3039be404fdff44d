"""What is announced to other servers, and when (gateways/registry/resubscriber.py)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from tests.subscriptions.test_signature import KEYS, accepts, verifier
from uwgate.conf.address import parse_backend, parse_listen
from uwgate.gateways.registry.resubscriber import Resubscriber, Upstream
from uwgate.subscriptions.packet import Command, Packet, decode
from uwgate.subscriptions.resubscription import Resubscription
from uwgate.subscriptions.signature import SCHEMES, Signer
from uwgate.subscriptions.table import Table

A = Packet(key="shop.example", address="10.0.0.1:99", weight=2)
B = replace(A, address="10.0.0.2:99", weight=3)
OURS = "192.0.2.1:80"
Sent = tuple[float, Command, str, str, int]


class Recorder(Upstream):
    """Notes what would be sent, and when, in seconds since the beginning."""

    def __init__(self) -> None:
        super().__init__(parse_backend("@nowhere"), None)
        self.sent: list[Sent] = []
        self._began = trio.current_time()

    async def prepare(self) -> None:
        pass

    def send(self, packet: Packet) -> None:
        seconds = round(trio.current_time() - self._began, 1)
        row = (seconds, packet.command, packet.key, packet.address, packet.weight)
        self.sent.append(row)


class World:
    def __init__(self) -> None:
        self.table = Table()
        self.upstream = Recorder()
        self.resubscriber = Resubscriber(
            Resubscription("me", [OURS]), self.table, [self.upstream], interval=10.0, proto="http"
        )

    def hear(self, packet: Packet) -> None:
        self.resubscriber.note(self.table.follow(packet, 0.0))

    def take(self) -> list[Sent]:
        taken, self.upstream.sent = self.upstream.sent, []
        return taken


@pytest.fixture
async def world(autojump_clock: Clock) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        world = World()
        nursery.start_soon(world.resubscriber.run)
        yield world
        nursery.cancel_scope.cancel()


async def test_a_key_is_announced_at_once_and_again_with_the_sum_of_weights(
    world: World, autojump_clock: Clock
) -> None:
    world.hear(A)
    world.hear(B)
    await trio.sleep(20.5)
    row = (Command.SUBSCRIBE, A.key, OURS, 5)
    assert world.take() == [(0.0, *row), (10.0, *row), (20.0, *row)]


async def test_a_key_is_taken_back_with_its_last_node(world: World, autojump_clock: Clock) -> None:
    world.hear(A)
    world.hear(B)
    await trio.sleep(1)
    world.hear(replace(A, command=Command.UNSUBSCRIBE))
    await trio.sleep(1)
    world.hear(replace(B, command=Command.UNSUBSCRIBE))
    await trio.sleep(9)
    assert world.take() == [
        (0.0, Command.SUBSCRIBE, A.key, OURS, 5),
        (1.0, Command.SUBSCRIBE, A.key, OURS, 3),
        (2.0, Command.UNSUBSCRIBE, A.key, OURS, 0),
    ]


async def test_a_key_whose_nodes_are_all_out_is_taken_back_until_one_is_back(
    world: World, autojump_clock: Clock
) -> None:
    world.hear(A)
    await trio.sleep(1)
    node = world.table.slots[A.key].members[A.address]
    world.resubscriber.note(world.table.unreachable(node, 0.0))
    await trio.sleep(1)
    world.hear(A)
    await trio.sleep(1)
    commands = [row[1] for row in world.take()]
    assert commands == [Command.SUBSCRIBE, Command.UNSUBSCRIBE, Command.SUBSCRIBE]


async def test_everything_is_taken_back_at_the_end(world: World, autojump_clock: Clock) -> None:
    world.hear(A)
    world.hear(replace(A, key="b.example"))
    await trio.sleep(1)
    world.take()
    await world.resubscriber.end()
    assert [row[1:3] for row in world.take()] == [
        (Command.UNSUBSCRIBE, "b.example"),
        (Command.UNSUBSCRIBE, A.key),
    ]


async def test_what_the_registry_before_announced_is_taken_back_too(autojump_clock: Clock) -> None:
    async with trio.open_nursery() as nursery:
        world = World()
        world.table.follow(A, 0.0)  # handed over
        nursery.start_soon(world.resubscriber.run)
        await trio.sleep(1)
        world.hear(replace(A, command=Command.UNSUBSCRIBE))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [row[1] for row in world.take()] == [Command.SUBSCRIBE, Command.UNSUBSCRIBE]


async def test_thousands_of_keys_are_announced_in_small_bursts(
    world: World, autojump_clock: Clock
) -> None:
    for number in range(5000):
        world.hear(replace(A, key=f"k{number}"))
    await trio.sleep(9)
    sent = world.take()
    assert len(sent) == 5000
    assert sent[-1][0] > 0.5
    at_once = max(sum(row[0] == moment for row in sent) for moment in {row[0] for row in sent})
    assert at_once <= 64 * 11  # rounded to tenths of a second


# with real sockets


async def sent_to(upstream: Upstream, packet: Packet, receiver: socket.socket) -> Packet:
    receiver.settimeout(60)
    await upstream.prepare()
    upstream.send(packet)
    heard = decode(receiver.recv(5000))
    upstream.close()
    return heard


async def test_a_server_is_reached_by_udp_from_the_bound_address() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        probe.bind(("127.0.0.1", 0))
        source = parse_listen(f"127.0.0.1:{probe.getsockname()[1]}")
        probe.close()
        upstream = Upstream(parse_backend(f"127.0.0.1:{receiver.getsockname()[1]}"), source)
        await upstream.prepare()
        upstream.send(A)
        _, sender = receiver.recvfrom(5000)
        upstream.close()
    assert sender == ("127.0.0.1", source.port)


@pytest.mark.parametrize("wildcard", ["0.0.0.0:80", "[::]:80", ":80"])
async def test_an_address_that_means_all_is_announced_as_the_server_sees_us(wildcard: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        upstream = Upstream(parse_backend(f"127.0.0.1:{receiver.getsockname()[1]}"), None)
        heard = await sent_to(upstream, replace(A, address=wildcard), receiver)
    assert heard.address == "127.0.0.1:80"


@pytest.mark.parametrize("name", ["{}/announce", "@{}/announce"])
async def test_a_server_is_reached_by_unix_sockets(tmp_path: Path, name: str) -> None:
    text = name.format(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(text.replace("@", "\0"))
        assert (await sent_to(Upstream(parse_backend(text), None), A, receiver)).key == A.key


async def test_a_server_that_is_not_there_is_complained_about_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upstream = Upstream(parse_backend(f"{tmp_path}/announce"), None)
    await upstream.prepare()
    for _ in range(3):
        upstream.send(A)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    upstream.close()


@pytest.mark.parametrize("scheme", ["ED25519", "SHA256"])
async def test_what_is_signed_is_believed_each_time(tmp_path: Path, scheme: str) -> None:
    door = verifier(scheme)
    path = tmp_path / "announce"
    signer = Signer(SCHEMES[scheme], KEYS[scheme])
    moments = iter((1e9, 1e9 + 0.1, 1e9 + 0.2, 1e9 + 0.3))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        upstream = Upstream(
            parse_backend(str(path)), None, signer=signer, wall=lambda: next(moments)
        )
        await upstream.prepare()
        for command in (Command.SUBSCRIBE, Command.SUBSCRIBE, Command.UNSUBSCRIBE):
            upstream.send(replace(A, command=command))
            assert accepts(door, receiver.recv(5000), 1e9 + 0.5) is None
        upstream.close()
