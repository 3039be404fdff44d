"""Nodes that do not say that they are dead: somebody has to look after them."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, Any

from uwgate.subscriptions.packet import Packet, encode

from .client import ask, request
from .peers import uwsgi
from .processes import APPS, Process, free_port, tree
from .statistics import nodes_of, wait_for_stats

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Start
    from .processes import Uwgate

KEY = "shop.example"


class Gate:
    """A gateway whose nodes are looked after three times a second."""

    def __init__(self, uwgate: Start, folder: Path, check: str) -> None:
        self.stats = f"{folder}/stats"
        self._nodes = f"{folder}/nodes"
        self.program: Uwgate = uwgate(
            *("--http", "127.0.0.1:0", "--http-processes", "2", "--http-check", check),
            *("--http-check-interval", "0.3", "--http-check-timeout", "0.3"),
            # Who has not heard yet that a node is frozen asks it, and this long.
            *("--http-timeout", "10", "--http-stats-server", self.stats),
            *("--http-subscription-server", self._nodes),
            *("--subscription-tolerance", "600"),
        )
        wait_for_stats(self.program, self.stats, lambda found: len(found["processes"]) == 2)

    def announce(self, address: str, *, weight: int = 1, proto: str = "") -> None:
        packet = Packet(key=KEY, address=address, weight=weight, proto=proto)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(encode(packet), self._nodes)
        self._wait(address, lambda node: node["weight"] == weight)

    def wait_failed(self, address: str) -> None:
        self._wait(address, lambda node: node["check_failed"] == 1)

    def wait_well(self, address: str) -> None:
        self._wait(address, lambda node: node["check_failed"] == 0 and node["check_row"] > 0)

    def _wait(self, address: str, condition: Callable[[dict[str, Any]], bool]) -> None:
        def is_there(document: dict[str, Any]) -> bool:
            return any(node["name"] == address and condition(node) for node in nodes_of(document))

        wait_for_stats(self.program, self.stats, is_there)

    def wait_status(self, status: int) -> None:
        """Both processes have heard of it when that is all that they answer."""
        row: list[int] = []

        def look() -> bool:
            row.append(ask(self.program.address, request(host=KEY)).status)
            return row[-10:] == [status] * 10

        self.program.wait_for(look, f"answers with {status}")


def signal_all(process: Process, number: signal.Signals) -> None:
    """A signal for a program and all its processes."""
    for pid in (process.pid, *tree(process.pid)):
        os.kill(pid, number)


def test_a_node_that_hangs_is_out_until_it_answers_again(folder: Path, uwgate: Start) -> None:
    address = f"127.0.0.1:{free_port()}"
    with uwsgi(folder, "--socket", address, app="witness.py") as node:
        gate = Gate(uwgate, folder, "uwsgi")
        gate.announce(address)
        gate.wait_well(address)
        gate.wait_status(200)
        signal_all(node, signal.SIGSTOP)
        try:
            gate.wait_failed(address)
            gate.wait_status(503)
            gate.announce(address, weight=2)
            gate.wait_status(503)
        finally:
            signal_all(node, signal.SIGCONT)
        gate.wait_well(address)
        gate.wait_status(200)


def test_a_node_whose_socket_outlives_it_gets_no_requests(folder: Path, uwgate: Start) -> None:
    """Nobody refuses a connection to it: somebody else, such as systemd, holds its socket."""
    gate = Gate(uwgate, folder, "uwsgi")
    other = f"127.0.0.1:{free_port()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        uwsgi(folder, "--socket", other, app="witness.py", name="other"),
    ):
        dead = f"127.0.0.1:{held.getsockname()[1]}"
        gate.announce(other)
        gate.announce(dead)
        gate.wait_failed(dead)
        gate.wait_status(200)


def test_workers_of_ours_answer_pings(folder: Path, uwgate: Start) -> None:
    socket_path = str(folder / "node")
    node = uwgate(
        "--uwsgi-socket", socket_path, "--wsgi-file", str(APPS / "witness.py"), name="node"
    )
    node.wait_for_log("generation 1 serves")
    gate = Gate(uwgate, folder, "uwsgi")
    gate.announce(socket_path)
    gate.wait_well(socket_path)
    gate.wait_status(200)


def test_a_page_decides_whether_a_node_is_well(folder: Path, uwgate: Start) -> None:
    """In the node's own protocol."""
    good, bad, good_http, bad_http = (f"127.0.0.1:{free_port()}" for _ in range(4))
    gate = Gate(uwgate, folder, "/status")
    sick = {"HEALTH": "503 Sick"}
    with (
        uwsgi(folder, "-s", good, "--http-socket", good_http, name="good", app="health.py"),
        uwsgi(folder, "-s", bad, "--http-socket", bad_http, name="bad", app="health.py", env=sick),
    ):
        for address, proto in ((bad, ""), (good, ""), (bad_http, "h"), (good_http, "h")):
            gate.announce(address, proto=proto)
        for address in (bad, bad_http):
            gate.wait_failed(address)
        for address in (good, good_http):
            gate.wait_well(address)
        gate.wait_status(200)
