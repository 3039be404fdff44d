"""Stats servers: whoever connects gets one document, and the connection is closed."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator

import trio

from uwgate.gateways.registry.document import HTTP_HEAD

log = logging.getLogger("uwgate.stats")

MOST_READERS = 32  # at a time; others wait to be accepted
MAX_HEAD = 4096  # bytes of an HTTP request that are read, as uWSGI does
HEAD_LIMIT = 4.0  # seconds for that; uWSGI's socket-timeout
STALL_LIMIT = 4.0  # seconds for which a reader may take nothing
LINGER = 1.0  # seconds that a reader has to close
PIECE = 65536  # bytes that are sent at a time
EXHAUSTED_PAUSE = 0.1  # seconds without accepting when descriptors or memory have run out
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# Makes the document: text that may be made while it is sent.
Author = Callable[[], Awaitable[Iterator[str]]]


class StatsServer:
    """Serves one listening socket. ``http``: requests are read first, and answered in HTTP."""

    def __init__(self, sock: socket.socket, author: Author, *, http: bool) -> None:
        self._listener = trio.socket.from_stdlib_socket(sock)
        self._author = author
        self._http = http
        self._places = trio.Semaphore(MOST_READERS)
        self._readers = 0
        self._idle = trio.Event()
        self._idle.set()

    async def run(self, nursery: trio.Nursery) -> None:
        """Accept until cancelled; the socket is closed then. Readers are served in ``nursery``."""
        with self._listener:
            while True:
                await self._places.acquire()
                sock = await self._accept()
                if not self._readers:
                    self._idle = trio.Event()
                self._readers += 1
                nursery.start_soon(self._serve, sock)

    async def wait_idle(self) -> None:
        """Return when nobody reads."""
        await self._idle.wait()

    async def _accept(self) -> trio.socket.SocketType:
        while True:
            try:
                sock, _ = await self._listener.accept()
            except OSError as error:
                if error.errno in EXHAUSTED:
                    log.error("stats: cannot accept: %s", error.strerror)
                    await trio.sleep(EXHAUSTED_PAUSE)
                # Else that reader is gone already (accept(2), "Error handling").
            else:
                return sock

    async def _serve(self, sock: trio.socket.SocketType) -> None:
        try:
            with sock:
                if not self._http or await self._read_head(sock):
                    await self._send(sock)
        except OSError as error:
            log.debug("stats: a reader left: %s", error.strerror)
        except trio.TooSlowError:
            log.info("stats: a reader took nothing for %g s", STALL_LIMIT)
        finally:
            self._places.release()
            self._readers -= 1
            if not self._readers:
                self._idle.set()

    async def _read_head(self, sock: trio.socket.SocketType) -> bool:
        """Whether a request came. What it asks for makes no difference."""
        head = b""
        with trio.move_on_after(HEAD_LIMIT):
            while b"\r\n\r\n" not in head and len(head) < MAX_HEAD:
                data = await sock.recv(MAX_HEAD - len(head))
                if not data:
                    break
                head += data
            return bool(head)
        return False

    async def _send(self, sock: trio.socket.SocketType) -> None:
        buffer = bytearray(HTTP_HEAD if self._http else b"")
        for text in await self._author():
            buffer += text.encode()
            if len(buffer) >= PIECE:
                await _send_all(sock, bytes(buffer))
                buffer.clear()
            else:
                await trio.lowlevel.checkpoint()
        await _send_all(sock, bytes(buffer))
        # To close with something unread would reset the connection, and lose what was sent.
        sock.shutdown(socket.SHUT_WR)
        with trio.move_on_after(LINGER):
            while await sock.recv(PIECE):
                pass


async def _send_all(sock: trio.socket.SocketType, data: bytes) -> None:
    left = memoryview(data)
    while left:
        with trio.fail_after(STALL_LIMIT):
            left = left[await sock.send(left) :]
