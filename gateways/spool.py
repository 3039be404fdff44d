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
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Spools:
    """The spools of one gateway process.

    ``each`` is the most that one may hold, in bytes, 0: there are none; ``all`` is the most for
    all together. Their tasks run in ``nursery``.
    """

    def __init__(self, each: int, all: int, nursery: trio.Nursery) -> None:
        self._each = each
        self._free = all
        self._nursery = nursery

    def begin(self, read: Read, flags: int, head: bytes, done: Callable[[], None]) -> Spool | None:
        """Read ahead from now on; None if this response is not worth it, or there is no room.

        ``flags`` and ``head`` are those of the response (``wire.lease``); ``done`` is called
        when everything has been read.
        """
        size = self._each
        if flags & LENGTH and (match := _LENGTH.search(head)) is not None:
            size = int(match[1])
        if not size or size > min(self._each, self._free):
            return None
        self._free -= size
        spool = Spool(self, size, read, done)
        self._nursery.start_soon(spool.fill)
        return spool

    def returned(self, size: int) -> None:
        """A spool has ended."""
        self._free += size


class Spool:
    """The rest of one response, between the task that reads it and the one that sends it."""

    def __init__(self, spools: Spools, limit: int, read: Read, done: Callable[[], None]) -> None:
        self._spools = spools
        self._limit = limit
        self._source = read
        self._done = done
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY)  # noqa: SIM115  see close
        self._taken = 0  # bytes of the file that the client's side has
        self._filled = 0  # bytes of it that were written
        self._ended = False
        self._failure: BackendError | None = None
        self._moved = trio.Event()
        self._scope = trio.CancelScope()
        self._stopped = trio.Event()

    async def fill(self) -> None:
        """Read until the end. Runs as a task of its own, until ``close``."""
        try:
            with self._scope:
                while not self._ended:
                    while self._filled - self._taken >= self._limit:
                        await self._moved.wait()
                    data, self._ended = await self._source()
                    self._put(data)
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
        self._file.seek(self._taken)
        data = self._file.read(min(PIECE, self._filled - self._taken))
        self._taken += len(data)
        if self._taken == self._filled:  # from the start again: nothing grows for ever
            self._taken = self._filled = 0
            self._file.seek(0)
            self._file.truncate()
        self._wake()
        return data, self._ended and self._taken == self._filled

    async def close(self) -> None:
        """The client's side is done. Must be called, whatever has happened."""
        self._scope.cancel()
        with trio.CancelScope(shield=True):  # it stops at once: nobody else may use its source
            await self._stopped.wait()
        self._file.close()
        self._spools.returned(self._limit)

    def _put(self, data: bytes) -> None:
        self._file.seek(self._filled)
        self._file.write(data)
        self._filled += len(data)
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, trio.Event()
        moved.set()
