"""A slot: one thread of a worker that serves one connection at a time."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import threading
import time
from typing import TYPE_CHECKING

from uwgate.conf.access_log import Entry
from uwgate.conf.scheduling import prefer_throughput
from uwgate.gateways.wire.uwsgi import PacketError
from uwgate.workers.body import Body, BodyError, buffer_body
from uwgate.workers.environ import Environ
from uwgate.workers.http import HttpConnection
from uwgate.workers.leases import Lease, is_trusted
from uwgate.workers.log import say
from uwgate.workers.raw import UwsgiConnection
from uwgate.workers.scoreboard import AWAY, IDLE
from uwgate.workers.turns import Turns
from uwgate.workers.waiting import Waiting
from uwgate.workers.websocket import WebSocket
from uwgate.workers.wsgi import Response

if TYPE_CHECKING:
    from uwgate.workers.mounts import Mounted
    from uwgate.workers.rules.lookout import Lookout
    from uwgate.workers.rules.outlet import Way
    from uwgate.workers.rules.visit import Visit
    from uwgate.workers.worker import Listening, Worker

Session = Lease | UwsgiConnection | HttpConnection

ACCEPT_PAUSE = 0.1  # seconds; without descriptors accept() would fail in a busy loop
TURN_PAUSE = 0.001  # seconds that a lease in its turn gets to bring the next request
DECLINE_PAUSE = 0.02  # seconds that a free slot gets to take a connection before we do
current = threading.local()  # .slot: the slot whose thread this is


class Slot:
    """Waits on its kept connection and on every listener, and serves whichever is ready.

    ``environ`` and ``response`` are those of the request that runs, None between requests.
    """

    def __init__(self, worker: Worker, core: int) -> None:
        self.worker = worker
        self.core = core
        self.environ: Environ | None = None
        self.response: Response | None = None
        self.session: Session | None = None
        self.websocket: WebSocket | None = None  # that the running request has opened
        self.body: Body | None = None  # of the running request
        self.waiting = Waiting()
        self.turns = Turns()
        self.logvars: dict[str, bytes] = {}
        self.requests = 0
        self.began = 0.0
        self._place = worker.first_slot + core
        self._marks = worker.shared.scoreboard.marks
        self._epoll = select.epoll()
        self._listeners = {one.sock.fileno(): one for one in worker.listeners}
        self._lease_fds = [fd for fd, one in self._listeners.items() if one.role == "lease"]
        for fd, listener in self._listeners.items():
            if listener.role != "lease":
                # EPOLLEXCLUSIVE: a connection wakes one of the slots that wait, not all.
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._epoll.register(worker.stop_fd, select.EPOLLIN)
        self._pause = worker.shared.pause
        self._epoll.register(self._pause.begun, select.EPOLLIN)
        self._signals = worker.shared.signals.descriptors(worker.number)
        for fd in self._signals:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        if worker.life_fd >= 0:
            self._epoll.register(worker.life_fd, select.EPOLLIN)
        self._offer(free=True, again=False)
        self._marks[self._place] = IDLE

    def run(self) -> None:
        """Serve until the worker ends."""
        current.slot = self
        prefer_throughput()  # each thread for itself
        worker = self.worker
        poll = self._epoll.poll
        kept: Session | None = None  # idle, between two requests
        declined = False
        while not worker.ending:
            deadline = None if kept is None else kept.deadline
            if deadline is None:
                events = poll()
            else:
                events = poll(max(0.0, deadline - time.monotonic()))
                if not events and kept is not None:
                    self._drop(kept)
                    kept = None
                    self._offer(free=True)
                    continue
            accepted: Session | None = None
            ready = [fd for fd, _ in events]
            readable = kept is not None and kept.fd in ready
            goes_on = False
            if isinstance(kept, HttpConnection) and not self._listeners.keys().isdisjoint(ready):
                # Nobody sends a request again that has come here: it is served before somebody
                # else is let in.
                goes_on = readable or kept.brings_more()
                if goes_on:
                    readable = True
                    kept.close_behind_turn()
            pause = 0.0
            for fd in ready:
                listener = self._listeners.get(fd)
                if listener is not None:
                    if goes_on:
                        continue
                    if kept is not None and listener.role == "lease":
                        wait = self._may_wait(kept, readable=readable, declined=declined)
                        if wait is not None:
                            pause = max(pause, wait)
                            continue
                    if accepted is None:
                        accepted = self._accept(listener)
                elif fd in self._signals:
                    worker.shared.signals.take(fd)
                elif fd == worker.life_fd:
                    worker.end("the master is gone")
            declined = pause > 0 and not readable
            if accepted is not None:
                # Somebody else waits: an idle connection must not keep this slot from it.
                had = kept is not None
                if kept is not None:
                    self._epoll.unregister(kept.fd)
                    kept.goodbye()
                else:
                    worker.shared.set_free(self._place, False)
                kept = self._begin(accepted)
                if had != (kept is not None):
                    self._offer(free=had)
                elif kept is None:
                    worker.shared.set_free(self._place, True)
            elif kept is not None and readable:
                if not self._serve(kept):
                    self._drop(kept)
                    kept = None
                    self._offer(free=True)
            elif kept is not None and pause:
                _wait_briefly(kept.fd, pause)
            # Only now: whoever woke us in an accept queue has woken nobody else.
            if self._pause.begun in ready:
                if kept is not None:
                    self._epoll.unregister(kept.fd)
                    kept.goodbye()
                    kept = None
                self._rest()
        if kept is not None:
            kept.goodbye()
        worker.shared.leave(self._place)
        self._epoll.close()

    def _rest(self) -> None:
        """Accept nothing until the pause is over, or the worker ends."""
        worker = self.worker
        worker.shared.leave(self._place)
        for fd in self._listeners:
            self._epoll.unregister(fd)
        poll = select.poll()
        for fd in (self._pause.over, worker.stop_fd, worker.life_fd):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        poll.poll()
        for fd, listener in self._listeners.items():
            if listener.role != "lease":
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._offer(free=True, again=False)
        self._marks[self._place] = IDLE

    def is_awaited(self) -> bool:
        """Whether a connection waits in an accept queue, and no slot is free to take it."""
        waits = any(fd in self._listeners for fd, _ in self._epoll.poll(0))
        return waits and not self.worker.shared.any_free()

    def _may_wait(self, kept: Session, *, readable: bool, declined: bool) -> float | None:
        """Seconds that a gateway in the accept queue may wait; None if it is to be served now.

        ``declined``: it has waited once already.
        """
        if not declined and self.worker.shared.any_free():
            # A free slot is being woken for that connection; if it is too slow, we take it.
            return DECLINE_PAUSE
        in_turn = isinstance(kept, Lease) and time.monotonic() < kept.turn_ends
        return TURN_PAUSE if in_turn and (readable or not declined) else None

    def respond(
        self,
        output: Way,
        environ: Environ,
        body: Body,
        scheme: str,
        block_size: int,
        *,
        ruled: bool = True,
    ) -> Response:
        """Run one request; its response is over when this returns.

        ``ruled`` False: a gateway of ours has taken it through the rules already.
        """
        worker = self.worker
        self.requests += 1
        worker.count(self.core)
        head_only = environ["REQUEST_METHOD"] == "HEAD"
        self.environ = environ
        self.body = body
        self.began = time.time()
        start = time.perf_counter()
        visit: Visit | Lookout | None = None
        goes_on = True
        if worker.policy is None or not ruled:
            response = Response(output, head_only=head_only)
        else:
            visit = worker.policy.begin(self, output, environ, body)
            response = Response(visit, head_only=head_only)
            goes_on = visit.enter(response)
            scheme = visit.scheme or scheme
        self.response = response
        log = worker.access_log
        variables = environ.copy() if worker.log_wanted else environ
        environ.update(worker.constants)
        environ["wsgi.input"] = body
        environ["wsgi.url_scheme"] = scheme
        if worker.cores > 1:
            environ["uwsgi.core"] = self.core
        mounted = self._run(response, environ, body) if goes_on else None
        if self.websocket is not None:
            self.websocket.finish(failed=response.error is not None)
            response.sent = self.websocket.sent
            self.websocket = None
        if visit is not None:
            visit.leave(response)
        self.environ = None
        self.response = None
        self.body = None
        self.waiting.forget()
        if response.failed:
            worker.peer_gone(variables)
        said = response if visit is None else visit.said(response)
        if worker.log_wanted and said.logged:
            count, size = said.head_size
            log.log(
                Entry(
                    variables,
                    block_size,
                    self.began,
                    time.perf_counter() - start,
                    said.status,
                    said.sent,
                    count,
                    # uWSGI counts the protocol in front and the empty line behind.
                    size + len(variables.get("SERVER_PROTOCOL", "")) + 3,
                    said.sendfile,
                    response.failed,
                    -1 if mounted is None else mounted.number,
                    -1 if mounted is None else mounted.requests,
                    worker.total_requests(),
                    self.core,
                    self.logvars,
                )
            )
        if self.logvars:
            self.logvars = {}
        worker.after_request(response)
        return response

    def _run(self, response: Response, environ: Environ, body: Body) -> Mounted | None:
        worker = self.worker
        options = worker.settings.workers
        response.quiet_writes = options.disable_write_exception
        response.show_errors = worker.settings.application.catch_exceptions
        application = None
        mounted = None
        if worker.dynamic is not None:
            application = worker.dynamic.find(environ)
        if application is None:
            mounted = worker.mounts.find(environ)
            if mounted is None:
                say("--- no python application found, check your startup logs for errors ---")
                response.fail_with(500)
                return None
            mounted.requests += 1
            application = mounted.call
        if body.done:
            response.run(application, environ)
            return mounted
        limit = options.limit_post
        if limit and body.length > limit:
            say(f"body of {body.length} bytes, limit-post is {limit}")
            response.fail_with(413)
            return mounted
        if not options.post_buffering:
            response.run(application, environ)
            return mounted
        try:
            file, size = buffer_body(body, options.post_buffering, options.post_buffering_bufsize)
        except BodyError as error:
            say(f"{environ.get('REMOTE_ADDR', '')} {environ.get('REQUEST_URI', '')}: {error}")
            response.fail_with(error.status)
            return mounted
        with file:
            environ["wsgi.input"] = file
            environ["CONTENT_LENGTH"] = str(size)
            # Bottle, for one, would look for chunks in what is decoded already.
            environ.pop("HTTP_TRANSFER_ENCODING", None)
            response.run(application, environ)
        return mounted

    def _offer(self, *, free: bool, again: bool = True) -> None:
        """Say whether this slot is free for any lease, or would have to give one up for it.

        Without EPOLLEXCLUSIVE every new lease wakes all free slots, and of those that hold a
        lease only one, which then lets the free ones go first.
        """
        self.worker.shared.set_free(self._place, free)
        for fd in self._lease_fds:
            if again:
                self._epoll.unregister(fd)
            events = select.EPOLLIN if free else select.EPOLLIN | select.EPOLLEXCLUSIVE
            self._epoll.register(fd, events)

    def _accept(self, listener: Listening) -> Session | None:
        try:
            sock, peer = listener.sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None  # another slot was faster, or the client left
        except OSError as error:
            if error.errno == errno.EINVAL:  # it has left its group (src/uwgate/parting.py)
                self._epoll.unregister(listener.sock)
                del self._listeners[listener.sock.fileno()]
                return None
            say(f"accept on {listener.name}: {error.strerror}")
            time.sleep(ACCEPT_PAUSE)
            return None
        try:
            return self._session(listener, sock, peer)
        except OSError:  # gone already
            sock.close()
            return None

    def _session(self, listener: Listening, sock: socket.socket, peer: object) -> Session | None:
        worker = self.worker
        if listener.role == "lease":
            trusted, uid = is_trusted(sock, worker.trusted_users)
            if not trusted:
                say(f"lease refused: the peer runs as user {uid}")
                sock.close()
                return None
            return Lease(sock, self, worker.lease_timeout)
        if listener.is_tcp:
            sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, worker.settings.sockets.tcp_nodelay
            )
        timeout = worker.settings.workers.socket_timeout or None
        if listener.role == "uwsgi":
            return UwsgiConnection(sock, self, timeout)
        keep = listener.role == "http11-socket"
        return HttpConnection(sock, self, timeout, name=listener.name, peer=peer, keep=keep)

    def _begin(self, session: Session) -> Session | None:
        """Serve a new connection; returns it if it is kept, registered."""
        if not isinstance(session, Lease) and not self._serve(session):
            self._drop(session, registered=False)
            return None
        self._epoll.register(session.fd, select.EPOLLIN)
        return session

    def _serve(self, session: Session) -> bool:
        self.session = session
        self._marks[self._place] = AWAY
        try:
            keep = session.serve()
            # Bytes that have been received cannot wake the poll.
            while keep and session.buffer and not self.worker.ending:
                keep = session.serve()
            return keep
        except PacketError as error:
            say(f"connection closed: {error}")
        except OSError:
            pass  # the peer is gone
        finally:
            self._marks[self._place] = IDLE
            self.session = None
        return False

    def _drop(self, session: Session, *, registered: bool = True) -> None:
        if registered:
            # The application may have closed the descriptor.
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(session.fd)
        if isinstance(session, Lease):
            session.close()
        else:
            session.leave()


def _wait_briefly(fd: int, pause: float) -> None:
    """Wait for ``pause`` seconds, or until the connection has something to read."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll(pause * 1000)
