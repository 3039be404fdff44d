"""The backend's side of a session: chosen, and connected.

Whoever cannot be connected is followed by another one, for nothing was handed over. All of it is
done by function calls in the lane; only host names, full accept queues and Python functions that
choose are waited for in a trio task.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol

import trio

from uwgate.gateways.baresocket import BareSocket
from uwgate.gateways.corerouter.attempts import Attempts
from uwgate.gateways.corerouter.router import Corerouter
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.lane import Lane
from uwgate.gateways.names import Names, Where

log = logging.getLogger("uwgate.gateway")

AF_UNIX: Final = int(socket.AF_UNIX)
BUSY_PAUSE: Final = 0.02  # seconds until a UNIX socket whose accept queue was full is tried again
NON_BLOCKING: Final = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
UNDER_WAY: Final = (0, errno.EINPROGRESS)  # what connecting returns when it does not fail
# Nobody's fault but ours: the backend is not to be blamed. EAGAIN: of TCP, no port is left.
EXHAUSTED = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN)
)


class House(Protocol):
    """The gateway process in which a search happens. ``now`` is trio's clock."""

    lane: Lane
    nursery: trio.Nursery
    corerouter: Corerouter
    names: Names
    clock: Callable[[], float]
    now: float


class Seeker(Protocol):
    """The session that wants a backend."""

    @property
    def gateway(self) -> House: ...

    @property
    def name(self) -> str:
        """For the log."""
        ...

    @property
    def is_closed(self) -> bool:
        """Nobody waits for the backend any more."""
        ...

    def await_choice(self) -> None:
        """A task looks for the backend, which takes no longer than it may."""
        ...

    def await_connection(self) -> None:
        """A backend is asked for a connection: ``Search.expire`` when that takes too long."""
        ...

    def unserved(self) -> None:
        """Nobody is left."""
        ...

    def backend_ready(self, mask: int) -> None:
        """The backend has done something; see ``lane.Member``."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


class Search:
    """See the module. ``sock`` is None while there is no connection.

    What kind of session it is for say ``_objection``, ``_hand_over`` and ``_found_it``.
    ``WRITABLE``: the session is told also when the backend takes more after it had taken nothing.
    """

    __slots__ = ("_code", "_has_it", "_places", "_scope", "_session", "attempts", "sock")

    WRITABLE = False

    def __init__(self, session: Seeker, attempts: Attempts) -> None:
        self.attempts = attempts
        self.sock: socket.socket | None = None
        self._session = session
        self._has_it = False  # the session has the backend
        self._places: tuple[Where, ...] = ()  # of the target, still to be tried
        self._code = 0  # errno of the last connect
        self._scope: trio.CancelScope | None = None  # of a task

    # For each kind of session

    def _objection(self, target: Target) -> str:
        """Why a target cannot be used whatever it does; empty: it can."""
        return ""

    def _prepare(self, sock: socket.socket) -> None:
        """Set what a TCP socket needs before it is connected."""

    def _hand_over(self, sock: socket.socket) -> None:
        """Find out whether there is a connection, best by sending what is to be sent.

        Raises:
            BlockingIOError: not yet.
            OSError: there will be none.
        """
        raise NotImplementedError

    def _found_it(self, sock: socket.socket) -> None:
        """The backend is connected, and watched: tell the session."""
        raise NotImplementedError

    # For the session and the lane

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
            self._go_on(self._try(is_watched=True))

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
            objection = self._objection(target)
            if objection:
                self._fail(objection)
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
            where = self._places[0]
            family, address = where
            self._places = self._places[1:]
            try:
                self.sock = sock = BareSocket(family, NON_BLOCKING)
            except OSError as error:
                self._code = error.errno or 0
                reason = f"no socket: {error.strerror}"
                break
            if family != AF_UNIX:
                self._prepare(sock)
            self._code = code = sock.connect_ex(address)
            if code in UNDER_WAY:
                failure = self._try(is_watched=False)
                if failure is None:
                    return True
                reason = failure
            elif code == errno.EAGAIN and family == AF_UNIX:
                self._wait(partial(self._wait_for_room, where), self._connected_late)
                return True
            else:
                reason = os.strerror(code)
                self._drop()
        self._fail(reason, busy=self._code in EXHAUSTED)
        return False

    def _try(self, *, is_watched: bool) -> str | None:
        """Hand over, now or when there is a connection; why that cannot be, if so.

        ``is_watched``: the lane tells of the connection already.
        """
        sock = self.sock
        assert sock is not None
        gateway = self._session.gateway
        try:
            self._hand_over(sock)
        except BlockingIOError:  # no connection yet
            if not is_watched:
                gateway.lane.add(sock.fileno(), self, writable=True)
                self._session.await_connection()
            return None
        except OSError as error:
            self._drop()
            return error.strerror or str(error)
        self._has_it = True
        self.attempts.connected(gateway.clock())
        if not is_watched:
            gateway.lane.add(sock.fileno(), self, writable=self.WRITABLE)
        self._found_it(sock)
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
            if not self._session.is_closed:
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
            self._go_on(self._try(is_watched=False))
            return
        self._drop()
        if self._code == errno.EAGAIN:
            self._fail("its accept queue is full", busy=True)
        else:
            self._fail(os.strerror(self._code))
        self.begin()
