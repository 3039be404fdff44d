"""Kept connections from a gateway to the slots of our own workers, and the queue they share.

The pool opens a connection when a request finds none idle, up to the number of slots there
are. A connection that no worker has accepted yet holds no request (gateways/wire/lease.py).

A request goes to an idle lease if there is one, else to the queue in the kernel from which
every slot takes its next request without waiting for the gateway. What does not fit there, and
what needs a lease for itself, waits here in order of arrival.
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
from uwgate.gateways.wire.lease import (
    ABORTED,
    ATTACH,
    FRAME,
    GOODBYE,
    HEAD,
    HELLO,
    LAST,
    MAX_QUEUED,
    MAX_WHOLE,
    NUMBER,
    QUEUE,
    LeaseError,
    decode_header,
)
from uwgate.gateways.wire.uwsgi import HEADER

log = logging.getLogger("uwgate.leases")

CONNECT_PAUSE = 0.05  # seconds until a refused connection is tried again
QUEUE_DEPTH = 16  # requests in the kernel's queue for each slot that reads it
_FRAME_SIZE = FRAME.size
_MESSAGE_SIZE = NUMBER.size + MAX_QUEUED
_LARGEST = 0xFFFFFFFF  # number of a request
_ATTACH = HEADER.pack(ATTACH, 0, 0)
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred


class Applicant(Protocol):
    """Who waits for a worker. ``packet`` may go into the queue; empty: it may not."""

    packet: bytes

    def granted(self, lease: Lease) -> bool:
        """The lease is yours now. False: its worker is gone, you still want one."""
        ...

    def taken(self, lease: Lease) -> None:
        """The worker has taken your packet from the queue."""
        ...

    def answered(self, flags: int, head: bytes, body: bytes) -> None:
        """The whole response, in one frame."""
        ...

    def streamed(self, lease: Lease) -> None:
        """Something else came, or end of file: go on with the lease, in a task."""
        ...


class _Nobody:
    """In the place of a client that has left after its request was handed over."""

    packet = b""

    def granted(self, lease: Lease) -> bool:
        raise AssertionError("nobody applies")

    def taken(self, lease: Lease) -> None:
        pass

    def answered(self, flags: int, head: bytes, body: bytes) -> None:
        pass

    def streamed(self, lease: Lease) -> None:
        lease.discard()


NOBODY = _Nobody()


class Lease:
    """One connection to a worker slot, used for one request at a time.

    In the lane, ``user`` gets what the worker sends; None while the lease is idle.
    """

    __slots__ = ("_pool", "buffer", "sock", "user")

    def __init__(self, pool: LeasePool, sock: socket.socket) -> None:
        self._pool = pool
        self.sock = sock
        self.buffer = b""  # received, but not consumed yet
        self.user: Applicant | None = None

    def ready(self, mask: int) -> None:
        # Nothing tells again of what one look leaves behind, and a worker that takes from the
        # queue may have sent more than that.
        while self._receive() and self._pool.watches(self):
            pass

    def _receive(self) -> bool:
        """Take what has come; whether there may be more."""
        size = self._pool.receive_size
        try:
            data = self.sock.recv(size)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        user = self.user
        if user is None:
            self._pool.left(self)
        elif data:
            self._advance(self.buffer + data if self.buffer else data)
        else:
            user.streamed(self)
            self._pool.look_for_lost()
        return len(data) == size

    def hand_over(self, packet: bytes, user: Applicant) -> bool:
        """Send a request; False if the worker has left, and has got nothing of it."""
        try:
            self.sock.send(packet)  # the buffer of an idle lease has room for any
        except OSError:
            return False
        self.user = user
        return True

    def discard(self) -> None:
        """Close it: the worker left, or the request on it was given up."""
        self._pool.discard(self)

    def _advance(self, data: bytes) -> None:
        """Hand out the whole responses in ``data``, one for each request that was taken."""
        pool = self._pool
        while True:
            if len(data) < _FRAME_SIZE:
                self.buffer = data
                break
            flags, head_size, body_size = FRAME.unpack_from(data)
            if flags & (HEAD | LAST | ABORTED) != HEAD | LAST or body_size > MAX_WHOLE:
                self.buffer = data
                self._user().streamed(self)
                break
            body_at = _FRAME_SIZE + head_size
            end = body_at + body_size
            following = end + NUMBER.size if flags & QUEUE else end
            if len(data) < following:
                self.buffer = data
                break
            user = self._user()
            if not flags & QUEUE:
                self.buffer = b""
                self.user = None
                if flags & GOODBYE or len(data) > end:  # what follows can only be a goodbye
                    pool.discard(self)
                else:
                    pool.give_back(self)
                user.answered(flags, data[_FRAME_SIZE:body_at], data[body_at:end])
                break
            self.user = pool.claim(data[end:following])
            self.user.taken(self)
            user.answered(flags, data[_FRAME_SIZE:body_at], data[body_at:end])
            data = data[following:]
        pool.heard(self)

    def _user(self) -> Applicant:
        assert self.user is not None
        return self.user


class _Waiter:
    """A task that waits for a lease, which it uses outside the lane."""

    __slots__ = ("_pool", "event", "lease")

    packet = b""

    def __init__(self, pool: LeasePool) -> None:
        self._pool = pool
        self.event = trio.Event()
        self.lease: Lease | None = None

    def granted(self, lease: Lease) -> bool:
        self._pool.take_out(lease)
        self.lease = lease
        self.event.set()
        return True

    def taken(self, lease: Lease) -> None:
        raise AssertionError("not in the queue")

    def answered(self, flags: int, head: bytes, body: bytes) -> None:
        raise AssertionError("not in the lane")

    def streamed(self, lease: Lease) -> None:
        raise AssertionError("not in the lane")


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
        self._inlet, self._outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._inlet.setblocking(False)
        self._outlet.setblocking(False)
        self._queued: dict[int, Applicant] = {}  # by number, in the order of the queue
        self._number = 0  # of the last request in the queue
        self._room = 0  # requests that the queue may have
        self._readers: set[Lease] = set()  # leases of slots that take from the queue
        # After a worker's death: the leases whose workers may have taken what is not there any
        # longer, until they say so, and what is looked for.
        self._suspects: set[Lease] = set()
        self._missing: set[int] = set()

    def apply(self, applicant: Applicant) -> bool:
        """Give ``applicant`` a worker, now or later; returns whether it has to wait here."""
        while self._idle:
            lease = self._idle.pop()
            if applicant.granted(lease):
                return False
            self.discard(lease)
        waits = bool(self._waiters) or not self._enqueue(applicant)
        if waits:
            self._waiters.append(applicant)
        self._open_more()
        return waits

    def withdraw(self, applicant: Applicant) -> None:
        """The applicant, who still waits, does not want a worker any longer."""
        if applicant not in self._waiters:
            self._recall()
        if applicant in self._waiters:
            self._waiters.remove(applicant)
        else:
            for number, other in self._queued.items():
                if other is applicant:
                    self._queued[number] = NOBODY
        self.refill()

    async def take(self) -> Lease:
        """A lease for a task, outside the lane. Cancelling gives up the place in the queue."""
        waiter = _Waiter(self)
        self.apply(waiter)
        if waiter.lease is None:
            try:
                await waiter.event.wait()
            except BaseException:
                self._give_up(waiter)
                raise
        assert waiter.lease is not None
        return waiter.lease

    def _give_up(self, waiter: _Waiter) -> None:
        """A task waits no more; what it was granted in the same moment goes back."""
        if waiter.lease is None:
            self.withdraw(waiter)
        else:
            self.put_back(waiter.lease)

    def take_out(self, lease: Lease) -> None:
        """A task goes on with ``lease``: out of the lane with it."""
        self._lane.remove(lease.sock.fileno())

    def watches(self, lease: Lease) -> bool:
        """Whether the lease is in the lane: not closed, not taken out."""
        return self._lane.watches(lease.sock.fileno(), lease)

    def put_back(self, lease: Lease) -> None:
        """The request of a task has ended well on ``lease``, and the worker stays."""
        lease.user = None
        self._lane.add(lease.sock.fileno(), lease)
        self.give_back(lease)

    def give_back(self, lease: Lease) -> None:
        """The request on ``lease`` has ended well, and the worker stays."""
        lease.user = None
        applicant = self._next()
        if applicant is None:
            self._idle.append(lease)
        elif applicant.granted(lease):
            self.refill()
        else:
            self._waiters.appendleft(applicant)
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
        if lease in self._readers:
            self._readers.remove(lease)
            self._room -= QUEUE_DEPTH
            if not self._readers:
                self._recall()
            self._clear(lease)
        self._open_more()

    def close(self) -> None:
        """Close the idle leases, and the queue."""
        while self._idle:
            self.discard(self._idle.pop())
        self._inlet.close()
        self._outlet.close()

    # The queue

    def claim(self, number: bytes) -> Applicant:
        """Who asked the request that a worker has taken from the queue."""
        return self._queued.pop(NUMBER.unpack(number)[0], NOBODY)

    def refill(self) -> None:
        """Move those who wait into the queue, as far as there is room."""
        waiters = self._waiters
        while waiters and self._enqueue(waiters[0]):
            waiters.popleft()

    def _enqueue(self, applicant: Applicant) -> bool:
        if len(self._queued) >= self._room or not applicant.packet:
            return False
        self._number = number = self._number % _LARGEST + 1
        try:
            self._inlet.send(NUMBER.pack(number) + applicant.packet)
        except BlockingIOError:
            return False
        self._queued[number] = applicant
        return True

    def _dequeue(self) -> Applicant | None:
        """Take the first request back out of the queue; None if workers have taken all."""
        while True:
            try:
                message = self._outlet.recv(_MESSAGE_SIZE)
            except OSError:  # nothing is there, or the pool is closed
                return None
            applicant = self.claim(message[: NUMBER.size])
            if applicant is not NOBODY:
                return applicant

    def _next(self) -> Applicant | None:
        """Who is first in line."""
        if self._queued:
            applicant = self._dequeue()
            if applicant is not None:
                return applicant
        return self._waiters.popleft() if self._waiters else None

    def _recall(self) -> None:
        """Have what is in the queue wait here instead, before all others."""
        recalled = []
        while (applicant := self._dequeue()) is not None:
            recalled.append(applicant)
        self._waiters.extendleft(reversed(recalled))

    def heard(self, lease: Lease) -> None:
        """Responses have come on ``lease``, perhaps with numbers of what was taken."""
        if self._suspects and not lease.buffer:
            self._clear(lease)
        self.refill()

    # A worker that dies may have taken a request without having said so. It has not run it, so
    # the request goes elsewhere as soon as it is certain that no other worker has it.

    def look_for_lost(self) -> None:
        """A worker has died: find out what became of the requests in the queue."""
        self._recall()
        self._missing.update(self._queued)
        self._suspects = {lease for lease in self._readers if lease.user is not None}
        self._find()

    def _clear(self, lease: Lease) -> None:
        """A suspect has said what it has taken, or is gone."""
        if lease in self._suspects:
            self._suspects.remove(lease)
            self._find()

    def _find(self) -> None:
        """What is missing and with none of the suspects was lost with the worker."""
        if not self._suspects:
            for number in sorted(self._missing & self._queued.keys(), reverse=True):
                applicant = self._queued.pop(number)
                if applicant is not NOBODY:
                    self._waiters.appendleft(applicant)
            self._missing.clear()
        while self._waiters and self._idle:
            self.give_back(self._idle.pop())
        self.refill()
        self._open_more()

    def _open_more(self) -> None:
        wanted = len(self._waiters) + len(self._queued)
        while self._open < self._slots and self._connecting < wanted:
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
            if await _receive_hello(lease):
                socket.send_fds(sock, [_ATTACH], [self._outlet.fileno()])
                self._readers.add(lease)
                self._room += QUEUE_DEPTH
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


async def _receive_hello(lease: Lease) -> bool:
    """Wait for the greeting; returns whether the worker reads from the queue."""
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
    return bool(header[0] & QUEUE)


def _check_peer(sock: socket.socket) -> None:
    """The socket must have been bound by root or by our own user: names are for the taking."""
    _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid not in (0, os.geteuid()):
        raise BackendError("worker", f"lease socket belongs to user {uid}", sent=False)
