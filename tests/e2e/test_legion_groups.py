"""Legions whose nodes find each other by multicast and broadcast."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import uwgate

from .network import Network, ip, need_namespaces
from .processes import Process

SOURCE = Path(uwgate.__file__).parents[1]
SECRET = "chacha20-poly1305:sixteen letters.."


@pytest.fixture
def network() -> Iterator[Network]:
    need_namespaces()
    network = Network(2)
    yield network
    for host in network.hosts:
        host.kill_all()
    network.close()


def test_nodes_find_each_other_without_a_list(network: Network, tmp_path: Path) -> None:
    nodes: list[Process] = []
    for host in network.hosts:
        ip("route", "add", "default", "dev", "eth0", namespace=host.namespace)
        argv = ["-m", "uwgate", "--legion-mcast", f"group 225.1.1.1:4242 {host.name} {SECRET}"]
        argv += ["--legion", f"all 255.255.255.255:4243 {host.name} {SECRET}"]
        argv += ["--legion-node", "all 255.255.255.255:4243"]
        argv += ["--legion-quorum", "group 2", "--legion-quorum", "all 2"]
        env = {"PYTHONPATH": str(SOURCE)}
        words = host.command(sys.executable, *argv)
        nodes.append(Process(words, folder=tmp_path, name=host.name, env=env))
    for legion in ("group", "all"):
        nodes[1].wait_for_log(f"legion {legion}: this node is the lord now")
        nodes[0].wait_for_log(rf"legion {legion}: the lord is \S+ \(\S+, valor 2\)")
    for node in nodes:
        assert node.stop() == 0
        assert "Traceback" not in node.log


def test_a_group_without_a_route_is_an_error_that_says_so(network: Network, tmp_path: Path) -> None:
    argv = ["-m", "uwgate", "--legion-mcast", f"group 225.1.1.1:4242 1 {SECRET}"]
    words = network.hosts[0].command(sys.executable, *argv, "--legion-quorum", "group 2")
    node = Process(words, folder=tmp_path, name="1", env={"PYTHONPATH": str(SOURCE)})
    assert node.wait() == 1
    assert "cannot listen on 225.1.1.1:4242: No such device; is there a route to it?" in node.log
