"""The body of an answer on its way through transformations, piece by piece."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from uwgate.conf.errors import BackendError
from uwgate.routing.transaction import Transaction
from uwgate.routing.transformations.stream import Pipeline, replace_header

Read = Callable[[], Awaitable[tuple[bytes, bool]]]  # as Exchange.read

# Transformations that leave the bytes of a body alone.
_ALOOF = frozenset(
    ("flush", "fixcl", "forcecl", "offload", "tofile", "cachestore", "memcachedstore", "redisstore")
)


class Body:
    """``read`` gives the body as it comes; ``pipeline`` None: it stays as it is.

    ``threads``: for pipelines that take long to end.
    """

    __slots__ = ("_pipeline", "_source", "_threads")

    def __init__(
        self,
        source: Read,
        pipeline: Pipeline | None = None,
        threads: trio.CapacityLimiter | None = None,
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._threads = threads

    async def begin(self, data: bytes, last: bool) -> tuple[bytes, bool]:
        """What the client gets first, of the bytes that are there already and more.

        When it returns, the head of the answer will not change any more.

        Raises:
            BackendError: the answer broke off.
        """
        pipeline = self._pipeline
        if pipeline is None:
            return data, last
        has_begun = bool(data)
        ready = pipeline.feed(data)
        # A transformation that needs everything lets go of what is too much for it.
        while not last and not ready and (pipeline.holds_head or not has_begun):
            data, last = await self._receive()
            has_begun = has_begun or bool(data)
            ready = pipeline.feed(data)
            await trio.lowlevel.checkpoint()  # a backend that is never slow must not keep others
        return (ready + await self._end() if last else ready), last

    async def read(self) -> tuple[bytes, bool]:
        """More of it, and whether that was the end.

        Raises:
            BackendError: the answer broke off.
        """
        while True:
            data, last = await self._receive()
            if self._pipeline is not None:
                data = self._pipeline.feed(data)
                if last:
                    data += await self._end()
            if data or last:
                return data, last
            await trio.lowlevel.checkpoint()

    def abandon(self) -> None:
        """Nobody reads the rest."""
        if self._pipeline is not None:
            self._pipeline.finish(complete=False)
            self._pipeline = None

    async def _receive(self) -> tuple[bytes, bool]:
        try:
            return await self._source()
        except BackendError:
            self.abandon()
            raise
        except OSError as error:  # of a file: to others, an OSError is the client's
            self.abandon()
            raise BackendError("file", str(error.strerror or error), sent=True) from error

    async def _end(self) -> bytes:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return b""
        if pipeline.takes_long:  # it ends by itself (routing.machine.Machine.transform)
            return await trio.to_thread.run_sync(pipeline.finish, limiter=self._threads)
        return pipeline.finish()


def changes_bytes(transaction: Transaction) -> bool:
    """Whether a body becomes another one in the transformations."""
    return any(one.name not in _ALOOF for one in transaction.transformations)


def take_chunked(transaction: Transaction) -> bool:
    """Take ``chunked:`` out of the transformations; whether the client is to get chunks.

    How a body is framed is the gateway's business (RFC 9112 section 6.1).
    """
    kept = [one for one in transaction.transformations if one.name != "chunked"]
    if len(kept) == len(transaction.transformations):
        return False
    transaction.transformations = kept
    if transaction.get(b"SERVER_PROTOCOL") == b"HTTP/1.0":
        return False
    replace_header(transaction.headers, b"Content-Length", None)
    return True
