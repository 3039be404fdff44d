"""Non-blocking sockets under trio, without a stream object around them.

A socket is tried first and waited for only when it would block: on a gateway's hot path that
is what makes the difference (docs/design.md). Every wait here ends with the caller's cancel
scope, and in nothing else.
"""

from __future__ import annotations

from typing import Protocol

from trio.lowlevel import checkpoint, notify_closing, wait_readable, wait_writable

RECEIVE_SIZE = 65536  # bytes asked for at a time


class Socket(Protocol):
    """What is used of a connected, non-blocking socket, or of what behaves like one.

    ``recv`` and ``send`` raise BlockingIOError when they would have to wait.
    """

    def fileno(self) -> int: ...

    def recv(self, size: int, flags: int = 0, /) -> bytes: ...

    def send(self, data: bytes | memoryview, /) -> int: ...

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None: ...


class SendFirst(BlockingIOError):
    """Nothing can be received before the socket takes what it has to send (TLS does that)."""


async def receive(sock: Socket, size: int = RECEIVE_SIZE) -> bytes:
    """Some bytes, at least one; empty at end of file.

    Raises:
        OSError: the connection broke.
    """
    while True:
        try:
            return sock.recv(size)
        except SendFirst:
            await wait_writable(sock)
        except BlockingIOError:
            await wait_readable(sock)


async def send_all(sock: Socket, data: bytes) -> None:
    """Send everything.

    Raises:
        OSError: the connection broke. Some of the data may have been sent.
    """
    try:
        sent = sock.send(data)
    except BlockingIOError:
        sent = 0
    if sent < len(data):
        await _send_rest(sock, memoryview(data)[sent:])
    else:
        await checkpoint()  # two sides that are never slow must not keep others from running


async def _send_rest(sock: Socket, data: memoryview) -> None:
    while data:
        await wait_writable(sock)
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            await checkpoint()


def close(sock: Socket) -> None:
    """Close, telling trio first: a task that waits on the socket gets ClosedResourceError."""
    notify_closing(sock)
    sock.close()
