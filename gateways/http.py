"""The HTTP gateway: HTTP/1 from clients, uwsgi to our own workers or to other backends."""

from __future__ import annotations

import resource
import select
import socket
import sys
import time
from email.utils import formatdate

import trio

from uwgate.conf.address import parse_backend
from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.backends import UwsgiBackends
from uwgate.gateways.exchange import Backend
from uwgate.gateways.leases import LeasePool
from uwgate.gateways.pool import WorkerPool
from uwgate.gateways.session import Session, State
from uwgate.gateways.wire import cgi, http1

TICK = 0.5  # seconds between two looks at the sessions' deadlines
GONE_CHECK = 1.0  # seconds after which a waiting session's client is looked at
RESERVED_DESCRIPTORS = 64  # for everything that is not a client
BACKEND_DESCRIPTORS = 2  # a client and the backend connection that its request may need


class HttpGateway:
    """One HTTP gateway process.

    Sessions read what they need from its attributes: ``options``, ``limits``, ``backend``,
    ``now`` (trio's clock, at most ``TICK`` old), ``date_line``, ``draining``.
    """

    def __init__(self, start: Start) -> None:
        settings = start.settings
        self.options = options = settings.http
        self.limits = http1.Limits(
            head=options.http_head_limit,
            line=options.http_line_limit,
            headers=options.http_header_limit,
        )
        self.limit_post = settings.workers.limit_post
        self.keeps_alive = options.http_keepalive > 0
        self.idle_timeout = options.http_keepalive
        self.draining = False
        self.now = 0.0
        self.date_line = b""
        self.server_line = (
            f"Server: {options.http_server_header}\r\n".encode()
            if options.http_server_header
            else b""
        )
        self.extra_block = cgi.pack(
            (key, value.encode())
            for key, mark, value in (pair.partition("=") for pair in options.http_var)
            if mark
        )
        self.backend: Backend
        self._start = start
        self._sessions: set[Session] = set()
        self._empty = trio.Event()  # draining, and the last session has ended
        self._server_name = socket.gethostname().encode()
        self._name_block = cgi.pack((("SERVER_NAME", self._server_name),))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        each = BACKEND_DESCRIPTORS if options.http_to else 1
        possible = (soft - RESERVED_DESCRIPTORS) // each
        self._most = min(options.http_max_connections or possible, possible)

    async def serve(self, nursery: trio.Nursery) -> None:
        """Accept on every http listener until cancelled."""
        nursery.start_soon(self._clock)
        self._tick()
        self.backend = self._make_backend(nursery)
        async with trio.open_nursery() as accepting:
            for listener in self._start.listeners:
                if listener.role == "http":
                    accepting.start_soon(self._accept, listener, nursery)

    def _make_backend(self, nursery: trio.Nursery) -> Backend:
        settings = self._start.settings
        if self.options.http_to:
            return UwsgiBackends(
                [parse_backend(text) for text in self.options.http_to], self.options
            )
        slots = settings.workers.processes * settings.workers.threads
        if self._start.lease_address is None or not slots:
            return UwsgiBackends([], self.options)
        return WorkerPool(LeasePool(self._start.lease_address, slots, nursery))

    async def _accept(self, listener: Listener, nursery: trio.Nursery) -> None:
        sessions = self._sessions
        port = listener.name.rpartition(":")[2] if ":" in listener.name else ""
        listener_block = cgi.pack((("SERVER_PORT", port.encode()), ("UWSGI_ROUTER", b"http")))

        async def run(session: Session) -> None:
            sessions.add(session)
            try:
                await session.run()
            finally:
                sessions.discard(session)
                if self.draining and not sessions:
                    self._empty.set()

        def start_session(client: socket.socket, address: object) -> None:
            host, number = peer_of(address)
            peer = listener_block + cgi.pack(
                (("REMOTE_ADDR", host.encode()), ("REMOTE_PORT", number.encode()))
            )
            nursery.start_soon(run, Session(self, client, f"{host}:{number}", peer))

        await service.accept_connections(
            listener, start_session, lambda: len(sessions) < self._most
        )

    def block_for(self, fields: dict[bytes, bytes]) -> bytes:
        """The SERVER_NAME variable of a request."""
        if self.options.http_server_name_as_http_host:
            host = fields.get(b"HTTP_HOST")
            return cgi.pack((("SERVER_NAME", host),)) if host else b""
        return self._name_block

    def drain(self, idle: float) -> None:
        """Answer what runs, close what is idle within ``idle`` seconds."""
        self.draining = True
        self.idle_timeout = idle
        for session in self._sessions:
            if session.state is State.IDLE:
                session.deadline = min(session.deadline, self.now + idle)
                if not idle:
                    session.expire()

    async def drained(self) -> None:
        """Return when the last session has ended."""
        if self._sessions:
            await self._empty.wait()
        self.backend.close()

    # Time

    async def _clock(self) -> None:
        """Keep the time, and end the sessions whose time is over."""
        while True:
            self._tick()
            waiting: dict[int, Session] = {}
            for session in list(self._sessions):
                if session.deadline <= self.now:
                    session.expire()
                elif session.state is State.BACKEND:
                    waiting[session.sock.fileno()] = session
            self._end_abandoned(waiting)
            await trio.sleep(TICK)

    def _tick(self) -> None:
        self.now = trio.current_time()
        self.date_line = b"Date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()

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


def peer_of(address: object) -> tuple[str, str]:
    """Address and port of a client as the variables have them (spec/uwsgi-protocol.md 9.2)."""
    match address:
        case (str() as host, int() as port, *_):
            return host.removeprefix("::ffff:") if "." in host else host, str(port)
        case _:
            return "0.0.0.0", "0"  # a UNIX socket's client has no address


def main(fd: int) -> None:
    """Be an HTTP gateway; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    options = start.settings.http
    service.run("http", start, HttpGateway, options.http_uid, options.http_gid)


if __name__ == "__main__":
    main(int(sys.argv[1]))
