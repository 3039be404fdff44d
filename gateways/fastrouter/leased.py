"""Our own workers as the backend of a fastrouter session, by leases (gateways/wire/lease.py).

A request that is there as a whole goes to an idle lease or into the queue, and its answer
most often comes back in one frame: all of that in the lane, without a connection of its own. A
body that is still to come follows when the worker has taken the request. What has no length (an
upgrade, chunks that the application reads itself) makes the lease a connection to a uwsgi socket.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from uwgate.conf.address import Address, AddressKind
from uwgate.conf.start import Start
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.router import WORKER_ROLES
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.fastrouter.client import AT_ONCE
from uwgate.gateways.fastrouter.lease_stream import ENDLESS, LeaseStream
from uwgate.gateways.fastrouter.states import CLOSED, CONNECT
from uwgate.gateways.lane import ENDED
from uwgate.gateways.leases import NOBODY
from uwgate.gateways.wire.lease import (
    ACKNOWLEDGE,
    FOREIGN,
    GOODBYE,
    HANDED_OVER,
    HEAD,
    LeaseError,
    encode_foreign,
    mark,
)
from uwgate.gateways.wire.uwsgi import HEADER, PONG

if TYPE_CHECKING:
    from uwgate.gateways.fastrouter.session import Session
    from uwgate.gateways.leases import Lease, LeasePool

PING = 100  # modifier1
SERVED = (0, 30)  # the same, of what our workers run


class OwnWorkers:
    """What a session wants to know of its ``attempts``: there is one backend, and no other."""

    target = Target(Address(kind=AddressKind.UNIX, path="our own workers"))
    outcome = Outcome.NOBODY

    def answered(self, now: float, *, good: bool) -> None:
        """Nobody counts that."""

    def retry_after(self, now: float) -> int:
        """Seconds until it makes sense to ask again."""
        return 1


OWN_WORKERS = OwnWorkers()


def leads_to_workers(start: Start) -> bool:
    """Whether all requests of the fastrouter are for this instance's own workers."""
    settings = start.settings
    if not settings.fastrouter_may_lease or not settings.workers.processes:
        return False
    number = settings.fastrouter_corerouter.use_socket
    roles = [role for role, _ in start.bound if role in WORKER_ROLES]
    return number is None or (number < len(roles) and roles[number] == "uwsgi")


class Leased:
    """One request; the session's backend, and an applicant for a lease.

    ``data`` is a packet and what came behind it, ``length`` the size of its body in bytes, None
    if that is not known. ``sock`` is where the answer comes from.
    """

    __slots__ = (
        "_data",
        "_is_taken",
        "_lease",
        "_leases",
        "_packet",
        "_session",
        "_waits",
        "_whole",
        "packet",
        "sock",
    )

    attempts = OWN_WORKERS

    def __init__(
        self, session: Session, leases: LeasePool, data: bytes, length: int | None
    ) -> None:
        self._session = session
        self._leases = leases
        left = ENDLESS
        if length is not None:
            # Behind the body nothing may follow: on a kept lease it would be the next request.
            end = HEADER.size + data[1] + (data[2] << 8) + length
            data = data[:end]
            left = end - len(data)
        self._data = data
        self._packet = b""  # the same with flags, until the worker has taken it
        self.packet = b""  # the same again, if it may go into the queue
        self._whole = False
        self._waits = False  # for a worker
        self._lease: Lease | None = None
        self._is_taken = False  # nobody else may have the request any more
        self.sock = LeaseStream(leases, left, self._let_go)

    def begin(self, *, whole: bool) -> None:
        """Have the request answered; ``whole``: nothing of it is still to come."""
        session = self._session
        data = self._data
        modifier1 = data[0]
        if modifier1 == PING:
            with contextlib.suppress(OSError):
                session.sock.send(PONG, AT_ONCE)
            session.close()
        elif modifier1 not in SERVED:
            reason = f"our workers serve no modifier {modifier1}"
            session.refuse(502, reason, name="unavailable-modifier")
        elif whole:
            self._whole = True
            self._packet, self.packet = encode_foreign(data)
            session.connected(self.sock, data, len(data))
            if session.state is not CLOSED:  # its client may have gone at that moment
                self._apply()
        else:
            is_bounded = self.sock.left != ENDLESS
            self._packet = mark(data, FOREIGN | (ACKNOWLEDGE if is_bounded else HANDED_OVER))
            session.await_worker()
            self._apply()

    def _apply(self) -> None:
        self._waits = True
        if self._leases.apply(self):
            self._session.watch()  # the client may leave meanwhile

    # See ``leases.Applicant``.

    def granted(self, lease: Lease) -> bool:
        if not lease.hand_over(self._packet, self):
            return False
        self.taken(lease)
        return True

    def taken(self, lease: Lease) -> None:
        self._waits = False
        self._lease = lease

    def answered(self, flags: int, head: bytes, body: bytes) -> None:
        self._lease = None
        self.sock.hold(head + body)
        self._go_on(ENDED)

    def streamed(self, lease: Lease) -> None:
        self._lease = None
        lease.user = None
        self._leases.take_out(lease)
        self._session.gateway.lane.add(lease.sock.fileno(), self)
        self.sock.open(lease, framed=self._whole or self.sock.left != ENDLESS)
        self.ready(0)

    def ready(self, mask: int) -> None:
        """The worker has sent something, or takes something; see ``lane.Member``."""
        session = self._session
        if session.state is CLOSED:
            return
        if self._is_taken:
            # Whether there is more is for the frames to say.
            session.backend_ready(mask & ~ENDED)
            return
        try:
            flags = self.sock.peek()
        except (OSError, LeaseError) as error:
            session.refuse(502, f"our worker: {error}")
            return
        if flags is None:
            return
        if flags & GOODBYE and not flags & HEAD:  # it has left without having run anything
            self.sock.drop()
            self._apply()
            return
        self._go_on(0)

    def _go_on(self, mask: int) -> None:
        """A worker has the request."""
        self._is_taken = True
        session = self._session
        self._packet = self.packet = b""
        data, self._data = self._data, b""
        if session.state is CONNECT:
            session.connected(self.sock, data, len(data))
        session.backend_ready(mask)

    def _let_go(self) -> None:
        """The lease has gone before it has got all of the body: nobody waits for room any more."""
        self._session.gateway.lane.again(self._session)

    def expire(self) -> None:
        """No worker has taken the request in time."""
        self._session.refuse(504, "no worker has taken it in time")

    def close(self, *, tx: int, rx: int) -> None:
        """The session has ended; again is the same as once."""
        if self._waits:
            self._waits = False
            self._leases.withdraw(self)
        elif self._lease is not None:
            self._lease.user = NOBODY
            self._lease = None
        else:
            self.sock.drop()
