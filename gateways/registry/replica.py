"""A gateway's side of the feed: its table has what the registry's has."""

from __future__ import annotations

import logging
import os
import socket
import struct
import time
from collections.abc import Callable

import trio

from uwgate.conf.start import Start
from uwgate.gateways import streams
from uwgate.gateways.registry.book import table_frames
from uwgate.gateways.registry.figures import FAREWELL, ProcessFigures, rows_of
from uwgate.gateways.registry.frames import Decoder, FrameError, Message, encode
from uwgate.gateways.registry.mirror import Mirror
from uwgate.subscriptions.change import Cause, Change, Out
from uwgate.subscriptions.table import Table

log = logging.getLogger("uwgate.registry")

PAUSE = 0.1  # seconds until a broken connection is made again
FAREWELL_LIMIT = 0.5  # seconds
FIRST_LIMIT = 5.0  # seconds that a gateway waits for the nodes before it serves without
SEND_LIMIT = 10.0  # seconds in which the registry has to take what we say
MAX_UNTOLD = 1000  # nodes that were put out while there was no registry
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred


class Replica:
    """Keeps a table of one kind the same as the registry's.

    The table needs ``replica_options``: it is the registry that lets nodes expire. The owner
    calls ``table.advance`` as for any other table. ``on_change`` gets the changes that the
    registry brings about, at once. Without a registry the table stays as it is. A gateway without
    subscription servers has no table, and only says what it has counted: ``figures``, which
    the owner sets.
    """

    figures: Callable[[], ProcessFigures] = ProcessFigures

    def __init__(
        self,
        kind: str,
        start: Start,
        table: Table | None,
        on_change: Callable[[list[Change]], None],
    ) -> None:
        self.kind = kind
        self.mirror = Mirror(table or Table())
        self._table = table
        self._question: int | None = None  # what we are asked to count for
        self._farewell = trio.Event()  # it was said
        self._address = start.registry_address
        self._on_change = on_change
        self._told = trio.Event()  # there is something in _untold
        self._untold: dict[tuple[str, str], bytes] = {}
        self._offers = False  # a registry that knows nothing has asked us
        self._complete = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the registry until cancelled.

        Counts as started when the table is complete, or after ``FIRST_LIMIT`` seconds.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            if self._table is None:
                task_status.started()
                return
            with trio.move_on_after(FIRST_LIMIT):
                await self._complete.wait()
            if not self.mirror.is_complete:
                log.warning("%s: no word from the registry yet: nodes may be missing", self.kind)
            task_status.started()

    def tell(self, change: Change) -> None:
        """Tell the registry that requests have put a node out. Everything else it knows."""
        if not isinstance(change, Out) or change.cause not in (
            Cause.UNREACHABLE,
            Cause.BAD_ANSWERS,
        ):
            return
        node = change.node
        if len(self._untold) < MAX_UNTOLD:
            self._untold[node.key, node.name] = encode(
                "out",
                kind=self.kind,
                key=node.key,
                node=node.name,
                cause=change.cause.value,
                at=time.monotonic(),
                until=change.until,
                ejections=node.health.ejections,
            )
            self._told.set()

    async def farewell(self) -> None:
        """Say what this process has counted, for it is about to end."""
        self._question = FAREWELL
        self._told.set()
        with trio.move_on_after(FAREWELL_LIMIT):
            await self._farewell.wait()

    async def _follow(self) -> None:
        while True:
            try:
                await self._connect()
            except* (OSError, FrameError, trio.TooSlowError) as group:
                log.debug("%s: the registry: %r", self.kind, group.exceptions)
            self.mirror.interrupted()
            await trio.sleep(PAUSE)

    async def _connect(self) -> None:
        """Be connected for as long as it lasts.

        Raises:
            OSError, FrameError, TooSlowError: it has ended so.
        """
        assert self._address is not None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            sock.connect(f"\0{self._address}")
            _check_peer(sock)
            self._offers = False
            if self._question != FAREWELL:
                self._question = None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send, sock)
                await self._receive(sock)
                nursery.cancel_scope.cancel()
            trio.lowlevel.notify_closing(sock)

    async def _receive(self, sock: socket.socket) -> None:
        decoder = Decoder()
        while data := await streams.receive(sock):
            now = time.monotonic()
            for message in decoder.feed(data):
                self._hear(message, now)
            await trio.lowlevel.checkpoint()

    def _hear(self, message: Message, now: float) -> None:
        if message["type"] == "ask":
            self._offers = True
            self._told.set()
            return
        if message["type"] == "count" and self._question != FAREWELL:
            self._question = message.get("id")
            self._told.set()
            return
        changes = self.mirror.follow(message, now)
        if changes:
            self._on_change(changes)
        if self.mirror.is_complete:
            self._complete.set()

    async def _send(self, sock: socket.socket) -> None:
        """Say who we are, and then what there is to say."""
        await self._send_frame(sock, encode("hello", kind=self.kind, pid=os.getpid()))
        while True:
            if self._offers:
                self._offers = False
                for frame in table_frames(self.kind, self.mirror.table):
                    await self._send_frame(sock, frame)
            while self._untold:
                await self._send_frame(sock, self._untold.pop(next(iter(self._untold))))
            if self._question is not None:
                number, self._question = self._question, None
                await self._send_figures(sock, number)
            self._told = trio.Event()
            if not self._offers and not self._untold and self._question is None:
                await self._told.wait()

    async def _send_figures(self, sock: socket.socket, number: int) -> None:
        epoch = time.time() - time.monotonic()
        for row in rows_of(self.figures(), self._table, epoch):
            await self._send_frame(sock, encode("figures", id=number, row=row))
        await self._send_frame(sock, encode("counted", id=number))
        if number == FAREWELL:
            self._farewell.set()

    async def _send_frame(self, sock: socket.socket, frame: bytes) -> None:
        with trio.fail_after(SEND_LIMIT):
            await streams.send_all(sock, frame)


def _check_peer(sock: socket.socket) -> None:
    """The socket must have been bound by root or by our own user: names are for the taking.

    Raises:
        OSError: it was not.
    """
    _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid not in (0, os.geteuid()):
        raise ConnectionError(f"the socket of the registry belongs to user {uid}")
