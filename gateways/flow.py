"""Bytes in one direction between two sockets that do not block.

The source is read only when the sink has taken everything before. So a flow holds at most
what was read at a time, whoever is slow.
"""

from __future__ import annotations

import enum
import socket
from typing import Protocol

ROUNDS = 8  # pieces moved before others get their turn


class Stock(Protocol):
    """Bytes that go before those of the source."""

    def read(self) -> bytes:
        """Some of them; empty when there are no more."""
        ...


class Stream(Protocol):
    """What is used of a connected, non-blocking socket, or of what behaves like one."""

    def fileno(self) -> int: ...

    def recv_into(self, buffer: memoryview, /) -> int: ...

    def send(self, data: memoryview, /) -> int: ...

    def shutdown(self, how: int, /) -> None: ...


class Broken(enum.Enum):
    """Which end of a flow has failed."""

    SOURCE = "source"
    SINK = "sink"


class Flow:
    """From ``source`` to ``sink``; without a sink the bytes are thrown away.

    ``buffer`` is what pieces are read into; flows that are not pumped at the same time may
    share it. ``pending`` is what the sink is still to take. ``came`` and ``went`` count bytes.
    ``ended``: the source sends no more; ``is_done``: the sink knows that. ``broken`` tells which
    end has failed, None while both work, and ``code`` how (errno). ``ends_badly``: the source has
    broken off, though what it said before can still be read; its end of file is none.
    """

    __slots__ = (
        "_buffer",
        "_sink",
        "_source",
        "_stock",
        "broken",
        "came",
        "code",
        "ended",
        "ends_badly",
        "is_done",
        "pending",
        "went",
    )

    def __init__(
        self,
        source: Stream,
        sink: Stream | None,
        buffer: memoryview,
        pending: bytes = b"",
        stock: Stock | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._buffer = buffer
        self._stock = stock
        self.pending = memoryview(pending)
        self.came = 0
        self.went = 0
        self.ended = False
        self.is_done = False
        self.broken: Broken | None = None
        self.code = 0
        self.ends_badly = False

    @property
    def is_bulk(self) -> bool:
        """Whether so much has come at once that there is more where it came from."""
        return False

    def close(self) -> None:
        """Nobody pumps any more: give back what was borrowed."""

    def throw_away(self) -> None:
        """The sink takes no more: what comes from now on is read for politeness only."""
        self._sink = None
        self._stock = None
        self.pending = memoryview(b"")
        self.broken = None

    @property
    def is_blocked(self) -> bool:
        """Whether the sink has to take something before the source is read."""
        return bool(self.pending) or (self.ended and not self.is_done)

    def pump(self) -> bool:
        """Move what can be moved; True: there may be more, but it is the turn of others.

        Afterwards, if it ``is_blocked``, the sink has to become writable first.
        """
        for _ in range(ROUNDS):
            if not self._flush():
                return False
            if self._stock is not None:
                self.pending = memoryview(self._stock.read())
                if not self.pending:
                    self._stock = None
                continue
            if self.ended:
                self._finish()
                return False
            if not self._move():
                return False
        return True

    def _flush(self) -> bool:
        """Give the sink what was taken before; False if some of it is left."""
        return not self.pending or self._push()

    def _move(self) -> bool:
        """Take a piece from the source and give it to the sink; False when that cannot go on."""
        try:
            count = self._source.recv_into(self._buffer)
        except BlockingIOError:
            return False
        except OSError as error:
            self._fail(Broken.SOURCE, error)
            return False
        self.came += count
        if not count:
            return self._end()
        if self._sink is not None:
            # Copied only if the sink does not take it at once.
            self.pending = self._buffer[:count]
            if not self._push():
                self.pending = memoryview(bytes(self.pending))
                return False
        return True

    def _push(self) -> bool:
        """Send what is pending; False if some of it is left."""
        assert self._sink is not None
        try:
            sent = self._sink.send(self.pending)
        except BlockingIOError:
            return False
        except OSError as error:
            self._fail(Broken.SINK, error)
            return False
        self.went += sent
        self.pending = self.pending[sent:]
        return not self.pending

    def _fail(self, end: Broken, error: OSError) -> None:
        self.broken = end
        self.code = error.errno or 0

    def _end(self) -> bool:
        """The source has ended, and the sink has everything; False, as for ``_move``.

        It is told now, whichever round this is: a flow that has ended is not pumped again for what
        its source does.
        """
        self.ended = True
        self._finish()
        return False

    def _finish(self) -> None:
        if self.ends_badly:
            self.broken = Broken.SOURCE
            return
        if self._sink is not None and not self.is_done:
            try:
                self._sink.shutdown(socket.SHUT_WR)
            except BlockingIOError:  # TLS has something to say before
                return
            except OSError as error:  # it has gone meanwhile
                self._fail(Broken.SINK, error)
                return
        self.is_done = True
