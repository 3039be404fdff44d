"""Hosts for tests: network namespaces on a bridge, joined and cut at will.

A ``Network`` needs root and iproute2; whatever it makes carries its own prefix and goes away with
``close``.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import threading

import pytest

from uwgate.legion.netlink import Netlink

from .processes import birth, tree

_numbers = itertools.count()
SUBNET = "10.77.0"
CLONE_NEWNET = 0x40000000
BRIDGES = ("main", "other")


def ip(*words: str, namespace: str | None = None) -> str:
    """Run ip(8); what it prints."""
    where = [] if namespace is None else ["-n", namespace]
    done = subprocess.run(
        ["ip", *where, *words], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def need_namespaces() -> None:
    """Skip the test where no network can be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    name = f"uwg{os.getpid()}try"
    try:
        ip("netns", "add", name)
    except AssertionError as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        ip("link", "add", "try", "type", "bridge", namespace=name)
    except AssertionError as error:
        pytest.skip(f"no bridges here: {error}")
    finally:
        ip("netns", "del", name)


class Host:
    """One namespace with ``eth0``. ``address`` is its own, without the prefix length."""

    def __init__(self, network: Network, name: str, number: int) -> None:
        self.name = name
        self.namespace = f"{network.prefix}{name}"
        self.address = f"{SUBNET}.{number}"
        self.port = f"p{number}"
        self._switch = network.switch
        ip("netns", "add", self.namespace)
        ip("link", "set", "lo", "up", namespace=self.namespace)
        ip(
            *("link", "add", self.port, "type", "veth"),
            *("peer", "name", "eth0", "netns", self.namespace),
            namespace=self._switch,
        )
        ip("addr", "add", f"{self.address}/24", "dev", "eth0", namespace=self.namespace)
        ip("addr", "add", f"fd77::{number}/64", "dev", "eth0", "nodad", namespace=self.namespace)
        ip("link", "set", "eth0", "up", namespace=self.namespace)
        self.plug_in()
        ip("link", "set", self.port, "up", namespace=self._switch)
        self._lock = threading.Lock()
        self._netlink = netlink_in(self.namespace)

    def plug_in(self, bridge: str = BRIDGES[0]) -> None:
        """Connect it to the others, or to those that are on the other bridge."""
        ip("link", "set", self.port, "master", bridge, namespace=self._switch)

    def cut(self) -> None:
        """Pull its cable."""
        ip("link", "set", self.port, "down", namespace=self._switch)

    def mend(self) -> None:
        """Put its cable back."""
        ip("link", "set", self.port, "up", namespace=self._switch)

    def command(self, *words: str) -> list[str]:
        """The words that run a program there, with the pid that the caller gets."""
        return ["ip", "netns", "exec", self.namespace, *words]

    def kill_all(self, *spared: int) -> list[int]:
        """SIGKILL for all that runs there, but some; who that was."""
        found = ip("netns", "pids", self.namespace).split()
        pids = [int(pid) for pid in found if int(pid) not in spared]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    def has(self, address: str) -> bool:
        """Whether the host has this address."""
        with self._lock:
            return any(str(each.address.ip) == address for each in self._netlink.addresses())

    def drop(self, address: str) -> None:
        """Take an address away (with its prefix length)."""
        ip("addr", "del", address, "dev", "eth0", namespace=self.namespace)

    def close(self) -> None:
        """Let go of the namespace."""
        self._netlink.close()


class Network:
    """Hosts ``1`` to ``count``, and a ``client``, on one bridge."""

    def __init__(self, count: int) -> None:
        self.prefix = f"uwg{os.getpid()}n{next(_numbers)}"
        self.switch = f"{self.prefix}sw"
        self._namespaces = [self.switch]
        ip("netns", "add", self.switch)
        self.hosts: list[Host] = []
        self._all: list[Host] = []
        try:
            for bridge in BRIDGES:
                ip("link", "add", bridge, "type", "bridge", namespace=self.switch)
                ip("link", "set", bridge, "up", namespace=self.switch)
            for number in range(1, count + 1):
                self.hosts.append(self._add(str(number), number))
            self.client = self._add("client", 100)
        except BaseException:
            self.close()
            raise

    def _add(self, name: str, number: int) -> Host:
        self._namespaces.append(f"{self.prefix}{name}")
        host = Host(self, name, number)
        self._all.append(host)
        return host

    def holders(self, address: str) -> list[Host]:
        """Who has the address, all at one moment: who had it before and after the others."""
        before = [host for host in self.hosts if host.has(address)]
        if len(before) < 2:
            return before
        return [host for host in before if host.has(address)]

    def close(self) -> None:
        """Remove all that was made."""
        for host in self._all:
            host.close()
        for namespace in self._namespaces:
            with contextlib.suppress(AssertionError):
                ip("netns", "del", namespace)


def netlink_in(namespace: str) -> Netlink:
    """A connection to the kernel's addresses in a namespace, for every thread of this process.

    A socket stays in the namespace in which it was made.
    """
    made: list[Netlink] = []

    def make() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{namespace}") as file:
            assert libc.setns(file.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        made.append(Netlink())

    thread = threading.Thread(target=make)  # setns(2) moves this thread only, and it ends
    thread.start()
    thread.join()
    return made[0]


def signal_tree(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and all below it, the process first."""
    for one, born in {pid: birth(pid), **tree(pid)}.items():
        if born is not None and birth(one) == born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, number)
