"""A service address moves in a real network: namespaces on a bridge."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest

from .cluster import VIP, VIP6, Cluster, running_cluster
from .legion_faults import Faults
from .network import need_namespaces, signal_tree

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    need_namespaces()
    folder = tmp_path_factory.mktemp("vip")
    with running_cluster(folder, freq=0.5, tolerance=4.0, serve=False) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    shared_cluster.make_whole()
    yield shared_cluster
    assert shared_cluster.twice == []


@pytest.mark.timeout(300)
def test_a_service_address_is_where_the_lord_is_and_nowhere_else(cluster: Cluster) -> None:
    cluster.kill("3")
    cluster.wait_for_answer("2")
    cluster.wait_for_holders(VIP6, "2")
    cluster.start("3")
    cluster.wait_for_answer("3")
    cluster.host("3").cut()
    cluster.wait_for_answer("2")
    cluster.wait_for_holders(VIP, "2")
    cluster.host("3").mend()
    cluster.wait_for_answer("3")


@pytest.mark.timeout(300)
def test_the_kernel_takes_the_address_from_a_lord_that_stands_still(cluster: Cluster) -> None:
    signal_tree(cluster.nodes["3"].pid, signal.SIGSTOP)
    cluster.wait_for_answer("2")
    cluster.wait_for_holders(VIP, "2")
    cluster.wait_for_holders(VIP6, "2")
    signal_tree(cluster.nodes["3"].pid, signal.SIGCONT)
    cluster.wait_for_answer("3")


@pytest.mark.timeout(300)
def test_the_address_is_with_the_majority_and_comes_back_when_the_cut_heals(
    cluster: Cluster,
) -> None:
    cluster.host("3").plug_in("other")
    cluster.wait_for_answer("2")
    cluster.wait_for_holders(VIP, "2")
    cluster.host("3").plug_in()
    cluster.wait_for_answer("3")


@pytest.mark.timeout(300)
def test_the_address_goes_when_the_process_or_its_master_is_killed(cluster: Cluster) -> None:
    node = cluster.nodes["3"]
    os.kill(cluster.legion_process("3"), signal.SIGKILL)
    cluster.wait_for(lambda: "was left behind: removed" in node.log, "removal by the master")
    cluster.wait_for_answer("2")
    cluster.wait_for_answer("3")
    before = node.log.count("given back")
    os.kill(node.pid, signal.SIGKILL)
    cluster.wait_for_answer("2")
    cluster.wait_for(lambda: node.log.count("given back") >= before + 2, "giving back")
    cluster.wait_for(
        lambda: "the master is gone: leaving the legions" in node.log, "goodbye of the orphan"
    )


@pytest.mark.timeout(300)
def test_a_reload_keeps_the_address_and_a_stop_hands_it_over(cluster: Cluster) -> None:
    lord = cluster.nodes["3"]
    process = cluster.legion_process("3")
    os.kill(lord.pid, signal.SIGHUP)
    lord.wait_for_log("generation 1 is gone")
    assert "given back" not in lord.log.partition("gracefully reloading")[2]
    assert cluster.legion_process("3") == process
    assert cluster.network.holders(VIP) == [cluster.host("3")]
    assert lord.stop() == 0
    cluster.wait_for_answer("2")
    for name in ("1", "2"):
        assert cluster.nodes[name].stop() == 0
    cluster.wait_for_holders(VIP)


@pytest.mark.timeout(300)
def test_random_faults_leave_one_reachable_node_with_the_address(cluster: Cluster) -> None:
    faults = Faults(cluster, random.Random(20))
    for _ in range(2):
        faults.strike()
    assert faults.wrong == []
