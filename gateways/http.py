"""The HTTP gateway: HTTP/1 from clients, uwsgi to our own workers or to other backends."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import select
import socket
import sys
from collections.abc import Callable

import trio

from uwgate.conf.address import parse_backend
from uwgate.conf.errors import ConfigError
from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.backends import UwsgiBackends
from uwgate.gateways.exchange import Exchange
from uwgate.gateways.lane import Lane
from uwgate.gateways.lease_exchange import LeaseExchange
from uwgate.gateways.leases import LeasePool
from uwgate.gateways.redirect import RedirectSession
from uwgate.gateways.requests import RequestReader
from uwgate.gateways.responses import ResponseWriter
from uwgate.gateways.session import Session
from uwgate.gateways.states import State
from uwgate.gateways.tls.connection import TlsSocket
from uwgate.gateways.tls.material import Material
from uwgate.gateways.tls.ring import Ring
from uwgate.gateways.tls.session import TlsSession
from uwgate.gateways.wire import cgi

log = logging.getLogger("uwgate.http")

# Two variables whose values are shorter than 256 bytes.
_PEER = b"\x0b\0REMOTE_ADDR%b\0%b\x0b\0REMOTE_PORT%b\0%b"
TICK = 0.5  # seconds between two looks at the sessions' deadlines
RESERVED_DESCRIPTORS = 64  # for everything that is not a client
ROLES = ("http", "https", "http-to-https")
ACCEPT_BURST = 32  # connections taken before others get their turn
EXHAUSTED_PAUSE = 0.1  # seconds without accepting when descriptors or memory have run out

Welcome = Callable[[socket.socket, bytes], Session]  # a client and its packed variables


class HttpGateway:
    """One HTTP gateway process.

    ``ring`` holds the certificates; None where nothing speaks TLS. Sessions use its
    attributes: ``options``, ``https`` (options), ``reader`` and ``writer``, the ``lane``,
    ``leases`` (None with ``http-to`` or without workers), the ``nursery`` of their tasks,
    ``now`` (trio's clock, at most ``TICK`` old), ``idle_timeout`` (seconds) and
    ``failed_handshakes`` (a count).
    """

    nursery: trio.Nursery

    def __init__(self, start: Start, ring: Ring | None = None) -> None:
        settings = start.settings
        self.options = options = settings.http
        self.https = settings.https
        self.failed_handshakes = 0
        self._ring = ring
        self.reader = RequestReader(options, settings.workers.limit_post)
        self.writer = ResponseWriter(options)
        self.lane = Lane()
        self.leases: LeasePool | None = None
        self.idle_timeout = options.http_keepalive
        self.now = 0.0
        self._start = start
        self._draining = False
        self._sessions: set[Session] = set()
        self._empty = trio.Event()  # draining, and the last session has ended
        self._doors: list[Door] = []
        self._backends = UwsgiBackends(
            [parse_backend(text) for text in options.http_to],
            options,
            settings.workers.limit_post,
        )
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # A request to a plain backend takes a second descriptor.
        possible = (soft - RESERVED_DESCRIPTORS) // (2 if options.http_to else 1)
        self._most = min(options.http_max_connections or possible, possible)

    async def serve(self, nursery: trio.Nursery) -> None:
        """Accept on every http listener until cancelled."""
        self.nursery = nursery
        self._tick()
        settings = self._start.settings
        slots = settings.workers.processes * settings.workers.threads
        if self._start.lease_address is not None and slots and not self.options.http_to:
            self.leases = LeasePool(
                self._start.lease_address, slots, self.options.http_buffer_size, self.lane, nursery
            )
        nursery.start_soon(self.lane.run)
        nursery.start_soon(self._clock)
        self._doors = [
            Door(self, listener, self._welcome(listener))
            for listener in self._start.listeners
            if listener.role in ROLES
        ]
        try:
            for door in self._doors:
                door.open()
            await trio.sleep_forever()
        finally:
            for door in self._doors:
                door.close()

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

    def begin_http2(self, sock: TlsSocket, peer: bytes, received: bytes) -> None:
        """Serve HTTP/2 on a connection that has agreed on it (ALPN, RFC 9113 section 3.2).

        ``peer`` holds its packed variables, ``received`` what was read of it already.
        """
        sock.close()

    def renew(self, name: str, material: bytes) -> None:
        """The certificates of ``name`` have changed: new handshakes get these."""
        try:
            if self._ring is not None:
                self._ring.renew(name, Material.from_bytes(material))
        except ConfigError as error:
            log.error("%s: %s; what was served before stays", name, error)

    def exchange(self) -> Exchange:
        """An exchange for a request that does not take the lane."""
        if self.leases is not None:
            return LeaseExchange(self.leases)
        return self._backends.exchange()

    def admit(self, session: Session) -> None:
        """A new session."""
        self._sessions.add(session)
        session.ready(0)

    @property
    def is_draining(self) -> bool:
        """Nobody new comes in; who is here may end what he began."""
        return self._draining

    @property
    def is_full(self) -> bool:
        """No more connections may come in for now."""
        return len(self._sessions) >= self._most

    def forget(self, session: Session) -> None:
        """A session has closed its connection."""
        self._sessions.discard(session)
        if self._draining and not self._sessions:
            self._empty.set()

    def drain(self, idle: float) -> None:
        """Answer what runs, close what is idle within ``idle`` seconds."""
        # Before the count: what comes in from now on is the next gateway's.
        for door in self._doors:
            door.close()
        self._draining = True
        self.writer.keeps_alive = False
        self.idle_timeout = idle
        for session in list(self._sessions):
            if session.state in (State.IDLE, State.HANDSHAKE):
                session.deadline = min(session.deadline, self.now + idle)
                if not idle:
                    session.expire()
        if not self._sessions:
            self._empty.set()

    async def drained(self) -> None:
        """Return when the last session has ended."""
        await self._empty.wait()
        if self.leases is not None:
            self.leases.close()

    # Time

    async def _clock(self) -> None:
        """Keep the time, and end the sessions whose time is over."""
        while True:
            self._tick()
            waiting: dict[int, Session] = {}
            for session in list(self._sessions):
                if session.deadline <= self.now:
                    session.expire()
                elif session.state is State.BACKEND and not session.in_task:
                    session.watch()  # it takes so long that the client may leave meanwhile
                elif session.state is State.BACKEND:
                    waiting[session.sock.fileno()] = session
            self._end_abandoned(waiting)
            await trio.sleep(TICK)

    def _tick(self) -> None:
        self.now = trio.current_time()
        self.writer.tick()

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


class Door:
    """A listening socket, in the lane."""

    def __init__(self, gateway: HttpGateway, listener: Listener, welcome: Welcome) -> None:
        self._gateway = gateway
        self._welcome = welcome
        self._name = listener.name
        self._sock = socket.socket(fileno=os.dup(listener.fd))
        self._full = False
        port = listener.name.rpartition(":")[2] if ":" in listener.name else ""
        self._block = cgi.pack((("SERVER_PORT", port.encode()), ("UWSGI_ROUTER", b"http")))
        with contextlib.suppress(OSError):  # a UNIX socket has no such option
            # Accepted sockets inherit it.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def open(self) -> None:
        """Accept from now on."""
        self._gateway.lane.add(self._sock.fileno(), self, level=True)

    def close(self) -> None:
        """Accept no more."""
        if self._sock.fileno() >= 0:
            self._gateway.lane.remove(self._sock.fileno())
            self._sock.close()

    def ready(self, mask: int) -> None:
        gateway = self._gateway
        for _ in range(ACCEPT_BURST):
            if gateway.is_full:
                if not self._full:
                    log.error("%s: connection limit reached, others have to wait", self._name)
                self._full = True
                self._pause()
                return
            self._full = False
            try:
                client, address = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.error("%s: cannot accept: %s", self._name, error.strerror)
                    self._pause()
                    return
                continue  # that client is gone already (accept(2), "Error handling")
            client.setblocking(False)
            host, port = peer_of(address)
            peer = self._block + _PEER % (bytes((len(host),)), host, bytes((len(port),)), port)
            gateway.admit(self._welcome(client, peer))

    def _pause(self) -> None:
        self._gateway.lane.remove(self._sock.fileno())
        self._gateway.nursery.start_soon(self._reopen)

    async def _reopen(self) -> None:
        await trio.sleep(EXHAUSTED_PAUSE)
        if self._sock.fileno() >= 0:
            self.open()


def peer_of(address: object) -> tuple[bytes, bytes]:
    """Address and port of a client as the variables have them (spec/uwsgi-protocol.md 9.2)."""
    if not isinstance(address, tuple):
        return b"0.0.0.0", b"0"  # a UNIX socket's client has no address
    host = address[0].encode()
    if b"." in host:
        host = host.removeprefix(b"::ffff:")
    return host, b"%d" % address[1]


def main(fd: int) -> None:
    """Be an HTTP gateway; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    options = start.settings.http
    service.run("http", start, HttpGateway, options.http_uid, options.http_gid)


if __name__ == "__main__":
    main(int(sys.argv[1]))
