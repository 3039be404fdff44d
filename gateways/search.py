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
from typing import TYPE_CHECKING, Any, Final, Protocol

import trio

from uwgate.gateways.baresocket import BareSocket
from uwgate.gateways.corerouter.attempts import Attempts
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.names import Where

if TYPE_CHECKING:
    from uwgate.gateways.lane_gateway import LaneGateway

log = logging.getLogger("uwgate.gateway")

AF_UNIX: Final = int(socket.AF_UNIX)
BUSY_PAUSE: Final = 0.02  # seconds until a UNIX socket whose accept queue was full is tried again
UNDER_WAY: Final = int(errno.EINPROGRESS)  # what connecting says besides 0 when it does not fail
NON_BLOCKING: Final = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
# Nobody's fault but ours: the backend is not to be blamed. EAGAIN: of TCP, no port is left.
EXHAUSTED = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN)
)


class Seeker(Protocol):
    """The session that wants a backend."""

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

    __slots__ = (
        "_code",
        "_fd",
        "_gateway",
        "_has_it",
        "_places",
        "_scope",
        "_session",
        "attempts",
        "sock",
    )

    WRITABLE = False

    # The gateway is no protocol: compiled, each look at one takes as long as a function call.
    def __init__(self, session: Seeker, gateway: LaneGateway[Any], attempts: Attempts) -> None:
        self.attempts = attempts
        self.sock: socket.socket | None = None
        self._gateway = gateway
        self._session = session
        self._fd = -1  # of the socket
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
        if self._gateway.corerouter.needs_task:
            self._wait(self.attempts.prepare, self._next)
        else:
            self._next()

    def ready(self, mask: int) -> None:
        """See ``lane.Member``."""
        if self._has_it:
            self._session.backend_ready(mask)
        elif self.sock is not None:
            self._go_on(self._try(self.sock, self._gateway.clock(), is_watched=True))

    def expire(self) -> None:
        """It has not accepted in time."""
        self._drop()
        limit = self._gateway.corerouter.options.connect_timeout
        self._go_on(f"no connection within {limit:g} s")

    def close(self, *, tx: int, rx: int) -> None:
        """The session has ended. ``tx`` bytes came from the backend, ``rx`` went to it."""
        if self._scope is not None:
            self._scope.cancel()
        self._drop()
        self.attempts.end(self._gateway.clock(), tx=tx, rx=rx)

    def _next(self) -> None:
        """Take the next backend, until one can be connected or nobody is left."""
        gateway = self._gateway
        while True:
            now = gateway.clock()
            target = self.attempts.next(now)
            if target is None:
                self._session.unserved()
                return
            objection = self._objection(target)
            if objection:
                self._fail(objection)
            else:
                places = gateway.names.find_target(target, gateway.now)
                if places is None:
                    self._wait(self._look_up, self._found)
                    return
                self._places = places
                if self._connect(now):
                    return
            if gateway.corerouter.needs_task:
                self._wait(self.attempts.prepare, self._next)
                return

    def _connect(self, now: float) -> bool:
        """Connect to one of the target's places; False if that is impossible."""
        reason = "no such host"
        while self._places:
            where = self._places[0]
            family = where.family
            self._places = self._places[1:]
            try:
                self.sock = sock = BareSocket(family, NON_BLOCKING)
            except OSError as error:
                self._code = error.errno or 0
                reason = f"no socket: {error.strerror}"
                break
            self._fd = sock.fileno()
            if family != AF_UNIX:
                self._prepare(sock)
            self._code = code = sock.connect_ex(where.address)
            if code in (0, UNDER_WAY):
                failure = self._try(sock, now, is_watched=False)
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

    def _try(self, sock: socket.socket, now: float, *, is_watched: bool) -> str | None:
        """Hand over, now or when there is a connection; why that cannot be, if so.

        ``is_watched``: the lane tells of the connection already.
        """
        gateway = self._gateway
        try:
            self._hand_over(sock)
        except BlockingIOError:  # no connection yet
            if not is_watched:
                gateway.lane.add(self._fd, self, writable=True)
                self._session.await_connection()
            return None
        except OSError as error:
            self._drop()
            return error.strerror or str(error)
        self._has_it = True
        self.attempts.connected(now)
        if not is_watched:
            gateway.lane.add(self._fd, self, writable=self.WRITABLE)
        self._found_it(sock)
        return None

    def _go_on(self, failure: str | None) -> None:
        """After a late connection, or none."""
        if failure is None:
            return
        if self._places:
            if self._connect(self._gateway.clock()):
                return
        else:
            self._fail(failure)
        self.begin()

    def _fail(self, reason: str, *, busy: bool = False) -> None:
        self.attempts.failed(self._gateway.clock(), reason, busy=busy)

    def _drop(self) -> None:
        """Close the connection, or what was to become one."""
        sock = self.sock
        if sock is not None:
            self.sock = None
            self._gateway.lane.forget(self._fd)
            sock.close()

    # What takes a task

    def _wait(self, work: Callable[[], Awaitable[None]], then: Callable[[], None]) -> None:
        session = self._session
        session.await_choice()
        self._gateway.lane.tasks += 1
        self._scope = scope = trio.CancelScope()
        self._gateway.nursery.start_soon(self._run, scope, work, then)

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
            self._gateway.lane.tasks -= 1

    async def _look_up(self) -> None:
        """Ask for the target's host name."""
        gateway = self._gateway
        target = self.attempts.target
        assert target is not None
        with trio.move_on_after(gateway.corerouter.options.connect_timeout):
            while gateway.names.find(target.address, trio.current_time()) is None:
                await gateway.names.look_up(target.address)

    def _found(self) -> None:
        target = self.attempts.target
        assert target is not None
        gateway = self._gateway
        self._places = gateway.names.find(target.address, trio.current_time()) or ()
        if not self._connect(gateway.clock()):
            self.begin()

    async def _wait_for_room(self, where: Where) -> None:
        """The accept queue is full: somebody is there, but busy."""
        sock = self.sock
        assert sock is not None
        with trio.move_on_after(self.attempts.patience(self._gateway.clock())):
            while self._code == errno.EAGAIN:
                await trio.sleep(BUSY_PAUSE)
                self._code = sock.connect_ex(where.address)

    def _connected_late(self) -> None:
        if not self._code:
            assert self.sock is not None
            self._go_on(self._try(self.sock, self._gateway.clock(), is_watched=False))
            return
        self._drop()
        if self._code == errno.EAGAIN:
            self._fail("its accept queue is full", busy=True)
        else:
            self._fail(os.strerror(self._code))
        self.begin()
