"""Workers' own HTTP sockets: ``http-socket`` and ``http11-socket``."""

from __future__ import annotations

import http
import select
import socket
import time
from typing import TYPE_CHECKING

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire.cgi import AUTHORITY, split_target
from uwgate.gateways.wire.chunked import LAST_CHUNK, encode_chunk
from uwgate.gateways.wire.http1 import Framing, find_end, without_empty_lines
from uwgate.gateways.wire.lease import DATE, LENGTH, NO_BODY
from uwgate.gateways.wire.proxy_protocol import ProxyError
from uwgate.workers.body import EMPTY, ChunkedBody, LengthBody
from uwgate.workers.environ import Environ, block_size
from uwgate.workers.log import say
from uwgate.workers.proxies import Client
from uwgate.workers.raw import UNREAD_LIMIT, RawConnection, date_line
from uwgate.workers.requests import RequestHead
from uwgate.workers.turns import PATIENCE

if TYPE_CHECKING:
    from uwgate.workers.slot import Slot

NEXT_PAUSE = 0.005  # seconds that a client gets for its next request before others take its place
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpConnection(RawConnection):
    """A client that speaks HTTP with us; ``keep`` allows more than one request."""

    __slots__ = (
        "_chunked",
        "_client",
        "_close",
        "_keep",
        "_may_tunnel",
        "_minor",
        "_name",
        "_pause_ends",
        "_peer",
        "_turn_ends",
        "wants_connection",
    )

    def __init__(
        self,
        sock: socket.socket,
        slot: Slot,
        timeout: float | None,
        *,
        name: str,
        peer: object,
        keep: bool,
    ) -> None:
        super().__init__(sock, slot, timeout)
        self._name = name
        self._peer = peer
        self._client: Client | None = None  # not before its first bytes are read
        self._keep = keep
        self._close = False
        self._chunked = False
        self._minor = 1
        self._may_tunnel = False
        self.wants_connection = False  # the request is CONNECT, and a rule may give one
        self._pause_ends = 0.0
        self._turn_ends = slot.turns.begin(time.monotonic())

    def serve(self) -> bool:
        """Serve one request; returns whether the connection goes on.

        Raises:
            OSError: the client broke off.
        """
        self._close = True
        self._chunked = False
        self._body = EMPTY
        self._protocol = b"HTTP/1.1"
        self._minor = 1
        if self._client is None:
            try:
                self._client = self._meet()
            except ProxyError as error:
                say(f"connection closed: {error}")
                return False
        try:
            head = self._receive_head()
            if head is None:
                return False
            environ = self._environ(head, self._client)
        except ClientError as error:
            self._refuse(error)
            return False
        worker = self._slot.worker
        self._minor = head.minor
        self._protocol = b"HTTP/1.%d" % head.minor
        meaning = head.meaning
        self._close = not (self._keep and meaning.framing.keep_alive) or self.wants_connection
        self._may_tunnel = meaning.wants_websocket
        self._open_body(meaning.framing, worker.settings.workers.limit_post)
        size = block_size(environ)[1] if worker.log_wanted else 0
        scheme = (meaning.scheme if self._client.is_trusted else None) or "http"
        response = self._slot.respond(self, environ, self._body, scheme, size)
        if response.failed or self._close or worker.ending:
            return False
        if not (self._body.done or self._body.settle(UNREAD_LIMIT)):
            return False
        now = time.monotonic()
        if self.timeout is not None:
            self.deadline = now + self.timeout
        self._pause_ends = now + (PATIENCE if now < self._turn_ends else NEXT_PAUSE)
        return True

    def may_tunnel(self) -> bool:
        """See ``websocket.Carrier``."""
        return self._may_tunnel

    def say_connected(self) -> None:
        """Answer CONNECT: what follows is between the client and whoever it wanted.

        Raises:
            OSError: the client is gone.
        """
        self.send(b"%b 200 Connection established\r\n\r\n" % self._protocol)

    def open_tunnel(self, head: bytes) -> None:
        """See ``websocket.Carrier``."""
        self._close = True
        super().open_tunnel(head)

    def close_behind(self) -> None:
        """See ``rules.outlet.Way``."""
        self._close = True

    def brings_more(self) -> bool:
        """Whether something comes, a request perhaps, of a client that goes on at once.

        Waits for it until some time after the last answer: ``NEXT_PAUSE``, in a turn more.
        """
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        pause = max(0.0, self._pause_ends - time.monotonic())
        brings = bool(poll.poll(pause * 1000))
        if pause and not brings:
            self._slot.turns.wasted()
        return brings

    @property
    def _has_turn(self) -> bool:
        """Whether others have to wait, if it goes on at once."""
        return time.monotonic() < self._turn_ends

    def close_behind_turn(self) -> None:
        """Others wait: if its turn is over, the next request is the last one here."""
        if self._has_turn:
            self._slot.turns.used()
        else:
            self._keep = False

    def send_body(self, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        if self._chunked:
            self.send((encode_chunk(body) if body else b"") + (LAST_CHUNK if last else b""))
        elif body:
            self.send(body)

    def begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        self._body.forget_continue()
        if not self._close and not self._has_turn and self._slot.is_awaited():
            self._close = True  # said now, no client sends a request that nobody would read
        lines = b"" if flags & DATE else date_line()
        if not flags & (LENGTH | NO_BODY):
            if self._minor and not self._close:
                self._chunked = True
                lines += b"Transfer-Encoding: chunked\r\n"
            else:
                self._close = True
        if self._slot.worker.ending:
            self._close = True
        if self._close:
            lines += b"Connection: close\r\n"
        elif not self._minor:
            lines += b"Connection: keep-alive\r\n"
        text = b"%b %b%b\r\n" % (self._protocol, head, lines)
        if self._chunked:
            if body:
                body = encode_chunk(body)
            if last:
                body += LAST_CHUNK
        self.send_parts(text, body)

    def send_file(self, file: int, offset: int, count: int) -> int:
        """See ``wsgi.Output``."""
        if not self._chunked:
            return super().send_file(file, offset, count)
        self.send(b"%X\r\n" % count)
        sent = super().send_file(file, offset, count)
        if sent < count:
            self._close = True
        else:
            self.send(b"\r\n")
        return sent

    def abort(self) -> None:
        """See ``wsgi.Output``: chunks that are not ended tell by themselves."""
        self._close = True
        if not self._chunked:
            super().abort()

    def _receive_head(self) -> RequestHead | None:
        """The next head, None at an orderly end before one.

        Raises:
            ClientError: there is none that can be accepted.
        """
        worker = self._slot.worker
        limits = worker.heads.limits
        total = worker.settings.http.http_headers_timeout
        deadline = time.monotonic() + total if total else None
        data = without_empty_lines(self.buffer)
        while (end := find_end(data, limits)) < 0:
            if deadline is not None and time.monotonic() > deadline:
                raise ClientError(408, f"no whole request head within {total:g} s")
            try:
                more = self.receive()
            except TimeoutError as error:
                if not data:
                    return None
                raise ClientError(408, "request head stalled") from error
            if not more:
                if data:
                    raise ClientError(400, "request head cut short")
                return None
            data = without_empty_lines(data + more)
        self.buffer = data[end:]
        return worker.heads.read(data[:end])

    def _meet(self) -> Client:
        """Who asks on this connection.

        Raises:
            ProxyError: a proxy has to say so, and does not.
            OSError: the connection broke.
        """
        worker = self._slot.worker
        client = worker.proxies.client_of(self._peer)
        if worker.proxies.must_introduce(client):
            limit = worker.settings.http.http_headers_timeout
            client = worker.proxies.introduced(client, self, limit)
        return client

    def _environ(self, head: RequestHead, client: Client) -> Environ:
        path, query, host = self._target(head)
        name, port = self._slot.worker.hostname, "80"
        if not self._name.startswith(("/", "@")) and ":" in self._name:
            port = self._name.rpartition(":")[2]
        environ: Environ = {
            "REQUEST_METHOD": head.method.decode("latin-1"),
            "REQUEST_URI": head.target.decode("latin-1"),
            "PATH_INFO": path.decode("latin-1"),
            "QUERY_STRING": query.decode("latin-1"),
            "SERVER_PROTOCOL": f"HTTP/1.{head.minor}",
            "SCRIPT_NAME": "",
            "SERVER_NAME": name,
            "SERVER_PORT": port,
            "REMOTE_ADDR": client.address,
            "REMOTE_PORT": client.port,
        }
        if client.server is not None:
            environ["SERVER_ADDR"], environ["SERVER_PORT"] = client.server[0], str(client.server[1])
        environ.update(head.meaning.variables)
        if client.is_trusted:
            environ.update(head.meaning.claims)
        if host is not None:
            environ["HTTP_HOST"] = host.decode("latin-1")
        return environ

    def _target(self, head: RequestHead) -> tuple[bytes, bytes, bytes | None]:
        """See ``split_target``. Of CONNECT the path is host and port, as in uWSGI.

        Raises:
            ClientError: it is malformed, or no rule knows what to do with CONNECT.
        """
        policy = self._slot.worker.policy
        self.wants_connection = head.method == b"CONNECT" and policy is not None and policy.connects
        if not self.wants_connection:
            return split_target(head.method, head.target)
        if AUTHORITY.fullmatch(head.target) is None:
            raise ClientError(400, "the target of CONNECT is no host and port")
        if head.meaning.framing.length != 0:  # RFC 9110 section 9.3.6
            raise ClientError(400, "CONNECT has a body")
        return head.target, b"", None

    def _open_body(self, framing: Framing, limit: int) -> None:
        announce = CONTINUE if framing.expects_continue else b""
        if framing.length is None:
            self._body = ChunkedBody(self, limit, announce)
        elif framing.length:
            self._body = LengthBody(self, framing.length, announce)
        else:
            self._body = EMPTY

    def _refuse(self, error: ClientError) -> None:
        try:
            phrase = http.HTTPStatus(error.status).phrase
        except ValueError:
            phrase = "Error"
        page = f"{error.status} {phrase}: {error}\n".encode("latin-1", "replace")
        head = (
            f"{error.status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(page)}\r\n"
        )
        self._slot.worker.access_log.refused(self._peer, error.status, str(error))
        self.begin(head.encode("latin-1"), LENGTH, page, True)
