"""Bytes between a client and a backend: a WebSocket, or what CONNECT has asked for."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import TYPE_CHECKING

from uwgate.conf.errors import BackendError
from uwgate.routing.statuses import reason_of
from uwgate.workers.backend import dial
from uwgate.workers.connection import RECEIVE_SIZE, Connection
from uwgate.workers.http import HttpConnection
from uwgate.workers.log import say

if TYPE_CHECKING:
    from uwgate.workers.rules.forwarding import Received
    from uwgate.workers.rules.visit import Visit
    from uwgate.workers.slot import Session


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


def upgrade(visit: Visit, session: Session | None, found: Received) -> None:
    """The backend has agreed to a WebSocket: its bytes are none of the rules' business.

    Raises:
        BackendError: nobody has asked for one.
        OSError: a side is gone, or nothing moved for too long.
    """
    connection = found.connection
    if session is None or not isinstance(connection, Connection) or not visit.may_tunnel():
        raise BackendError(found.address, "answers 101, which was not asked for", sent=True)
    visit.transaction.set_status(101, reason_of(101))
    visit.outlet.started = visit.outlet.ended = True
    session.open_tunnel(found.head)
    carry(session, connection, found.rest, _idle(visit))


def wants_connection(session: Session | None) -> bool:
    """Whether a client has asked for a connection, and waits for it."""
    return isinstance(session, HttpConnection) and session.wants_connection


def connect(visit: Visit, session: Session | None, address: str) -> None:
    """Give a client the connection that it has asked for (``httpconnect:``), until it ends.

    Other requests, and what comes from a front-end, are answered with 405: uWSGI answers a GET
    with the same tunnel, whose client takes the backend's bytes for a response.

    Raises:
        OSError: a side is gone, or nothing moved for too long.
    """
    if not (isinstance(session, HttpConnection) and session.wants_connection):
        say(f"rules: httpconnect: {visit.environ['REQUEST_METHOD']} is not CONNECT")
        visit.fail(405)
        return
    try:
        backend = dial(address, visit.policy.timeout)
    except BackendError as error:
        say(f"rules: {error}")
        visit.fail(error.status)
        return
    with contextlib.closing(backend):
        visit.transaction.set_status(200, reason_of(200))
        visit.outlet.started = visit.outlet.ended = True
        session.say_connected()
        carry(session, backend, b"", _idle(visit))


def _idle(visit: Visit) -> float | None:
    return visit.policy.worker.settings.http.http_timeout or None
