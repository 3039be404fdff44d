"""Responses that wait for a slow client, so that the worker does not have to.

A worker is busy until its answer is taken. When a client does not keep up, what follows of the
answer goes into a spool, in memory at first and then in a temporary file, and the worker is free
when it has handed over the last byte. Answers that are known to be longer than a spool may be
wait for their client all the way: the worker would have to wait in any case.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO

import trio

from uwgate.conf.errors import BackendError
from uwgate.gateways.wire.lease import LENGTH

Read = Callable[[], Awaitable[tuple[bytes, bool]]]  # as Exchange.read

log = logging.getLogger("uwgate.http")

MEMORY = 262144  # bytes of a spool in memory; beyond them a file
PIECE = 65536  # bytes read from a spool at a time
FULL_PAUSE = 0.1  # seconds between two looks whether other spools have left room
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Spools:
    """The spools of one gateway process.

    ``each`` is the most that one may hold, in bytes, 0: there are none; ``all`` is the most for
    all together. Their tasks run in ``nursery``.
    """

    def __init__(self, each: int, all: int, nursery: trio.Nursery) -> None:
        self.free = all
        self._each = each
        self._nursery = nursery

    def begin(self, read: Read, flags: int, head: bytes, done: Callable[[], None]) -> Spool | None:
        """Read ahead from now on; None if this response is not worth it, or there is no room.

        ``flags`` and ``head`` are those of the response (``wire.lease``); ``done`` is called
        when everything has been read.
        """
        size = self._each
        if flags & LENGTH and (match := _LENGTH.search(head)) is not None:
            size = int(match[1])
        if not size or size > self._each or self.free <= 0:
            return None
        spool = Spool(self, size, read, done)
        self._nursery.start_soon(spool.fill)
        return spool


class Spool:
    """The rest of one response, between the task that reads it and the one that sends it.

    A ring of at most ``size`` bytes, which takes no more than it has held at a time.
    """

    def __init__(self, spools: Spools, size: int, read: Read, done: Callable[[], None]) -> None:
        self._spools = spools
        self._size = size
        self._source = read
        self._done = done
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY)  # noqa: SIM115  see close
        self._taken = 0  # bytes that went out, since the ring was empty
        self._filled = 0  # bytes that came in
        self._used = 0  # bytes of the file
        self._ended = False
        self._failure: BackendError | None = None
        self._moved = trio.Event()
        self._scope = trio.CancelScope()
        self._stopped = trio.Event()

    async def fill(self) -> None:
        """Read until the end. Runs as a task of its own, until ``close``."""
        last = False
        try:
            with self._scope:
                while not last:
                    data, last = await self._source()
                    await self._put(data)
                self._ended = True
        except BackendError as error:
            self._failure = error
        except OSError as error:  # the temporary file: a full disk
            log.error("response not buffered: %s", error.strerror)
            self._failure = BackendError("buffer", str(error.strerror), sent=True)
        finally:
            self._stopped.set()
        if self._ended:
            self._done()
        self._wake()

    async def read(self) -> tuple[bytes, bool]:
        """As ``Exchange.read``: what came next of the response, and whether that was the end.

        Raises:
            BackendError: the response broke off behind what has been read.
        """
        while self._taken == self._filled:
            if self._ended:
                return b"", True
            if self._failure is not None:
                raise self._failure
            await self._moved.wait()
        at = self._taken % self._size
        self._file.seek(at)
        data = self._file.read(min(PIECE, self._filled - self._taken, self._size - at))
        self._taken += len(data)
        if self._taken == self._filled:
            self._taken = self._filled = 0
        self._wake()
        return data, self._ended and self._taken == self._filled

    async def close(self) -> None:
        """The client's side is done. Must be called, whatever has happened."""
        self._scope.cancel()
        with trio.CancelScope(shield=True):  # it stops at once: nobody else may use its source
            await self._stopped.wait()
        self._file.close()
        self._spools.free += self._used

    async def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            at = self._filled % self._size
            room = min(self._size - (self._filled - self._taken), self._size - at)
            if at + room > self._used:  # the file would grow
                room = min(room, self._used - at + max(self._spools.free, 0))
            if room <= 0:
                with trio.move_on_after(FULL_PAUSE):  # others may have left room meanwhile
                    await self._moved.wait()
                continue
            piece, rest = rest[:room], rest[room:]
            self._file.seek(at)
            self._file.write(piece)
            self._filled += len(piece)
            grown = max(at + len(piece) - self._used, 0)
            self._used += grown
            self._spools.free -= grown
            self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, trio.Event()
        moved.set()
