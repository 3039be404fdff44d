"""Bytes between a client and a backend, when rules have made a WebSocket of a request."""

from __future__ import annotations

import contextlib
import select
import socket

from uwgate.workers.connection import RECEIVE_SIZE, Connection


class _Direction:
    """What comes from one side and goes to the other; never more than one piece is held."""

    def __init__(self, source: Connection, sink: Connection, held: bytes) -> None:
        self.source = source
        self.sink = sink
        self.held = memoryview(held)
        self.over = False  # the source has ended, and the sink knows

    @property
    def waits_for(self) -> tuple[int, int]:
        """A descriptor, and what has to be possible on it."""
        return (self.sink.fd, select.POLLOUT) if self.held else (self.source.fd, select.POLLIN)

    def move(self) -> None:
        """Do what is possible.

        Raises:
            OSError: one of both is gone.
        """
        with contextlib.suppress(BlockingIOError):
            if not self.held:
                data = self.source.sock.recv(RECEIVE_SIZE)
                if not data:
                    self.sink.sock.shutdown(socket.SHUT_WR)
                    self.over = True
                    return
                self.held = memoryview(data)
            self.held = self.held[self.sink.sock.send(self.held) :]


def carry(client: Connection, backend: Connection, received: bytes, idle: float | None) -> None:
    """Carry bytes both ways until both sides have ended.

    ``received`` came from the backend already; ``idle``: seconds without a byte that end it,
    None: never.

    Raises:
        OSError: a side is gone, or nothing moved for too long.
    """
    ways = (_Direction(backend, client, received), _Direction(client, backend, client.buffer))
    client.buffer = b""
    while True:
        waits: dict[int, int] = {}
        for way in ways:
            if not way.over:
                fd, events = way.waits_for
                waits[fd] = waits.get(fd, 0) | events
        if not waits:
            return
        poll = select.poll()
        for fd, events in waits.items():
            poll.register(fd, events)
        ready = dict(poll.poll(None if idle is None else idle * 1000))
        if not ready:
            raise TimeoutError(f"nothing moved for {idle:g} s")
        for way in ways:
            if not way.over and way.waits_for[0] in ready:
                way.move()
