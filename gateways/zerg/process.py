"""A process that gives listening sockets away, and never accepts on them.

``zergpool`` binds sockets for that purpose; with ``zerg-server`` they are those that our workers
serve. Whoever may connect gets all sockets of the path. Nothing is read from anybody, and a
message always fits into a new connection: no client can make this process wait.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Sequence

import trio

from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.counters import Counters
from uwgate.gateways.wire import zerg

log = logging.getLogger("uwgate.zergpool")

KIND = "zergpool"
ROLES = ("zergpool", "zerg-server")  # where sockets are given away
OFFERED = "zerg-socket"  # a socket that is; its endpoint is the name of the place
EXHAUSTED_PAUSE = 0.1  # seconds without accepting when descriptors or memory have run out
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
TICK = 1.0  # seconds


class Place:
    """A place where sockets are given away."""

    def __init__(self, listener: Listener, offered: Sequence[Listener], counters: Counters) -> None:
        self.name = listener.name
        self._descriptors = [one.fd for one in offered]
        self._message = zerg.encode(len(offered))
        self._counters = counters
        self._fd = listener.fd

    async def serve(self) -> None:
        """Give the sockets to everybody who comes, for ever."""
        with trio.socket.from_stdlib_socket(socket.socket(fileno=os.dup(self._fd))) as sock:
            await self._serve(sock)

    async def _serve(self, sock: trio.socket.SocketType) -> None:
        while True:
            try:
                client, _ = await sock.accept()
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._counters.refuse("zerg clients that had to wait", "%s", error)
                    await trio.sleep(EXHAUSTED_PAUSE)
                continue  # else that client is gone already
            with client:
                self._give(client)

    def _give(self, client: trio.socket.SocketType) -> None:
        with socket.socket(fileno=os.dup(client.fileno())) as sock:
            sock.setblocking(False)
            try:
                socket.send_fds(sock, [self._message], self._descriptors)
            except OSError as error:  # ETOOMANYREFS: too many that nobody has received
                self._counters.refuse("zerg clients that got nothing", "%s: %s", self.name, error)
                return
        self._counters.refuse(
            "zergs", "%s: %d sockets given to a zerg", self.name, len(self._descriptors)
        )


class Zergpool:
    """One process for all places of an instance."""

    def __init__(self, start: Start) -> None:
        self.counters = Counters(log)
        self._places = [
            Place(
                place,
                [
                    one
                    for one in start.listeners
                    if one.role == OFFERED and one.endpoint == place.name
                ],
                self.counters,
            )
            for place in start.listeners
            if place.role in ROLES
        ]

    async def serve(
        self, nursery: trio.Nursery, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve all places until cancelled."""
        task_status.started()
        async with trio.open_nursery() as places:
            for one in self._places:
                places.start_soon(one.serve)
            places.start_soon(self._clock)

    def drain(self, idle: float) -> None:
        """There is nothing that would have to end."""

    async def drained(self) -> None:
        """At once."""

    def renew(self, name: str, material: bytes) -> None:
        """There is no TLS here."""

    async def _clock(self) -> None:
        while True:
            self.counters.tick(trio.current_time())
            await trio.sleep(TICK)


def main(fd: int) -> None:
    """Give sockets away; ``fd`` is the memory file with the ``Start``."""
    service.run(KIND, Start.from_memory_file(fd), Zergpool, None, None)
