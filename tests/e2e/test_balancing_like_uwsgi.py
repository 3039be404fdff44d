"""The router of a real uWSGI and our table get the same announcements and requests, and have to
choose the same nodes (subscriptions/table.py, subscriptions/balancing)."""

from __future__ import annotations

import contextlib
import json
import random
import selectors
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest

from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import Command, Packet, encode
from uwgate.subscriptions.statistics import statistics
from uwgate.subscriptions.table import Table, TableOptions

from .peers import program, running
from .processes import PATIENCE, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "shop.example"
REQUEST = f"GET / HTTP/1.0\r\nHost: {KEY}\r\n\r\n".encode()
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"
STEPS = 300
SAME = ("name", "weight", "wrr", "ref", "requests", "last_requests", "modifier1", "cores", "load")


@dataclass
class Running:
    """A request that a node has accepted and not answered."""

    client: socket.socket
    backend: socket.socket
    node: Node

    def close(self) -> None:
        self.client.close()
        self.backend.close()


@dataclass
class Pair:
    """The router and the table, the nodes' sockets, and the requests that run."""

    router: tuple[str, int]
    announcements: str
    stats: str
    table: Table
    listeners: dict[str, socket.socket] = field(default_factory=dict[str, socket.socket])
    requests: list[Running] = field(default_factory=list[Running])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for request in self.requests:
            request.close()
        for listener in self.listeners.values():
            listener.close()

    def open(self) -> str:
        """A new node that has not announced itself; returns its address."""
        listener = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.listeners[address] = listener
        return address

    def say(self, packet: Packet) -> None:
        """An announcement, to both."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(encode(packet), self.announcements)
        self.table.follow(packet, 0.0)
        self.compare()

    def begin(self) -> str:
        """A request to both; returns the address of the node that both chose."""
        slot = self.table.find(KEY)
        assert slot is not None
        node = slot.choose(0.0)
        assert node is not None
        self.table.connected(node)
        client = socket.create_connection(self.router, PATIENCE)
        client.sendall(REQUEST)
        with selectors.DefaultSelector() as selector:
            for address, listener in self.listeners.items():
                selector.register(listener, selectors.EVENT_READ, address)
            ready = selector.select(PATIENCE)
        assert [key.data for key, _ in ready] == [node.address]
        backend, _ = self.listeners[node.address].accept()
        self.requests.append(Running(client, backend, node))
        self.compare()  # the router counts it a little after the node has accepted
        return node.address

    def end(self, number: int) -> None:
        """The node answers, and the client has got it."""
        request = self.requests.pop(number)
        with contextlib.closing(request):
            request.backend.settimeout(PATIENCE)
            request.backend.recv(65536)
            request.backend.sendall(ANSWER)
            request.backend.close()
            assert request.client.makefile("rb").read() == ANSWER
        self.table.release(request.node)
        self.compare()

    def compare(self) -> None:
        """Wait until the statistics of both say the same."""
        deadline = time.monotonic() + PATIENCE
        mine = nodes_of(statistics(self.table, 0.0, 0.0))
        while (theirs := nodes_of(self.read_stats())) != mine:
            assert time.monotonic() < deadline, f"{theirs} and not {mine}"
            time.sleep(0.001)

    def read_stats(self) -> list[dict[str, Any]]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self.stats)
            slots: list[dict[str, Any]] = json.loads(sock.makefile("rb").read())["subscriptions"]
        return slots


def nodes_of(slots: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What must be equal of all nodes, in order."""
    return [tuple(node[name] for name in SAME) for slot in slots for node in slot["nodes"]]


@pytest.fixture
def pair(folder: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both with the algorithm that the test is for."""
    algo: str = request.param
    port = free_port()
    argv = [program("uwsgi"), "--master", "--http", f"127.0.0.1:{port}"]
    argv += ["--http-subscription-server", f"{folder}/announce"]
    argv += ["--http-stats-server", f"{folder}/stats", "--http-timeout", "600"]
    argv += ["--subscription-algo", algo, "--subscription-tolerance", "600"]
    table = Table(TableOptions(algo=algo, tolerance=600.0))
    with running(Process(argv, folder=folder, name="router"), stop=signal.SIGKILL) as process:
        process.wait_for_socket(("127.0.0.1", port))
        process.wait_for_socket(f"{folder}/stats")
        process.wait_for((folder / "announce").exists, "place for announcements")
        with Pair(("127.0.0.1", port), f"{folder}/announce", f"{folder}/stats", table) as both:
            yield both


@pytest.mark.parametrize("pair", ["wrr", "lrc", "wlrc"], indirect=True)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_nodes_are_chosen_whatever_happens(pair: Pair, seed: int) -> None:
    dice = random.Random(seed)
    known = [pair.open() for _ in range(3)]
    for address in known:
        pair.say(announcement(dice, address))
    chosen: list[str] = []
    for _ in range(STEPS):
        step = dice.choices(["begin", "whole", "end", "new", "again", "leave"], [8, 6, 6, 1, 2, 1])
        match step[0]:
            case "begin" if len(pair.requests) < 12:
                chosen.append(pair.begin())
            case "whole":
                chosen.append(pair.begin())
                pair.end(-1)
            case "end" if pair.requests:
                pair.end(dice.randrange(len(pair.requests)))
            case "new" if len(known) < 6:
                known.append(pair.open())
                pair.say(announcement(dice, known[-1]))
            case "again":
                pair.say(announcement(dice, dice.choice(known)))
            case "leave" if len(known) > 2 and not pair.requests:
                address = known.pop(dice.randrange(len(known)))
                pair.say(Packet(command=Command.UNSUBSCRIBE, key=KEY, address=address))
            case _:
                pass
    assert len(chosen) > STEPS // 3
    assert len(set(chosen)) > 2


def announcement(dice: random.Random, address: str) -> Packet:
    """What a node says; its modifier1 never changes, since uWSGI would not take that over."""
    return Packet(
        key=KEY, address=address, cores=dice.randrange(9), weight=dice.randrange(5), modifier1=0
    )
