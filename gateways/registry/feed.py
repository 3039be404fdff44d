"""Whom the registry tells what it knows: the gateway processes, and a registry that waits.

Each connection has a queue of frames with a limit. Who does not take them in time is
disconnected; it comes back, and gets everything anew.
"""

from __future__ import annotations

import logging
import math
import socket
import struct
from collections import deque
from collections.abc import Collection, Iterator
from typing import Protocol

import trio

from uwgate.gateways import streams
from uwgate.gateways.registry.frames import Decoder, FrameError, Message

log = logging.getLogger("uwgate.registry")

MAX_SUBSCRIBERS = 512  # the processes of several generations
MAX_UNSENT = 16 << 20  # bytes that wait for one subscriber
BLOCK = 256 << 10  # bytes sent at a time
STUCK = 10.0  # seconds in which a subscriber has to take a block
HELLO_LIMIT = 5.0  # seconds until the first frame
EXHAUSTED_PAUSE = 0.1  # seconds without accepting when descriptors have run out
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred


class Owner(Protocol):
    """Who answers."""

    def on_message(self, subscriber: Subscriber, message: Message) -> None:
        """A subscriber says something.

        Raises:
            FrameError: that was no message; the connection is closed.
        """
        ...

    def on_gone(self, subscriber: Subscriber) -> None:
        """A connection has ended."""
        ...


class Subscriber:
    """One connection. ``kind`` is empty until it has said ``hello``.

    ``brought_news``: it has told a newborn registry of nodes.
    """

    def __init__(self, sock: socket.socket, owner: Owner) -> None:
        self.kind = ""
        self.pid = 0
        self.brought_news = False
        self._sock = sock
        self._owner = owner
        self._queue: deque[bytes] = deque()
        self._unsent = 0  # bytes in the queue
        self._later: Iterator[bytes] = iter(())
        self._work = trio.Event()
        self._idle = trio.Event()
        self._scope = trio.CancelScope()

    def send(self, frame: bytes) -> None:
        """Send a frame, after those that wait already; a slow subscriber is disconnected."""
        if self._unsent + len(frame) > MAX_UNSENT:
            self.close("takes nothing: disconnected")
            return
        self._queue.append(frame)
        self._unsent += len(frame)
        self._wake()

    def send_table(self, frames: Iterator[bytes]) -> None:
        """Send frames that are made when there is room for them, in place of such before."""
        self._later = frames
        self._wake()

    def close(self, why: str = "") -> None:
        """End the connection."""
        if why and not self._scope.cancel_called:
            log.warning("%s: %s", self, why)
        self._scope.cancel()

    async def wait_idle(self) -> None:
        """Return when it has been sent everything, or is gone."""
        await self._idle.wait()

    async def run(self) -> None:
        """Serve it until it is gone."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._receive)
                    nursery.start_soon(self._send)
        finally:
            self._idle.set()
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def __str__(self) -> str:
        return f"{self.kind or 'somebody'} (pid: {self.pid})"

    def _wake(self) -> None:
        self._work.set()
        if self._idle.is_set():
            self._idle = trio.Event()

    async def _receive(self) -> None:
        decoder = Decoder()
        try:
            with trio.fail_after(HELLO_LIMIT) as patience:
                while data := await streams.receive(self._sock):
                    for message in decoder.feed(data):
                        self._owner.on_message(self, message)
                        patience.deadline = math.inf
                    await trio.lowlevel.checkpoint()  # one that never stops talking
            self._scope.cancel()  # it has closed its end
        except FrameError as error:
            self.close(f"disconnected: {error}")
        except (OSError, trio.TooSlowError):
            self._scope.cancel()

    async def _send(self) -> None:
        try:
            while True:
                block = self._next_block()
                if not block:
                    self._idle.set()
                    self._work = trio.Event()
                    await self._work.wait()
                    continue
                with trio.fail_after(STUCK):
                    await streams.send_all(self._sock, block)
        except trio.TooSlowError:
            self.close(f"took nothing for {STUCK:g} s: disconnected")
        except OSError:
            self._scope.cancel()

    def _next_block(self) -> bytes:
        """What changes goes before what is still to be told of the table."""
        parts: list[bytes] = []
        size = 0
        while size < BLOCK and self._queue:
            parts.append(self._queue.popleft())
            size += len(parts[-1])
        self._unsent -= size
        while size < BLOCK and (frame := next(self._later, None)) is not None:
            parts.append(frame)
            size += len(frame)
        return b"".join(parts)


class Feed:
    """All subscribers. ``users`` may connect, besides root and our own user."""

    def __init__(self, listener: socket.socket, owner: Owner, users: Collection[int]) -> None:
        self.subscribers: set[Subscriber] = set()
        self._listener = listener
        self._owner = owner
        self._users = users

    async def serve(self, nursery: trio.Nursery) -> None:
        """Accept until cancelled; the connections live in ``nursery``."""
        while True:
            await trio.lowlevel.wait_readable(self._listener)
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                continue
            except OSError as error:
                log.error("cannot accept: %s", error.strerror)
                await trio.sleep(EXHAUSTED_PAUSE)
                continue
            sock.setblocking(False)
            pid, uid, _ = _PEER.unpack(
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
            )
            if uid not in self._users or len(self.subscribers) >= MAX_SUBSCRIBERS:
                log.warning("refused a connection of user %d (pid: %d)", uid, pid)
                sock.close()
                continue
            subscriber = Subscriber(sock, self._owner)
            subscriber.pid = pid
            self.subscribers.add(subscriber)
            nursery.start_soon(self._serve, subscriber)

    async def _serve(self, subscriber: Subscriber) -> None:
        try:
            await subscriber.run()
        finally:
            self.subscribers.discard(subscriber)
            self._owner.on_gone(subscriber)

    def tell(self, kind: str, frame: bytes, *, besides: Subscriber | None = None) -> None:
        """Send a frame to all gateways of a kind, and to registries; not to ``besides``."""
        for subscriber in list(self.subscribers):
            if subscriber.kind in (kind, "registry") and subscriber is not besides:
                subscriber.send(frame)

    async def wait_idle(self, kind: str) -> None:
        """Return when the subscribers of a kind have got everything."""
        for subscriber in list(self.subscribers):
            if subscriber.kind == kind:
                await subscriber.wait_idle()

    def close(self) -> None:
        """Disconnect everybody."""
        for subscriber in list(self.subscribers):
            subscriber.close()
