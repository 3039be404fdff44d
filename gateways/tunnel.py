"""Tunnels: bytes both ways between a client and a backend, unread, until one side has enough.

A side is read only when the other one has taken what came before, so a tunnel holds at most
one piece for each direction, whoever is slow.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Protocol

import trio

from uwgate.gateways import streams

PIECE = 65536  # bytes held for each direction
# Seconds by which the time-out may come late: to put it off for every piece would cost more than
# most pieces do.
SLACK = 1.0
LAST_WORDS = 10.0  # seconds that a backend may pause when its client sends no more


class Side(Protocol):
    """One end of a tunnel: a connection, or a stream in one.

    Every method raises OSError when the peer is gone.
    """

    async def receive(self) -> bytes:
        """Some bytes; empty when the peer sends no more."""
        ...

    async def send_all(self, data: bytes) -> None:
        """Send; returns when the peer's buffers have room for more."""
        ...

    async def send_eof(self) -> None:
        """Nothing more will be sent. What the peer sends may still be received."""
        ...


class SocketSide:
    """A side that is a socket. ``received``: bytes of the peer that were read before."""

    __slots__ = ("_received", "_sock", "_writable")

    def __init__(self, sock: streams.Socket, received: bytes = b"") -> None:
        self._sock = sock
        self._received = received
        # TLS may have to send before it can receive, and trio lets only one task wait for a
        # socket to become writable.
        self._writable = trio.Lock()

    async def receive(self) -> bytes:
        """See ``Side``."""
        if self._received:
            data, self._received = self._received, b""
            return data
        while True:
            try:
                return self._sock.recv(PIECE)
            except streams.SendFirst:
                await self._wait_writable()
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)

    async def send_all(self, data: bytes) -> None:
        """See ``Side``."""
        left = memoryview(data)
        while True:
            with contextlib.suppress(BlockingIOError):
                left = left[self._sock.send(left) :]
            if not left:
                break
            await self._wait_writable()
        await trio.lowlevel.checkpoint()  # two fast sides must not keep others from running

    async def send_eof(self) -> None:
        """See ``Side``."""
        self._sock.shutdown(socket.SHUT_WR)

    async def _wait_writable(self) -> None:
        async with self._writable:
            await trio.lowlevel.wait_writable(self._sock)


class CountedSide(SocketSide):
    """The same; ``count`` is told how many bytes were received, and how many sent."""

    __slots__ = ("_count",)

    def __init__(
        self, sock: streams.Socket, received: bytes, count: Callable[[int, int], None]
    ) -> None:
        super().__init__(sock, received)
        self._count = count

    async def receive(self) -> bytes:
        """See ``Side``."""
        data = await super().receive()
        self._count(len(data), 0)
        return data

    async def send_all(self, data: bytes) -> None:
        """See ``Side``."""
        await super().send_all(data)
        self._count(0, len(data))


async def relay(client: Side, backend: Side, idle: float) -> bool:
    """Carry bytes both ways; returns when the tunnel has ended.

    The backend's end of file ends it, and is told to the client: there is nobody left to answer.
    The client's is told to the backend, which may still finish what it is sending, with pauses
    of up to ``LAST_WORDS`` seconds: most clients that end are gone. The tunnel ends as well when
    the client is known to be gone, and (False is returned then) when no byte has moved for
    ``idle`` seconds; 0: never. Nothing is closed here.
    """
    with trio.CancelScope() as scope:
        moving = _Moving(scope, idle)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_carry_up, client, backend, moving, nursery.cancel_scope)
            await _carry_down(backend, client, moving)
            nursery.cancel_scope.cancel()
    return not scope.cancelled_caught


class _Moving:
    """Puts the time-out off when a byte has moved."""

    __slots__ = ("_due", "_idle", "_scope")

    def __init__(self, scope: trio.CancelScope, idle: float) -> None:
        self._scope = scope
        self._idle = idle
        self._due = 0.0  # from then on it has to be put off
        self.note()

    def note(self) -> None:
        now = trio.current_time()
        if self._idle and now >= self._due:
            self._due = now + SLACK
            self._scope.deadline = now + self._idle + SLACK

    def hurry(self) -> None:
        """The client has ended."""
        self._idle = min(self._idle or LAST_WORDS, LAST_WORDS)
        self._due = 0.0
        self.note()


async def _carry_up(client: Side, backend: Side, moving: _Moving, tunnel: trio.CancelScope) -> None:
    while True:
        try:
            data = await client.receive()
        except OSError:
            tunnel.cancel()
            return
        moving.note()
        try:
            if not data:
                moving.hurry()
                await backend.send_eof()
                return
            await backend.send_all(data)
        except OSError:
            return  # what it has sent before it left is still to be carried down
        moving.note()


async def _carry_down(backend: Side, client: Side, moving: _Moving) -> None:
    while True:
        try:
            data = await backend.receive()
        except OSError:
            data = b""  # died: that is an end too
        moving.note()
        try:
            if not data:
                await client.send_eof()
                return
            await client.send_all(data)
        except OSError:
            return
        moving.note()
