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


class Socket(Protocol):
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
    end has failed, None while both work.
    """

    __slots__ = (
        "_buffer",
        "_sink",
        "_source",
        "_stock",
        "broken",
        "came",
        "ended",
        "is_done",
        "pending",
        "went",
    )

    def __init__(
        self,
        source: Socket,
        sink: Socket | None,
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

    def throw_away(self) -> None:
        """The sink takes no more: what comes from now on is read for politeness only."""
        self._sink = None
        self._stock = None
        self.pending = memoryview(b"")
        self.broken = None

    def pump(self) -> bool:
        """Move what can be moved; True: there may be more, but it is the turn of others.

        Afterwards, if something is ``pending``, the sink has to become writable first.
        """
        sink = self._sink
        for _ in range(ROUNDS):
            if self.pending and not self._push():
                return False
            if self._stock is not None:
                self.pending = memoryview(self._stock.read())
                if not self.pending:
                    self._stock = None
                continue
            if self.ended:
                self._finish()
                return False
            try:
                count = self._source.recv_into(self._buffer)
            except BlockingIOError:
                return False
            except OSError:
                self.broken = Broken.SOURCE
                return False
            self.came += count
            if not count:
                self.ended = True
            elif sink is not None:
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
        except OSError:
            self.broken = Broken.SINK
            return False
        self.went += sent
        self.pending = self.pending[sent:]
        return not self.pending

    def _finish(self) -> None:
        if self._sink is not None and not self.is_done:
            try:
                self._sink.shutdown(socket.SHUT_WR)
            except OSError:  # it has gone meanwhile
                self.broken = Broken.SINK
                return
        self.is_done = True
