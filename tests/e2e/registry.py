"""A gateway's place at the feed of a running uwgate: what the registry tells, read by a test."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from uwgate.gateways.registry.book import table_frames
from uwgate.gateways.registry.frames import Decoder, Message, encode
from uwgate.gateways.registry.mirror import Mirror
from uwgate.subscriptions.table import Table, TableOptions

from .processes import PATIENCE, Uwgate, descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from uwgate.subscriptions.node import Node


def address_of(program: Uwgate) -> str:
    """The abstract name of the registry's socket, as the kernel lists it."""
    (pid,) = program.wait_for_processes("registry", 1)
    found: list[str] = []

    def look() -> bool:
        # Read in pieces while sockets come and go: a line may be passed over.
        inodes = set(descriptors(pid))
        for line in Path("/proc/net/unix").read_text().splitlines():
            fields = line.split()
            # The flag is that of a listening socket.
            if len(fields) == 8 and f"socket:[{fields[6]}]" in inodes and fields[3] == "00010000":
                found.append(fields[7].removeprefix("@"))
        return bool(found)

    program.wait_for(look, "socket of the registry")
    return found[0]


class Watcher:
    """Follows one kind of nodes, as a gateway process does."""

    def __init__(self, address: str, kind: str = "http") -> None:
        self.table = Table(TableOptions(tolerance=0.0, tolerance_inactive=0.0))
        self._address = address
        self._kind = kind
        self.connect()

    def connect(self) -> None:
        """Begin again with what is known, as when the registry was restarted."""
        self._mirror = Mirror(self.table)
        self._decoder = Decoder()
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(0.05)
        self._sock.connect(f"\0{self._address}")
        self.say(encode("hello", kind=self._kind, pid=os.getpid()))

    def say(self, frame: bytes) -> None:
        self._sock.sendall(frame)

    def close(self) -> None:
        self._sock.close()

    def _hear(self, message: Message) -> None:
        if message["type"] == "ask":  # a newborn wants to know what we know
            for frame in table_frames(self._kind, self.table):
                self.say(frame)
        self._mirror.follow(message, time.monotonic())

    def wait_for_end(self) -> None:
        """Wait until the registry has closed the connection."""
        self._sock.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):  # it had not read all that we said
            while self._sock.recv(1 << 16):
                pass
        self.close()

    def nodes(self) -> dict[tuple[str, str], Node]:
        """By key and address: whom it knows now."""
        try:
            while data := self._sock.recv(1 << 16):
                for message in self._decoder.feed(data):
                    self._hear(message)
        except TimeoutError:
            pass
        return {
            (node.key, node.address): node
            for slot in self.table.slots.values()
            for node in slot.members.values()
        }

    def wait_for(
        self, *expected: tuple[str, str], when: Callable[[Node], bool] = lambda node: True
    ) -> dict[tuple[str, str], Node]:
        """Wait until exactly these nodes are there, by key and address, and all are like that."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.nodes()
            is_right = set(found) == set(expected) and all(map(when, found.values()))
            if is_right and self._mirror.is_complete:
                return found
            assert time.monotonic() < deadline, f"expected {expected}, found {found}"
