"""Kept connections from a gateway to the slots of our own workers.

The pool opens a connection when a request finds none idle, up to the number of slots there
are. Requests wait here, in order of arrival, for whichever lease is free next; a connection
that no worker has accepted yet holds none of them (gateways/wire/lease.py).
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections import deque

import trio

from uwgate.conf.errors import BackendError
from uwgate.gateways import streams
from uwgate.gateways.wire.lease import FRAME, GOODBYE, HELLO, LeaseError, decode_header

log = logging.getLogger("uwgate.leases")

CONNECT_PAUSE = 0.05  # seconds until a refused connection is tried again
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred


class Lease:
    """One connection to a worker slot, used for one request at a time."""

    __slots__ = ("buffer", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""  # received, but not consumed yet


class _Waiter:
    __slots__ = ("event", "lease")

    def __init__(self) -> None:
        self.event = trio.Event()
        self.lease: Lease | None = None


class LeasePool:
    """The leases of one gateway process.

    ``address`` is the abstract name of the workers' socket, ``slots`` how many requests the
    workers run at once. Connections are opened by tasks in ``nursery``.
    """

    def __init__(self, address: str, slots: int, nursery: trio.Nursery) -> None:
        self._address = b"\0" + address.encode()
        self._slots = slots
        self._nursery = nursery
        self._idle: list[Lease] = []
        self._waiters: deque[_Waiter] = deque()
        self._open = 0  # connections, idle, busy or being opened
        self._connecting = 0

    @property
    def waiting(self) -> int:
        """How many requests wait for a lease."""
        return len(self._waiters)

    def take_idle(self) -> Lease | None:
        """The lease that was used last, or None if all are busy.

        Its worker may be gone: then sending on it fails at once, and nothing was handed over.
        """
        return self._idle.pop() if self._idle else None

    async def take(self) -> Lease:
        """A lease, as soon as one is free. Cancelling gives up the place in the queue."""
        if self._idle:
            return self._idle.pop()
        waiter = _Waiter()
        self._waiters.append(waiter)
        self._open_more()
        try:
            await waiter.event.wait()
        except BaseException:
            if waiter.lease is None:
                self._waiters.remove(waiter)
            else:
                self.give_back(waiter.lease)
            raise
        assert waiter.lease is not None
        return waiter.lease

    def give_back(self, lease: Lease) -> None:
        """The request on ``lease`` has ended well, and the worker stays."""
        if self._waiters:
            waiter = self._waiters.popleft()
            waiter.lease = lease
            waiter.event.set()
        else:
            self._idle.append(lease)

    def discard(self, lease: Lease) -> None:
        """Close ``lease``: the worker left, or the request on it was given up."""
        streams.close(lease.sock)
        self._open -= 1
        self._open_more()

    def close(self) -> None:
        """Close the idle leases."""
        while self._idle:
            self.discard(self._idle.pop())

    def _open_more(self) -> None:
        while self._open < self._slots and self._connecting < len(self._waiters):
            self._open += 1
            self._connecting += 1
            self._nursery.start_soon(self._connect)

    async def _connect(self) -> None:
        """Open one connection and wait for the worker's HELLO, however long slots are busy."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        lease = Lease(sock)
        try:
            while True:
                try:
                    sock.connect(self._address)
                    break
                except BlockingIOError:  # its accept queue is full
                    await trio.sleep(CONNECT_PAUSE)
            _check_peer(sock)
            await _receive_hello(lease)
        except (OSError, LeaseError, BackendError) as error:
            log.debug("lease not made: %s", error)
            streams.close(sock)
            await trio.sleep(CONNECT_PAUSE)
            self._connecting -= 1
            self._open -= 1
            self._open_more()
        except BaseException:
            sock.close()
            raise
        else:
            self._connecting -= 1
            self.give_back(lease)


async def _receive_hello(lease: Lease) -> None:
    while len(lease.buffer) < FRAME.size:
        data = await streams.receive(lease.sock)
        if not data:
            raise BackendError("worker", "closed before its greeting", sent=False)
        lease.buffer += data
    header = decode_header(lease.buffer)
    if header is None or not header[0] & HELLO or header[0] & GOODBYE:
        raise LeaseError("not a greeting")
    lease.buffer = lease.buffer[FRAME.size :]


def _check_peer(sock: socket.socket) -> None:
    """The socket must have been bound by root or by our own user: names are for the taking."""
    _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid not in (0, os.geteuid()):
        raise BackendError("worker", f"lease socket belongs to user {uid}", sent=False)
