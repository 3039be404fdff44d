"""What the registry shows of gateway processes: it asks them over their connections."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.gateways.registry.waiting import PATIENCE, until
from uwgate.conf.groups.corerouter import HttpCorerouterOptions
from uwgate.conf.groups.stats import StatsOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener, Start
from uwgate.gateways.corerouter.tables import replica_options
from uwgate.gateways.registry import census, process
from uwgate.gateways.registry.figures import ProcessFigures
from uwgate.gateways.registry.frames import encode
from uwgate.gateways.registry.process import Registry
from uwgate.gateways.registry.replica import Replica
from uwgate.subscriptions.change import Change
from uwgate.subscriptions.packet import Packet
from uwgate.subscriptions.packet import encode as encode_packet
from uwgate.subscriptions.table import Table

KEY = "foo.com"
NODE = "127.0.0.1:9"


class House:
    """A registry, and gateways that are nothing but their counts."""

    def __init__(self, start: Start, registry: Registry, folder: Path) -> None:
        self.start = start
        self.registry = registry
        self._folder = folder

    async def read(self) -> dict[str, Any]:
        """What the stats server says now."""
        found = b""
        with trio.socket.socket(socket.AF_UNIX) as sock, trio.fail_after(PATIENCE):
            await sock.connect(str(self._folder / "stats"))
            while data := await sock.recv(65536):
                found += data
        document: dict[str, Any] = json.loads(found)
        return document

    def announce(self, packet: Packet) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(encode_packet(packet), str(self._folder / "announce"))

    async def wait_nodes(self, count: int) -> None:
        await until(lambda: self.registry.books["http"].table.node_count == count)

    @contextlib.asynccontextmanager
    async def gateway(self, table: Table | None = None, **counts: Any) -> AsyncIterator[Replica]:
        """A gateway process that is connected."""
        before = len(self.registry.feed.subscribers)
        replica = Replica("http", self.start, table, _pass_over)
        figures = ProcessFigures(**{"pid": os.getpid(), "born": before, **counts})
        replica.figures = lambda: figures
        async with trio.open_nursery() as nursery:
            await nursery.start(replica.run)
            await self._wait_subscribers(before + 1)
            yield replica
            nursery.cancel_scope.cancel()
        await self._wait_subscribers(before)

    @contextlib.asynccontextmanager
    async def mute(self) -> AsyncIterator[None]:
        """A gateway process that never answers."""
        before = len(self.registry.feed.subscribers)
        with trio.socket.socket(socket.AF_UNIX) as sock:
            await sock.connect(f"\0{self.start.registry_address}")
            await sock.send(encode("hello", kind="http", pid=1))
            await self._wait_subscribers(before + 1)
            yield

    async def _wait_subscribers(self, count: int) -> None:
        feed = self.registry.feed
        await until(lambda: sum(bool(one.kind) for one in feed.subscribers) == count)


def _pass_over(_: list[Change]) -> None:
    pass


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[dict[str, socket.socket]]:
    """Those that the master would bind, by role."""
    with contextlib.ExitStack() as stack:
        found = {}
        for role, kind, name in (
            ("registry", socket.SOCK_STREAM, f"\0uwgate-test-{secrets.token_hex(8)}"),
            ("http-stats", socket.SOCK_STREAM, str(tmp_path / "stats")),
            ("http-subscription", socket.SOCK_DGRAM, str(tmp_path / "announce")),
        ):
            sock = found[role] = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            sock.bind(name)
            sock.setblocking(False)
            if kind == socket.SOCK_STREAM:
                sock.listen()
        yield found


@pytest.fixture
async def house(
    sockets: dict[str, socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    monkeypatch.setattr(process, "NICE", 0)
    core = HttpCorerouterOptions(
        subscription_server=(str(tmp_path / "announce"),),
        stats_server=str(tmp_path / "stats"),
        to=("b:1",),
        check="tcp",
        check_interval=600.0,
    )
    listeners = tuple(
        Listener(
            fd=os.dup(sock.fileno()) if role == "registry" else sock.fileno(), role=role, name=""
        )
        for role, sock in sockets.items()
    )
    start = Start(
        settings=Settings(http_corerouter=core, stats=StatsOptions(stats_minified=True)),
        listeners=listeners,
        control_fd=-1,
        life_fd=-1,
        lease_address=None,
        instance=1,
        generation=1,
        registry_address=sockets["registry"].getsockname()[1:].decode(),
        bound=(
            ("http", ":80"),
            ("uwsgi", "/x"),
            ("http-subscription", ":3031"),
            ("http-stats", "/s"),
        ),
    )
    registry = Registry(start)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(registry.serve, nursery)
        await until(lambda: registry.leads)
        yield House(start, registry, tmp_path)
        nursery.cancel_scope.cancel()
    await registry.drained()
    registry.close()


async def test_all_processes_are_one_document(house: House) -> None:
    async with (
        house.gateway(active_sessions=2, answers={"2xx": 3}, uid=7),
        house.gateway(active_sessions=5, answers={"2xx": 1, "5xx": 1}),
    ):
        document = await house.read()
    assert document["active_sessions"] == 7
    assert document["answers"] == {"2xx": 4, "5xx": 1}
    assert [one["silent"] for one in document["processes"]] == [0, 0]
    assert document["http"] == [":80", ":3031"]
    assert document["static_nodes"] == [{"name": "b:1", "hits": 0, "grace": 0}]


async def test_nodes_are_shown_with_what_gateways_did(house: House) -> None:
    house.announce(Packet(key=KEY, address=NODE, weight=4))
    await house.wait_nodes(1)
    table = Table(replica_options(house.start.settings, "http"))
    async with house.gateway(table):
        slot = table.find(KEY)
        assert slot is not None
        node = slot.choose(0.0)
        assert node is not None
        table.connected(node)
        (shown,) = (await house.read())["subscriptions"]
    assert (shown["key"], shown["hits"]) == (KEY, 1)
    (row,) = shown["nodes"]
    assert (row["name"], row["weight"], row["requests"], row["ref"]) == (NODE, 4, 1, 1)


async def test_what_is_refused_is_shown_by_reason(house: House) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        for datagram in (b"", b"nonsense", bytes(4096)):
            sock.sendto(datagram, house.start.settings.http_corerouter.subscription_server[0])
    house.announce(Packet(key=KEY, address=NODE))
    await house.wait_nodes(1)
    document = await house.read()
    assert document["announcements"] == {
        "accepted": 1,
        "lost": 0,
        "refused": {"malformed": 3},
    }


async def test_what_the_kernel_dropped_is_shown(house: House) -> None:
    inboxes = house.registry.inboxes["http"]
    await until(lambda: bool(inboxes))
    inboxes[0].lost = 7
    assert (await house.read())["announcements"]["lost"] == 7


async def test_a_process_that_does_not_answer_is_left_out_and_that_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "LIMIT", 0.1)
    async with house.mute():
        document = await house.read()
    assert document["processes"] == [{"pid": os.getpid(), "active_sessions": 0, "silent": 1}]


async def test_a_process_that_dies_while_it_is_asked_is_not_waited_for(house: House) -> None:
    documents: list[dict[str, Any]] = []

    async def read() -> None:
        documents.append(await house.read())

    async with trio.open_nursery() as nursery, house.mute():
        nursery.start_soon(read)
        await until(lambda: bool(house.registry.census._questions))
    assert documents[0]["processes"] == []


async def test_what_was_shown_stays_when_its_process_dies(house: House) -> None:
    async with house.gateway(active_sessions=2, answers={"2xx": 3}):
        await house.read()
    document = await house.read()
    assert (document["active_sessions"], document["answers"]) == (0, {"2xx": 3})
    async with house.gateway(active_sessions=2, answers={"2xx": 3}):  # it was only disconnected
        document = await house.read()
    assert (document["active_sessions"], document["answers"]) == (2, {"2xx": 3})


async def test_what_a_process_says_before_it_ends_is_not_lost(house: House) -> None:
    async with house.gateway(answers={"2xx": 3}, active_sessions=1) as replica:
        await replica.farewell()
    document = await house.read()
    assert (document["active_sessions"], document["answers"]) == (0, {"2xx": 3})


async def test_readers_at_the_same_time_share_the_answers(house: House) -> None:
    documents: list[dict[str, Any]] = []

    async def read() -> None:
        documents.append(await house.read())

    async with house.gateway(answers={"2xx": 3}), trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(read)
    assert [document["answers"] for document in documents] == [{"2xx": 3}] * 20


async def test_an_answer_that_makes_no_sense_ends_its_connection(house: House) -> None:
    async with house.mute():
        (subscriber,) = house.registry.feed.subscribers
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.read)
            questions = house.registry.census._questions
            await until(lambda: bool(questions))
            question = questions["http"]
            message = {"type": "figures", "id": question.number, "row": {"key": 1, "nodes": 2}}
            with pytest.raises(ValueError, match="damaged"):
                house.registry.on_message(subscriber, message)
            subscriber.close("nonsense")


async def test_nodes_that_fail_their_checks_are_out_in_all_gateways(house: House) -> None:
    house.announce(Packet(key=KEY, address=NODE))
    await house.wait_nodes(1)
    table = Table(replica_options(house.start.settings, "http"))
    book = house.registry.books["http"]
    async with house.gateway(table):
        assert table.find(KEY) is not None
        checks = house.registry.reports["http"].checks
        assert checks is not None
        probe, nodes = next((probe, nodes) for _, probe, nodes in checks._plan())
        for _ in range(2):
            await checks._limiter.acquire_on_behalf_of(probe)
            await checks._look(probe, nodes)  # nobody listens there
        await until(lambda: table.find(KEY) is None)
    document = await house.read()
    ((row,),) = [slot["nodes"] for slot in document["subscriptions"]]
    assert (row["check_failed"], row["check_row"], row["death_mark"]) == (1, -2, 1)
    assert document["checks"]["out"] == 1
    assert book.table.find(KEY) is None
