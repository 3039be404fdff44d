"""The HTTP gateway: HTTP/1 from clients, uwsgi to our own workers or to other backends."""

from __future__ import annotations

import logging
import math
import random
import select
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from uwgate.conf.hsts import parse_hsts
from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.answers import Answers
from uwgate.gateways.arrival import Gate, Welcome
from uwgate.gateways.asking import Asking
from uwgate.gateways.backends import BackendExchange, Backends
from uwgate.gateways.compression import Compression
from uwgate.gateways.corerouter.router import Corerouter
from uwgate.gateways.counters import Counters
from uwgate.gateways.door import Door, connection_limit
from uwgate.gateways.exchange import Exchange, Request
from uwgate.gateways.files.library import Library
from uwgate.gateways.http2.connection import Connection
from uwgate.gateways.http2.responses import ResponseHeads
from uwgate.gateways.lane import Lane
from uwgate.gateways.latecomer import Latecomer
from uwgate.gateways.lease_exchange import LeaseExchange
from uwgate.gateways.leases import LeasePool
from uwgate.gateways.peer import Crowd, Peer, Peers
from uwgate.gateways.redirect import RedirectSession
from uwgate.gateways.request_log import RequestLog
from uwgate.gateways.requests import RequestReader
from uwgate.gateways.responses import ResponseWriter
from uwgate.gateways.session import Session
from uwgate.gateways.spool import Spools
from uwgate.gateways.states import State
from uwgate.gateways.stickiness import Stickiness
from uwgate.gateways.streams import Socket
from uwgate.gateways.tls.brought import BroughtCertificates
from uwgate.gateways.tls.ring import Ring
from uwgate.gateways.tls.session import TlsSession
from uwgate.gateways.wire import cgi

if TYPE_CHECKING:
    from uwgate.gateways.routed.policy import Policy
    from uwgate.routing.functions import Functions
    from uwgate.routing.places import Places

log = logging.getLogger("uwgate.http")

TICK = 0.5  # seconds between two looks at the sessions' deadlines
ROLES = ("http", "https", "http-to-https")


class HttpGateway:
    """One HTTP gateway process.

    ``ring`` holds the certificates; None where nothing speaks TLS. Sessions use its
    attributes: ``options``, ``https`` and ``edge`` (options), ``reader``, ``writer`` and
    ``compression``, the ``library`` of files (``serves_files``: any request may be for one),
    ``counters`` of what was refused, ``peers`` and ``crowd`` (who they are), the
    ``lane``, ``leases`` (None without workers, or when requests go elsewhere), the ``router``
    that then says where, the ``policy`` of routing rules (None without any), ``spools``, the
    ``nursery`` of their tasks, ``now`` (trio's clock, at most ``TICK`` old) and ``idle_timeout``
    (seconds).
    """

    nursery: trio.Nursery
    spools: Spools

    def __init__(
        self,
        start: Start,
        ring: Ring | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = start.settings
        self.options = options = settings.http
        core = settings.http_corerouter
        self.https = settings.https
        self.options2 = settings.http2
        self.edge = settings.edge
        self.counters = Counters()
        self.peers = Peers(settings.edge)
        self._ring = ring
        self.reader = RequestReader(
            options,
            settings.workers.limit_post,
            settings.edge,
            self.counters,
            asking=Asking(options) if core.names_backends else None,
        )
        hsts = parse_hsts(settings.edge.https_hsts) if settings.edge.https_hsts else None
        self.answers = Answers()
        self.writer = ResponseWriter(options, hsts, self.answers)
        self.compression = Compression(options)
        folder = settings.application.chdir or ""
        self.metrics = start.metrics()
        request_log = RequestLog(settings, self.metrics)
        self.request_log = request_log if request_log.wanted else None
        self.library = Library(settings.static, self.counters, folder=folder, log=self.request_log)
        self.serves_files = self.library.is_asked
        self.http2_heads = ResponseHeads(options, hsts, self.answers)
        self.lane = Lane()
        self.leases: LeasePool | None = None
        self.policy: Policy | None = None
        self._functions: Functions | None = None  # of rules
        self._places: Places | None = None  # that they know
        if settings.rules:
            # Here, for most gateways have no rules; now, because it may fail.
            from uwgate.gateways.routed.functions import load_functions
            from uwgate.routing.places import open_places

            self._functions = load_functions(settings)
            self._places = open_places(settings.geoip)
        self.idle_timeout = options.http_keepalive
        self.closes_tunnels = False  # tunnels would have to be closed as soon as they are open
        self.now = 0.0
        self._start = start
        self._draining = False
        self._sessions: set[Session] = set()
        self._connections: set[Connection] = set()  # of HTTP/2
        self._empty = trio.Event()  # draining, and the last session has ended
        self._doors: list[Door] = []
        stickiness = Stickiness(options, start.secret) if options.http_sticky else None
        self.router = Corerouter(
            "http",
            start,
            counters=self.counters,
            sticky=stickiness.cookies if stickiness else None,
            speaks_http=options.http_backend_http,
            clock=clock,
        )
        self.router.on_cheap = self._open_or_close
        self._brought: BroughtCertificates | None = None
        if ring is not None and self.router.table is not None:
            ring.expect_names()
            self._brought = BroughtCertificates(
                ring, settings.https.sni_dir_ciphers, settings.subscriptions.subscription_sni_folder
            )
            self.router.on_certificate = self._brought.change
        self.router.answers = self.answers
        self.router.count_sessions = self._count_sessions
        self.router.count_static = lambda: self.library.requests
        self._backends = Backends(
            self.router, options, settings.edge, stickiness, settings.workers.limit_post
        )
        # A request to a plain backend, or for a file, takes a second descriptor.
        two = core.names_backends or self.serves_files
        self._most = connection_limit(options.http_max_connections, 2 if two else 1)
        self.crowd = Crowd(settings.edge.http_client_connections or max(self._most // 4, 1))

    async def serve(
        self, nursery: trio.Nursery, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept on every http listener until cancelled."""
        self.nursery = nursery
        edge = self.edge
        self.spools = Spools(edge.http_response_buffer, edge.http_response_buffers, nursery)
        self._tick()
        settings = self._start.settings
        if self._functions is not None:
            # Here, because most gateways have no rules, and need none of all that.
            from uwgate.gateways.routed.policy import make_policy

            self.policy = make_policy(
                self._start,
                self.router,
                self.library,
                self._functions,
                self.counters,
                nursery,
                self._places,
                metrics=self.metrics,
                request_log=self.request_log,
            )
        slots = settings.workers.processes * settings.workers.threads
        address = self._start.lease_address
        if address is not None and slots and not settings.http_corerouter.names_backends:
            self.leases = LeasePool(
                address, slots, self.options.http_buffer_size, self.lane, nursery
            )
        nursery.start_soon(self.lane.run)
        nursery.start_soon(self._clock)
        if self._brought is not None:
            nursery.start_soon(self._brought.run)
        self._doors = [
            Door(self, listener, self._gate(listener).receive)
            for listener in self._start.listeners
            if listener.role in ROLES
        ]
        task_status.started()
        try:
            await nursery.start(self.router.run)
            self._open_or_close()
            await trio.sleep_forever()
        finally:
            for door in self._doors:
                door.close()

    def _gate(self, listener: Listener) -> Gate:
        port = listener.name.rpartition(":")[2] if ":" in listener.name else ""
        block = cgi.pack((("SERVER_PORT", port.encode()), ("UWSGI_ROUTER", b"http")))
        return Gate(self, block, self._welcome(listener))

    def _welcome(self, listener: Listener) -> Welcome:
        """How clients of a listener are received."""
        if listener.role == "http-to-https":
            port = int(listener.endpoint) if listener.endpoint else None
            return lambda client, peer: RedirectSession(self, client, peer, port)
        if listener.role == "https":
            ring = self._ring
            assert ring is not None
            key = listener.endpoint
            return lambda client, peer: TlsSession(self, client, peer, ring.context(key))
        return lambda client, peer: Session(self, client, peer)

    def _open_or_close(self) -> None:
        """A cheap gateway accepts only while somebody serves something."""
        if self._draining:
            return
        for door in self._doors:
            if self.router.is_cheap:
                door.shut()
            else:
                door.open()

    def renew(self, name: str, material: bytes) -> None:
        """The certificates of ``name`` have changed: new handshakes get these."""
        if self._ring is not None:
            self._ring.take(name, material)

    def exchange(self, request: Request) -> Exchange:
        """An exchange for a request that does not take the lane."""
        if self.policy is not None:
            return self.policy.exchange(request, self.plain_exchange)
        return self.plain_exchange()

    def plain_exchange(self) -> Exchange:
        """The same without rules."""
        if self.leases is not None:
            return LeaseExchange(self.leases)
        return BackendExchange(self._backends)

    def admit(self, session: Session) -> None:
        """A new session."""
        self._sessions.add(session)
        self.crowd.enter(session.peer.group)
        if self._draining:
            session.deadline = min(session.deadline, self.now + self.idle_timeout)
        session.ready(0)

    def begin_http2(self, sock: Socket, peer: Peer, received: bytes = b"") -> None:
        """Speak HTTP/2 with a client from now on.

        ``sock`` is not in the lane; ``received`` is what has been read from it already.
        """
        connection = Connection(self, sock, peer, received)
        self._connections.add(connection)
        self.crowd.enter(peer.group)
        if self._draining:
            connection.drain(self.idle_timeout)  # it may ask once
        connection.ready(0)

    @property
    def is_draining(self) -> bool:
        """Nobody new comes in; who is here may end what he began."""
        return self._draining

    @property
    def is_full(self) -> bool:
        """No more connections may come in for now."""
        return self._count_sessions() >= self._most

    def _count_sessions(self) -> int:
        return len(self._sessions) + len(self._connections)

    def lifetime_end(self) -> float:
        """When a connection that begins now is to end; not all that began together at once."""
        lifetime = self.edge.http_connection_lifetime
        return self.now + lifetime * random.uniform(0.9, 1.1) if lifetime else math.inf

    def forget(self, session: Session) -> None:
        """A session has closed its connection, or handed it over."""
        self._sessions.discard(session)
        self.crowd.leave(session.peer.group)
        self._look_if_empty()

    def forget_http2(self, connection: Connection) -> None:
        """An HTTP/2 connection was closed."""
        self._connections.discard(connection)
        self.crowd.leave(connection.peer.group)
        self._look_if_empty()

    def _look_if_empty(self) -> None:
        if self._draining and not self._sessions and not self._connections:
            self._empty.set()

    def drain(self, idle: float) -> None:
        """Answer what runs, close what is idle within ``idle`` seconds."""
        # Before the count: what comes in from now on is the next gateway's.
        for door in self._doors:
            door.close()
        self._draining = True
        self.writer.keeps_alive = False
        self.idle_timeout = idle
        # When nobody comes after us, clients had better go and look for somebody else now. After
        # a reload they may stay until reload-mercy is over (service.py).
        self.closes_tunnels = not idle
        for session in list(self._sessions):
            if session.state in (State.PROXY, State.HANDSHAKE, State.IDLE):
                session.deadline = min(session.deadline, self.now + idle)
                if not idle:
                    session.expire()
            elif session.state is State.TUNNEL and self.closes_tunnels:
                session.expire()
        for connection in list(self._connections):
            connection.drain(idle)
        self._look_if_empty()

    async def drained(self) -> None:
        """Return when the last session has ended."""
        await self._empty.wait()
        await self.router.farewell()
        if self.leases is not None:
            self.leases.close()

    # Time

    async def _clock(self) -> None:
        """Keep the time, and end the sessions whose time is over."""
        latecomer = Latecomer(TICK)
        while True:
            self._tick()
            if not latecomer.is_late(self.now):
                self._look_at_all()
            await trio.sleep(TICK)

    def _look_at_all(self) -> None:
        waiting: dict[int, Session] = {}
        for session in list(self._sessions):
            if session.deadline <= self.now:
                session.expire()
            elif session.state is State.BACKEND and not session.in_task:
                session.watch()  # it takes so long that the client may leave meanwhile
            elif session.state is State.BACKEND:
                waiting[session.sock.fileno()] = session
        self._end_abandoned(waiting)
        for connection in list(self._connections):
            connection.tick()

    def _tick(self) -> None:
        self.now = trio.current_time()
        self.writer.tick()
        self.counters.tick(self.now)

    def _end_abandoned(self, waiting: dict[int, Session]) -> None:
        """Give up requests whose client has reset the connection while it waited.

        A client that only has sent its end of file (half-close) still wants the answer.
        """
        if not waiting:
            return
        poll = select.poll()
        for fd in waiting:
            poll.register(fd, 0)  # errors and hang-ups are reported unasked
        for fd, _ in poll.poll(0):
            waiting[fd].gone = True
            waiting[fd].expire()


def main(fd: int) -> None:
    """Be an HTTP gateway; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    core = start.settings.http_corerouter
    service.run("http", start, HttpGateway, core.uid, core.gid)


if __name__ == "__main__":
    main(int(sys.argv[1]))
