"""The registry and the replicas of gateways, over real sockets (gateways/registry)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from uwgate.binding import Bound, bind_unnamed
from uwgate.conf.groups.corerouter import HttpCorerouterOptions
from uwgate.conf.groups.subscriptions import SubscriptionOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener, Start
from uwgate.gateways.registry import feed, lead, process
from uwgate.gateways.registry.acknowledgements import MOST, Acknowledgements
from uwgate.gateways.registry.datagrams import Inbox
from uwgate.gateways.registry.frames import Decoder, encode
from uwgate.gateways.registry.process import Registry
from uwgate.gateways.registry.replica import Replica
from uwgate.subscriptions.admission import Credentials
from uwgate.subscriptions.change import Change, Joined
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import MAX_DATAGRAM, Command, Packet
from uwgate.subscriptions.packet import encode as datagram
from uwgate.subscriptions.table import Table, TableOptions

A = Packet(key="shop.example", address="10.0.0.1:99", weight=2)
B = replace(A, address="10.0.0.2:99")
TOLD = TableOptions(tolerance=0.0, tolerance_inactive=0.0)
PATIENCE = 60.0  # seconds; only a failing test waits this long
# Who was announced once stays, however long the test takes.
PATIENT = SubscriptionOptions(subscription_tolerance=600, subscription_tolerance_inactive=600)


class World:
    """A registry in this process, with one socket for announcements."""

    def __init__(self, bound: Bound, path: Path, nursery: trio.Nursery) -> None:
        self.path = path
        self.stack = contextlib.ExitStack()
        self._inbox = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self._inbox.bind(str(path))
        self._nursery = nursery
        servers = HttpCorerouterOptions(subscription_server=(str(path),))
        self.start = Start(
            settings=Settings(http_corerouter=servers, subscriptions=PATIENT),
            listeners=(
                Listener(fd=os.dup(bound.socket.fileno()), role="registry", name=bound.name),
                Listener(fd=self._inbox.fileno(), role="http-subscription", name=str(path)),
            ),
            control_fd=-1,
            life_fd=-1,
            lease_address=None,
            instance=1,
            generation=1,
            registry_address=bound.name[1:],
        )

    async def run_registry(self, *, is_first: bool = True) -> Registry:
        start = dataclasses.replace(self.start, is_first=is_first)
        registry = self.stack.enter_context(contextlib.closing(Registry(start)))
        self._nursery.start_soon(registry.serve, self._nursery)
        await wait_for(lambda: registry.leads)
        return registry

    async def gateway(self) -> tuple[Replica, Table]:
        """The replica of a gateway that has just been started."""
        table = Table(TOLD)
        replica = Replica("http", self.start, table, lambda changes: None)
        await self._nursery.start(replica.run)
        return replica, table

    def announce(self, *packets: Packet) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            for packet in packets:
                sender.sendto(datagram(packet), str(self.path))


async def wait_for(condition: Callable[[], object]) -> None:
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 # the kernel carries it, no task of ours
            await trio.sleep(0.005)


@pytest.fixture
def bound() -> Iterator[Bound]:
    bound = bind_unnamed()
    yield bound
    bound.socket.close()


@pytest.fixture
async def world(bound: Bound, tmp_path: Path) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        world = World(bound, tmp_path / "announce", nursery)
        yield world
        nursery.cancel_scope.cancel()
    world.stack.close()


async def test_all_gateways_know_what_one_socket_heard(world: World) -> None:
    await world.run_registry()
    tables = [(await world.gateway())[1] for _ in range(4)]
    world.announce(A, B, replace(A, command=Command.UNSUBSCRIBE))
    await wait_for(lambda: all(table.node(B.key, B.address) for table in tables))
    assert [list(table.slots[A.key].members) for table in tables] == [[B.address]] * 4


async def test_a_gateway_knows_all_nodes_before_it_serves(world: World) -> None:
    registry = await world.run_registry()
    world.announce(A, B)
    await wait_for(lambda: registry.books["http"].table.node_count == 2)
    _, table = await world.gateway()
    assert table.node_count == 2


async def test_a_gateway_serves_without_a_registry_after_a_while(
    world: World, autojump_clock: trio.abc.Clock
) -> None:
    before = trio.current_time()
    _, table = await world.gateway()
    assert trio.current_time() - before == 5.0
    assert table.is_empty


async def test_what_one_gateway_cannot_reach_no_other_asks(world: World) -> None:
    await world.run_registry()
    (first, mine), (_, theirs) = await world.gateway(), await world.gateway()
    world.announce(A, B)
    await wait_for(lambda: mine.node_count == 2 and theirs.node_count == 2)
    node, same = mine.node(A.key, A.address), theirs.node(A.key, A.address)
    assert node is not None
    assert same is not None
    for change in mine.unreachable(node, node.last_check + 0.001):
        first.tell(change)
    await wait_for(lambda: not same.is_live)
    assert not node.is_live
    world.announce(A)
    await wait_for(lambda: same.is_live and node.is_live)


async def test_what_failed_while_there_was_no_registry_is_told_to_the_next(world: World) -> None:
    replica, table = Replica("http", world.start, Table(TOLD), lambda changes: None), Table(TOLD)
    registry = await world.run_registry()
    world.announce(A, B)
    book = registry.books["http"]
    await wait_for(lambda: book.table.node_count == 2)
    node = book.table.node(A.key, A.address)
    assert node is not None
    table.follow(A, node.last_check)
    same = table.node(A.key, A.address)
    assert same is not None
    for change in table.unreachable(same, node.last_check + 0.001):
        replica.tell(change)
    world._nursery.start_soon(replica.run)
    await wait_for(lambda: not node.is_live)


async def test_a_registry_that_was_just_born_is_told_by_gateways(world: World) -> None:
    async with trio.open_nursery() as nursery:
        replicas: list[Replica] = []
        for packet in (A, B):
            table = Table(TOLD)
            table.follow(packet, time.monotonic())
            replicas.append(Replica("http", world.start, table, lambda changes: None))
        for replica in replicas:
            nursery.start_soon(replica.run)
        registry = await world.run_registry(is_first=False)
        tables = [registry.books["http"].table, *(one.mirror.table for one in replicas)]
        await wait_for(lambda: all(table.node_count == 2 for table in tables))
        nursery.cancel_scope.cancel()


async def test_a_gateway_that_knows_nothing_waits_for_one_that_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE", PATIENCE)
    await world.run_registry(is_first=False)
    fresh = Replica("http", world.start, Table(TOLD), lambda changes: None)
    async with trio.open_nursery() as nursery:

        async def tell_later() -> None:
            await trio.sleep(0.2)  # it takes a while to see that the old registry is gone
            table = Table(TOLD)
            table.follow(A, time.monotonic())
            world._nursery.start_soon(Replica("http", world.start, table, lambda changes: None).run)

        nursery.start_soon(tell_later)
        await world._nursery.start(fresh.run)
    assert fresh.mirror.table.node(A.key, A.address) is not None


async def test_a_gateway_waits_in_vain_for_a_short_time_only(world: World) -> None:
    await world.run_registry(is_first=False)
    fresh = Replica("http", world.start, Table(TOLD), lambda changes: None)
    await world._nursery.start(fresh.run)
    assert fresh.mirror.is_complete
    assert fresh.mirror.table.is_empty


async def test_certificates_and_changes_reach_the_owner_of_a_replica(world: World) -> None:
    await world.run_registry()
    changes: list[Change] = []
    replica = Replica("http", world.start, Table(TOLD), changes.extend)
    await world._nursery.start(replica.run)
    world.announce(A)
    await wait_for(lambda: changes)
    assert [type(change) for change in changes] == [Joined]


async def test_who_takes_nothing_is_disconnected(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_UNSENT", 100_000)
    registry = await world.run_registry()
    _, table = await world.gateway()
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.connect(f"\0{world.start.registry_address}")
        stuck.sendall(encode("hello", kind="http", pid=1) + encode("end", kind="http"))
        await wait_for(lambda: len(registry.feed.subscribers) == 2)
        number = 0
        while len(registry.feed.subscribers) == 2:
            number += 1
            world.announce(replace(A, address=f"a:{number}"))
            await trio.lowlevel.checkpoint()
        await wait_for(lambda: table.node_count == number)


@pytest.mark.parametrize("nonsense", [b"\xff" * 8, b"\2\0\0\0[]", encode("out", kind="http")])
async def test_who_talks_nonsense_is_disconnected(world: World, nonsense: bytes) -> None:
    await world.run_registry()
    with socket.socket(socket.AF_UNIX) as talker:
        talker.connect(f"\0{world.start.registry_address}")
        talker.setblocking(False)
        talker.sendall(encode("hello", kind="http", pid=1) + nonsense)
        with trio.fail_after(PATIENCE):
            while True:
                await trio.lowlevel.wait_readable(talker)
                if not talker.recv(65536):
                    break


async def test_a_damaged_frame_makes_a_replica_begin_anew(bound: Bound) -> None:
    start = Start(
        settings=Settings(),
        listeners=(),
        control_fd=-1,
        life_fd=-1,
        lease_address=None,
        instance=1,
        generation=1,
        registry_address=bound.name[1:],
    )
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound.socket.dup()))
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(Replica("http", start, Table(TOLD), lambda changes: None).run)
        for _ in range(2):
            async with await listener.accept() as stream:
                (hello,) = Decoder().feed(await stream.receive_some())
                assert hello == {"type": "hello", "kind": "http", "pid": os.getpid()}
                await stream.send_all(encode("packet"))
        nursery.cancel_scope.cancel()


# who leads

FOLLOWER = """
import fcntl, socket, sys, time
sock = socket.socket(fileno=int(sys.argv[1]))
fcntl.lockf(sock, fcntl.LOCK_EX)
print("leads", flush=True)
time.sleep(600)
"""


def test_one_leads_until_it_dies(bound: Bound) -> None:
    fd = bound.socket.fileno()
    with subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, str(fd)], pass_fds=[fd], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"leads\n"
        assert not lead.try_lead(bound.socket)
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert lead.try_lead(bound.socket)
    lead.stop_leading(bound.socket)


# datagrams and acknowledgements


async def test_the_kernel_says_who_sent_a_datagram_and_descriptors_are_closed(
    tmp_path: Path,
) -> None:
    heard: list[tuple[bytes, Credentials | None]] = []
    with contextlib.ExitStack() as stack:
        receiver, sender = (
            stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) for _ in range(2)
        )
        receiver.bind(str(tmp_path / "s"))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        sender.connect(str(tmp_path / "s"))
        open_before = len(os.listdir("/proc/self/fd"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Inbox(receiver).run, lambda *one: heard.append(one))
            sender.send(b"one")
            socket.send_fds(sender, [b"two"], [0, 1, 2])
            sender.send(b"x" * (MAX_DATAGRAM + 100))
            await wait_for(lambda: len(heard) == 3)
            nursery.cancel_scope.cancel()
        assert len(os.listdir("/proc/self/fd")) == open_before
    me = Credentials(os.getpid(), os.geteuid(), os.getegid())
    assert heard[:2] == [(b"one", me), (b"two", me)]
    assert len(heard[2][0]) == MAX_DATAGRAM + 1


async def test_what_the_kernel_drops_is_counted() -> None:
    heard: list[bytes] = []
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        inbox = Inbox(receiver)
        for _ in range(100):
            sender.sendto(b"x" * 1000, receiver.getsockname())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inbox.run, lambda data, sender: heard.append(data))
            await wait_for(lambda: heard)
            sender.sendto(b"last", receiver.getsockname())
            await wait_for(lambda: heard[-1] == b"last")
            nursery.cancel_scope.cancel()
    assert inbox.lost + len(heard) == 101
    assert inbox.lost_at > 0


def test_acknowledgements_go_to_absolute_paths_only_and_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind("acks")
        notified.setblocking(False)
        sender = Acknowledgements()
        absolute = Joined(Node(key="a", address="b:1", notify=str(tmp_path / "acks")))
        for path in ("acks", "", "/no/where", "\0acks"):
            sender.send(Joined(Node(key="a", address="b:1", notify=path)))
        for _ in range(MOST + 1):
            sender.send(absolute)
            with contextlib.suppress(BlockingIOError):
                notified.recv(100)
        sender.send(absolute)
        with pytest.raises(BlockingIOError):
            notified.recv(100)
        sender.tick()
        sender.send(absolute)
        assert notified.recv(100) == absolute.acknowledgement
        sender.close()
