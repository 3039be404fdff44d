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
from typing import Protocol

import trio

from uwgate.conf.errors import BackendError
from uwgate.gateways import streams
from uwgate.gateways.lane import Lane
from uwgate.gateways.wire.lease import FRAME, GOODBYE, HELLO, LeaseError, decode_header

log = logging.getLogger("uwgate.leases")

CONNECT_PAUSE = 0.05  # seconds until a refused connection is tried again
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred


class Applicant(Protocol):
    """Who waits for a lease."""

    def granted(self, lease: Lease) -> bool:
        """The lease is yours now. False: its worker is gone, you still want one."""
        ...


class Answered(Protocol):
    """Who has sent a request on a lease in the lane."""

    def answered(self, lease: Lease, data: bytes) -> None:
        """Bytes from the worker; none means end of file."""
        ...


class Lease:
    """One connection to a worker slot, used for one request at a time.

    In the lane, ``user`` gets what the worker sends; None while the lease is idle.
    """

    __slots__ = ("_pool", "buffer", "sock", "user")

    def __init__(self, pool: LeasePool, sock: socket.socket) -> None:
        self._pool = pool
        self.sock = sock
        self.buffer = b""  # received, but not consumed yet
        self.user: Answered | None = None

    def ready(self, mask: int) -> None:
        try:
            data = self.sock.recv(self._pool.receive_size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if self.user is not None:
            self.user.answered(self, data)
        else:
            self._pool.left(self)


class _Waiter:
    """A task that waits for a lease, which it uses outside the lane."""

    __slots__ = ("_pool", "event", "lease")

    def __init__(self, pool: LeasePool) -> None:
        self._pool = pool
        self.event = trio.Event()
        self.lease: Lease | None = None

    def granted(self, lease: Lease) -> bool:
        self._pool.take_out(lease)
        self.lease = lease
        self.event.set()
        return True


class LeasePool:
    """The leases of one gateway process.

    ``address`` is the abstract name of the workers' socket, ``slots`` how many requests the
    workers run at once, ``receive_size`` the bytes taken from a worker at a time. Connections
    are opened by tasks in ``nursery``; all leases are in ``lane``, but for those that a task
    has taken out.
    """

    def __init__(
        self, address: str, slots: int, receive_size: int, lane: Lane, nursery: trio.Nursery
    ) -> None:
        self.receive_size = receive_size
        self._address = b"\0" + address.encode()
        self._slots = slots
        self._lane = lane
        self._nursery = nursery
        self._idle: list[Lease] = []
        self._waiters: deque[Applicant] = deque()
        self._open = 0  # connections, idle, busy or being opened
        self._connecting = 0

    def apply(self, applicant: Applicant) -> None:
        """Give ``applicant`` a lease, now or later."""
        while self._idle:
            lease = self._idle.pop()
            if applicant.granted(lease):
                return
            self.discard(lease)
        self._waiters.append(applicant)
        self._open_more()

    def withdraw(self, applicant: Applicant) -> None:
        """The applicant does not want a lease any longer."""
        self._waiters.remove(applicant)

    async def take(self) -> Lease:
        """A lease for a task, outside the lane. Cancelling gives up the place in the queue."""
        waiter = _Waiter(self)
        self.apply(waiter)
        if waiter.lease is None:
            try:
                await waiter.event.wait()
            except BaseException:
                if waiter.lease is None:
                    self.withdraw(waiter)
                else:
                    self.put_back(waiter.lease)
                raise
        assert waiter.lease is not None
        return waiter.lease

    def take_out(self, lease: Lease) -> None:
        """A task goes on with ``lease``: out of the lane with it."""
        self._lane.remove(lease.sock.fileno())

    def put_back(self, lease: Lease) -> None:
        """The request of a task has ended well on ``lease``, and the worker stays."""
        lease.user = None
        self._lane.add(lease.sock.fileno(), lease)
        self.give_back(lease)

    def give_back(self, lease: Lease) -> None:
        """The request on ``lease`` has ended well, and the worker stays."""
        lease.user = None
        if not self._waiters:
            self._idle.append(lease)
        elif self._waiters[0].granted(lease):
            self._waiters.popleft()
        else:
            self.discard(lease)

    def left(self, lease: Lease) -> None:
        """The worker of an idle lease has said goodbye, or died."""
        self._idle.remove(lease)
        self.discard(lease)

    def discard(self, lease: Lease) -> None:
        """Close ``lease``: the worker left, or the request on it was given up."""
        self._lane.remove(lease.sock.fileno())
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
        lease = Lease(self, sock)
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
            self._lane.add(sock.fileno(), lease)
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
    if lease.buffer:
        raise LeaseError("more than a greeting")  # it has changed its mind: a goodbye


def _check_peer(sock: socket.socket) -> None:
    """The socket must have been bound by root or by our own user: names are for the taking."""
    _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid not in (0, os.geteuid()):
        raise BackendError("worker", f"lease socket belongs to user {uid}", sent=False)
