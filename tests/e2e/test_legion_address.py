"""What befalls a service address on its machine: a namespace with two devices and one node."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import uwgate

from .network import Host, Network, ip, need_namespaces
from .processes import Process, tree

SOURCE = Path(uwgate.__file__).parents[1]
VIP = "10.88.0.10"


@pytest.fixture
def host() -> Iterator[Host]:
    need_namespaces()
    network = Network(1)
    host = network.hosts[0]
    try:
        words = ("link", "add", "eth1", "type", "veth", "peer", "name", "far")
        ip(*words, namespace=host.namespace)
        for device in ("eth1", "far"):
            ip("link", "set", device, "up", namespace=host.namespace)
        yield host
    finally:
        host.kill_all()
        network.close()


def start(host: Host, folder: Path, *arguments: str, name: str = "node") -> Process:
    """A node alone, of a compatible legion, where one vote is enough."""
    argv = ["-m", "uwgate", "--legion", "ring 127.0.0.1:4242 5 aes-128-cbc:secret"]
    argv += ["--legion-quorum", "ring 1", "--legion-freq", "0.5", "--legion-tolerance", "6"]
    argv += ["--legion-vip", f"ring {VIP}/24 dev eth1", *arguments]
    env = {"PYTHONPATH": str(SOURCE)}
    return Process(host.command(sys.executable, *argv), folder=folder, name=name, env=env)


def has(host: Host) -> bool:
    return VIP in ip("-4", "addr", "show", "dev", "eth1", namespace=host.namespace)


def test_an_address_that_somebody_removes_comes_back(host: Host, tmp_path: Path) -> None:
    node = start(host, tmp_path)
    node.wait_for_log("this node is the lord now")
    ip("addr", "del", f"{VIP}/24", "dev", "eth1", namespace=host.namespace)
    node.wait_for(lambda: has(host), "address")
    assert node.stop() == 0
    assert not has(host)


def test_the_process_keeps_two_capabilities_and_its_commands_none(
    host: Host, tmp_path: Path
) -> None:
    options = ("--uid", "65534", "--gid", "65534")
    node = start(
        host,
        tmp_path,
        *options,
        "--legion-lord",
        "ring cmd:grep -E '^(Uid|CapEff)' /proc/self/status",
    )
    node.wait_for_log("this node is the lord now")
    assert has(host)
    (pid,) = [pid for pid in tree(node.pid) if b"uwgate legion" in command_line(pid)]
    status = Path(f"/proc/{pid}/status").read_text()
    for kind in ("CapEff", "CapPrm"):
        assert f"{kind}:\t0000000000003000\n" in status
    assert "Uid:\t65534\t65534\t65534\t65534\n" in status
    node.wait_for_log("^CapEff:\t0000000000000000$")
    assert node.stop() == 0
    assert not has(host)


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_lord_that_has_lost_its_device_steps_down(host: Host, tmp_path: Path) -> None:
    node = start(host, tmp_path)
    node.wait_for_log("this node is the lord now")
    ip("link", "del", "eth1", namespace=host.namespace)
    node.wait_for_log("not lord any more: a service address is lost")
    node.wait_for_log("cannot be kept")
    assert node.stop() == 0
    assert node.log.count("cannot be kept") == 1
    assert "Traceback" not in node.log


def test_what_a_killed_instance_left_behind_goes_with_the_next_start(
    host: Host, tmp_path: Path
) -> None:
    # An address with an end, as ours have, and a long one.
    words = ("addr", "add", f"{VIP}/24", "dev", "eth1", "valid_lft", "900", "preferred_lft", "900")
    ip(*words, namespace=host.namespace)
    options = ("--legion-quorum", "ring 2")
    node = start(host, tmp_path, *options)
    node.wait_for_log(f"{VIP}/24 was left behind: removed")
    assert not has(host)
    node.wait_for_log("generation 1 serves")
    assert node.stop() == 0


def test_an_address_that_the_machine_has_for_good_is_an_error(host: Host, tmp_path: Path) -> None:
    ip("addr", "add", f"{VIP}/24", "dev", "eth1", namespace=host.namespace)
    node = start(host, tmp_path)
    assert node.wait() == 1
    assert f"legion-vip {VIP}/24: this machine has the address already, for good" in node.log


def test_another_machine_that_keeps_the_address_is_reported(host: Host, tmp_path: Path) -> None:
    ip("addr", "add", f"{VIP}/24", "dev", "far", "noprefixroute", namespace=host.namespace)
    other = f"{host.namespace}x"
    ip("netns", "add", other)
    try:
        ip("link", "set", "far", "netns", other, namespace=host.namespace)
        ip("link", "set", "far", "up", namespace=other)
        ip("addr", "add", f"{VIP}/24", "dev", "far", namespace=other)
        node = start(host, tmp_path)
        node.wait_for_log(rf"legion ring: ..:..:..:..:..:.. has {VIP}")
        node.wait_for_log(f"another machine has {VIP} and does not give it back")
        node.wait_for_log("this node is the lord now")
        assert node.stop() == 0
    finally:
        ip("netns", "del", other)
