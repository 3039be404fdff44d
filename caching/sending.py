"""Tells other instances what has changed here: datagrams that nobody waits for."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Sequence

from uwgate.caching import datagrams, sealing
from uwgate.caching.datagrams import Change
from uwgate.conf.caches import parse_node

log = logging.getLogger("uwgate.cache")

LOG_PAUSE = 10.0  # seconds between two lines of one kind
RESOLVE_PAUSE = 30.0  # seconds until the name of a node is looked up again


class Sender:
    """Sends the changes of one cache to its nodes. ``secret`` None: as uWSGI does, for everybody.

    ``lost`` counts what could not be sent.
    """

    def __init__(self, cache: str, nodes: Sequence[str], secret: bytes | None) -> None:
        self.lost = 0
        self._cache = cache
        self._nodes = [parse_node(one) for one in nodes]
        self._secret = secret
        self._pid = 0
        self._socks: dict[int, socket.socket] = {}
        self._where: dict[tuple[str, int], tuple[int, tuple[object, ...]]] = {}
        self._looked_up = 0.0
        self._said: dict[str, float] = {}

    def send(self, change: Change) -> None:
        """Send it to all nodes, as far as that goes without waiting."""
        if not self._nodes:
            return
        datagram = datagrams.encode(change)
        if datagram is not None and self._secret is not None:
            datagram = sealing.seal(
                self._secret,
                self._cache,
                datagram,
                now=time.time(),
                nonce=secrets.token_bytes(sealing.NONCE),
            )
        if datagram is None:
            self._lose("a value is too long for a datagram: other instances do not get it")
            return
        self._prepare()
        for node in self._nodes:
            found = self._where.get(node)
            if found is None:
                self._lose(f"{node[0]}:{node[1]}: unknown host")
                continue
            try:
                self._socks[found[0]].sendto(datagram, socket.MSG_DONTWAIT, found[1])
            except OSError as error:  # refused by the one before, or no room
                self._lose(f"{node[0]}:{node[1]}: {error.strerror}")

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._socks.values():
            sock.close()
        self._socks.clear()

    def _prepare(self) -> None:
        if self._pid != os.getpid():  # a fork: a socket of its own
            self._pid = os.getpid()
            self.close()
        now = time.monotonic()
        missing = [node for node in self._nodes if node not in self._where]
        if missing and (not self._looked_up or now > self._looked_up + RESOLVE_PAUSE):
            self._looked_up = now
            for node in missing:
                self._look_up(node)
        for family, _ in self._where.values():
            if family not in self._socks:
                self._socks[family] = socket.socket(family, socket.SOCK_DGRAM)

    def _look_up(self, node: tuple[str, int]) -> None:
        try:
            found = socket.getaddrinfo(*node, type=socket.SOCK_DGRAM)
        except OSError as error:
            self._lose(f"{node[0]}: {error}")
            return
        found.sort(key=lambda one: one[0] != socket.AF_INET)
        self._where[node] = found[0][0], found[0][4]

    def _lose(self, text: str) -> None:
        self.lost += 1
        now = time.monotonic()
        if now >= self._said.get(text, 0.0) and len(self._said) < 100:
            self._said[text] = now + LOG_PAUSE
            log.warning("cache %s: %s", self._cache, text)
