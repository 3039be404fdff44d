"""The backend's side of a fastrouter session: chosen, connected, and given the first bytes.

Whoever cannot be connected is followed by another one, for nothing was handed over. A
connection is tried by sending: on loopback it is there before ``connect`` returns, in spite of what
that says.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from uwgate.gateways.fastrouter.names import Where
from uwgate.gateways.fastrouter.states import State
from uwgate.gateways.wire.uwsgi import HEADER

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts
    from uwgate.gateways.fastrouter.session import Session

log = logging.getLogger("uwgate.fastrouter")

BUSY_PAUSE = 0.02  # seconds until a UNIX socket whose accept queue was full is tried again
NON_BLOCKING = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
# Nobody's fault but ours: the backend is not to be blamed. EAGAIN: of TCP, no port is left.
EXHAUSTED = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN)
)


class Backend:
    """See the module. ``data`` is what is handed over first: a packet, and what came behind it.

    Tells the session ``connected``, ``backend_ready`` from then on, or ``unserved``. ``sock`` is
    None while there is no connection.
    """

    __slots__ = ("_code", "_data", "_has_it", "_places", "_scope", "_session", "attempts", "sock")

    def __init__(self, session: Session, attempts: Attempts, data: bytes) -> None:
        self.attempts = attempts
        self.sock: socket.socket | None = None
        self._session = session
        self._data = data
        self._has_it = False  # the backend has got the first bytes
        self._places: tuple[Where, ...] = ()  # of the target, still to be tried
        self._code = 0  # errno of the last connect
        self._scope: trio.CancelScope | None = None  # of a task

    def begin(self) -> None:
        """Find a backend, and one more each time that one cannot be connected."""
        if self._session.gateway.corerouter.needs_task:
            self._wait(self.attempts.prepare, self._next)
        else:
            self._next()

    def ready(self, mask: int) -> None:
        """See ``lane.Member``."""
        if self._has_it:
            self._session.backend_ready(mask)
        elif self.sock is not None:
            self._go_on(self._hand_over())

    def expire(self) -> None:
        """It has not accepted in time."""
        self._drop()
        limit = self._session.gateway.corerouter.options.connect_timeout
        self._go_on(f"no connection within {limit:g} s")

    def close(self, *, tx: int, rx: int) -> None:
        """The session has ended. ``tx`` bytes came from the backend, ``rx`` went to it."""
        if self._scope is not None:
            self._scope.cancel()
        self._drop()
        self.attempts.end(self._session.gateway.clock(), tx=tx, rx=rx)

    def _next(self) -> None:
        """Take the next backend, until one can be connected or nobody is left."""
        gateway = self._session.gateway
        while True:
            target = self.attempts.next(gateway.clock())
            if target is None:
                self._session.unserved()
                return
            if target.speaks_http:
                self._fail("it wants HTTP, and the fastrouter has uwsgi packets")
            else:
                places = gateway.names.find(target.address, gateway.now)
                if places is None:
                    self._wait(self._look_up, self._found)
                    return
                self._places = places
                if self._connect():
                    return
            if gateway.corerouter.needs_task:
                self._wait(self.attempts.prepare, self._next)
                return

    def _connect(self) -> bool:
        """Connect to one of the target's places; False if that is impossible."""
        reason = "no such host"
        while self._places:
            where, *rest = self._places
            self._places = tuple(rest)
            try:
                self.sock = sock = socket.socket(where.family, NON_BLOCKING)
            except OSError as error:
                self._code = error.errno or 0
                reason = f"no socket: {error.strerror}"
                break
            self._code = code = sock.connect_ex(where.address)
            if code in (0, errno.EINPROGRESS):
                failure = self._hand_over()
                if failure is None:
                    return True
                reason = failure
            elif code == errno.EAGAIN and where.family == socket.AF_UNIX:
                self._wait(partial(self._wait_for_room, where), self._connected_late)
                return True
            else:
                reason = os.strerror(code)
                self._drop()
        self._fail(reason, busy=self._code in EXHAUSTED)
        return False

    def _hand_over(self) -> str | None:
        """Send the first bytes, now or when there is a connection; why that cannot be, if so."""
        sock = self.sock
        assert sock is not None
        session = self._session
        lane = session.gateway.lane
        packet = self._packet()
        try:
            sent = sock.send(packet)
        except BlockingIOError:  # no connection yet
            if not lane.watches(sock.fileno(), self):
                lane.add(sock.fileno(), self, writable=True)
                session.await_connection()
            return None
        except OSError as error:
            self._drop()
            return error.strerror or str(error)
        self._has_it = True
        self._data = b""
        self.attempts.connected(session.gateway.clock())
        if not lane.watches(sock.fileno(), self):
            lane.add(sock.fileno(), self)
        session.connected(sock, packet, sent)
        return None

    def _go_on(self, failure: str | None) -> None:
        """After a late connection, or none."""
        if failure is None:
            return
        if self._places:
            if self._connect():
                return
        else:
            self._fail(failure)
        self.begin()

    def _packet(self) -> bytes:
        """The packet with the modifiers that the target wants."""
        data = self._data
        target = self.attempts.target
        assert target is not None
        modifier1 = data[0] if target.modifier1 is None else target.modifier1
        modifier2 = data[3] if target.modifier2 is None else target.modifier2
        if (modifier1, modifier2) == (data[0], data[3]):
            return data
        return HEADER.pack(modifier1, data[1] + (data[2] << 8), modifier2) + data[4:]

    def _fail(self, reason: str, *, busy: bool = False) -> None:
        self.attempts.failed(self._session.gateway.clock(), reason, busy=busy)

    def _drop(self) -> None:
        """Close the connection, or what was to become one."""
        sock = self.sock
        if sock is not None:
            self.sock = None
            self._session.gateway.lane.forget(sock.fileno())
            sock.close()

    # What takes a task

    def _wait(self, work: Callable[[], Awaitable[None]], then: Callable[[], None]) -> None:
        session = self._session
        session.await_choice()
        session.gateway.lane.tasks += 1
        self._scope = scope = trio.CancelScope()
        session.gateway.nursery.start_soon(self._run, scope, work, then)

    async def _run(
        self, scope: trio.CancelScope, work: Callable[[], Awaitable[None]], then: Callable[[], None]
    ) -> None:
        """Never raises: a session's failure ends the session."""
        try:
            with scope:
                await work()
            self._scope = None
            if self._session.state is not State.CLOSED:
                then()
        except Exception:
            log.exception("%s crashed", self._session.name)  # a bug: the traceback is the report
            self._session.close()
        finally:
            self._session.gateway.lane.tasks -= 1

    async def _look_up(self) -> None:
        """Ask for the target's host name."""
        gateway = self._session.gateway
        target = self.attempts.target
        assert target is not None
        with trio.move_on_after(gateway.corerouter.options.connect_timeout):
            while gateway.names.find(target.address, trio.current_time()) is None:
                await gateway.names.look_up(target.address)

    def _found(self) -> None:
        target = self.attempts.target
        assert target is not None
        self._places = self._session.gateway.names.find(target.address, trio.current_time()) or ()
        if not self._connect():
            self.begin()

    async def _wait_for_room(self, where: Where) -> None:
        """The accept queue is full: somebody is there, but busy."""
        sock = self.sock
        assert sock is not None
        with trio.move_on_after(self.attempts.patience(self._session.gateway.clock())):
            while self._code == errno.EAGAIN:
                await trio.sleep(BUSY_PAUSE)
                self._code = sock.connect_ex(where.address)

    def _connected_late(self) -> None:
        if not self._code:
            self._go_on(self._hand_over())
            return
        self._drop()
        if self._code == errno.EAGAIN:
            self._fail("its accept queue is full", busy=True)
        else:
            self._fail(os.strerror(self._code))
        self.begin()
