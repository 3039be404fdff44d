"""A service address moves in a real network: namespaces on a bridge."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import VIP, VIP6, Cluster, running_cluster
from .network import need_namespaces, signal_tree


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    need_namespaces()
    with running_cluster(tmp_path, freq=0.4, tolerance=1.4) as cluster:
        cluster.wait_for_answer("3")
        cluster.wait_for_holders(VIP6, "3")
        yield cluster


@pytest.mark.timeout(400)
def test_a_service_address_is_where_the_lord_is_and_nowhere_else(cluster: Cluster) -> None:
    cluster.kill("3")
    cluster.wait_for_answer("2")
    cluster.wait_for_holders(VIP6, "2")
    cluster.start("3")
    cluster.wait_for_answer("3")

    # A lord without a network gives the address back.
    cluster.host("3").cut()
    cluster.wait_for_answer("2")
    cluster.wait_for_holders(VIP, "2")
    cluster.host("3").mend()
    cluster.wait_for_answer("3")

    # So does one that stands still: the kernel takes it.
    signal_tree(cluster.nodes["3"].pid, signal.SIGSTOP)
    cluster.wait_for_answer("2")
    cluster.wait_for_holders(VIP, "2")
    cluster.wait_for_holders(VIP6, "2")
    signal_tree(cluster.nodes["3"].pid, signal.SIGCONT)
    cluster.wait_for_answer("3")

    # The lord with the minority; the client is with the majority.
    cluster.host("3").plug_in("other")
    cluster.wait_for_answer("2")
    cluster.wait_for_holders(VIP, "2")
    cluster.host("3").plug_in()
    cluster.wait_for_answer("3")

    # The process is killed: the master removes what it had.
    os.kill(cluster.legion_process("3"), signal.SIGKILL)
    cluster.wait_for(lambda: "was left behind: removed" in cluster.nodes["3"].log, "sweeping")
    cluster.wait_for_answer("2")
    cluster.wait_for_answer("3")

    # The master is killed: the process removes it.
    os.kill(cluster.nodes["3"].pid, signal.SIGKILL)
    cluster.wait_for_answer("2")
    assert "given back" in cluster.nodes["3"].log.partition("the master is gone")[2]
    assert cluster.twice == []


@pytest.mark.timeout(200)
def test_stopping_a_lord_hands_the_address_over_and_a_reload_keeps_it(cluster: Cluster) -> None:
    lord = cluster.nodes["3"]
    process = cluster.legion_process("3")
    os.kill(lord.pid, signal.SIGHUP)
    lord.wait_for_log("generation 1 is gone")
    assert cluster.legion_process("3") == process
    assert cluster.network.holders(VIP) == [cluster.host("3")]
    assert lord.stop() == 0
    cluster.wait_for_answer("2")
    for name in ("1", "2"):
        assert cluster.nodes[name].stop() == 0
    cluster.wait_for_holders(VIP)
    for name in ("1", "2", "3"):
        cluster.start(name)
    cluster.wait_for_answer("3")
    assert cluster.twice == []
