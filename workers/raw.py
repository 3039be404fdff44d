"""Workers' own sockets: responses as HTTP text, and requests as uwsgi packets."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from uwgate.gateways.wire.uwsgi import HEADER, PONG, PacketError
from uwgate.workers import rpc, rpc_server
from uwgate.workers.body import EMPTY, Body, LengthBody
from uwgate.workers.connection import RECEIVE_SIZE, Connection
from uwgate.workers.environ import decode_variables, leading_number, scheme_of
from uwgate.workers.foreign import FORBIDDEN, SERVED, adopt, check_size, is_forbidden, protocol_of
from uwgate.workers.log import say

if TYPE_CHECKING:
    from uwgate.workers.slot import Slot

CACHE = 111  # modifier1
UNREAD_LIMIT = 65536  # bytes of an unread body that are read before the connection is closed
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset
_date = (0, b"")


def date_line() -> bytes:
    """A Date header line for now."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = now, b"Date: %b\r\n" % formatdate(now, usegmt=True).encode()
    return _date[1]


class RawConnection(Connection):
    """A client, or a front-end such as nginx, that reads an HTTP response as text."""

    __slots__ = ("_body", "_protocol", "_slot", "deadline", "has_chunks")

    def __init__(self, sock: socket.socket, slot: Slot, timeout: float | None) -> None:
        super().__init__(sock, timeout)
        self._slot = slot
        self._body: Body = EMPTY
        self._protocol = b"HTTP/1.0"
        self.deadline: float | None = None
        # Chunks that only uwsgi.chunked_read() reads: a front-end has passed them on as they were.
        self.has_chunks = False

    def begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        text = b"%b %b%b\r\n" % (self._protocol, head, self._connection_lines(flags, last))
        self.send_parts(text, body)

    def send_body(self, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        if body:
            self.send(body)

    def begin_bare(self, body: bytes, last: bool) -> None:
        """See ``rules.outlet.Way``."""
        self.close_behind()
        if body:
            self.send(body)

    def hang_up(self) -> None:
        """See ``rules.outlet.Way``."""
        self.close_behind()

    def close_behind(self) -> None:
        """See ``rules.outlet.Way``: there is one response on a connection."""

    def may_tunnel(self) -> bool:
        """See ``websocket.Carrier``: a front-end that does not want one does not ask."""
        return True

    def open_tunnel(self, head: bytes) -> None:
        """See ``websocket.Carrier``."""
        lines = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        self.send(b"%b %b%b\r\n" % (self._protocol, head, lines))

    def abort(self) -> None:
        """See ``wsgi.Output``: the connection is reset.

        Its orderly end is how a client knows that a response without a length is complete.
        """
        self.broken = True
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def goodbye(self) -> None:
        """Leave while idle."""
        self.close()

    def leave(self) -> None:
        """Close so that the client gets all of the response: unread bytes would reset it."""
        if not self.broken:
            if not self._body.done:
                self._body.settle(UNREAD_LIMIT)
            try:
                self.sock.shutdown(socket.SHUT_WR)
                if not self._body.done or self.has_chunks:
                    self.sock.recv(RECEIVE_SIZE)
            except OSError:
                pass
        self.close()

    def _connection_lines(self, flags: int, last: bool) -> bytes:
        return b""


class UwsgiConnection(RawConnection):
    """One uwsgi packet, one response, end (spec/workers.md section 15.1)."""

    __slots__ = ()

    def serve(self) -> bool:
        """Serve the packet; returns False: the connection is to be closed.

        Raises:
            OSError, PacketError: nobody to answer, or nothing to be answered.
        """
        worker = self._slot.worker
        options = worker.settings.workers
        data = self._receive_until(self.buffer, HEADER.size)
        modifier1, size, modifier2 = HEADER.unpack_from(data)
        if modifier1 == 100:
            self.send(PONG)
            return False
        if modifier1 == CACHE and worker.caches is not None:
            self._serve_cache(data, size, modifier2)
            return False
        if modifier1 == rpc.MODIFIER and modifier2 in rpc_server.SERVED:
            self._serve_call(data, size, modifier2)
            return False
        if modifier1 not in SERVED:
            say(f"-- unavailable modifier requested: {modifier1} --")
            return False
        check_size(size, options)
        data = self._receive_until(data, HEADER.size + size)
        end = HEADER.size + size
        environ = decode_variables(data[HEADER.size : end], options.max_vars)
        self.buffer = data[end:]
        self._protocol = protocol_of(environ)
        adopt(environ, modifier1)
        length = leading_number(environ.get("CONTENT_LENGTH", ""))
        self._body = LengthBody(self, length) if length else EMPTY
        self.has_chunks = not length and environ.get("HTTP_TRANSFER_ENCODING") == "chunked"
        if is_forbidden(environ, worker):
            self.begin(*FORBIDDEN, True)
            return False
        scheme = scheme_of(environ, trust_forwarded=True)
        self._slot.respond(self, environ, self._body, scheme, size)
        return False

    def _serve_cache(self, data: bytes, size: int, modifier2: int) -> None:
        """A command of another instance, or of a web server, to our caches."""
        caches = self._slot.worker.caches
        assert caches is not None
        end = HEADER.size + size
        data = self._receive_until(data, end)
        self.buffer = data[end:]
        for piece in caches.answer(modifier2, data[HEADER.size : end], self._receive_value):
            self.send(piece)

    def _serve_call(self, data: bytes, size: int, modifier2: int) -> None:
        """A call of a function that the application has registered."""
        worker = self._slot.worker
        check_size(size, worker.settings.workers)
        end = HEADER.size + size
        block = self._receive_until(data, end)[HEADER.size : end]
        worker.count(self._slot.core)
        functions = worker.api.functions
        if modifier2 == rpc_server.WEB:
            environ = decode_variables(block, worker.settings.workers.max_vars)
            self._protocol = protocol_of(environ)
            head, flags, body = rpc_server.answer_web(functions, environ)
            is_head = environ.get("REQUEST_METHOD") == "HEAD"
            self.begin(head, flags, b"" if is_head else body, True)
        elif result := rpc_server.answer(functions, block, modifier2):
            self.send(result)

    def _receive_value(self, size: int) -> bytes:
        parts, left = [self.buffer[:size]], size - len(self.buffer)
        while left > 0:
            parts.append(self.receive())
            if not parts[-1]:
                raise PacketError("value cut short")
            left -= len(parts[-1])
        return b"".join(parts)[:size]

    def _receive_until(self, data: bytes, size: int) -> bytes:
        while len(data) < size:
            more = self.receive()
            if not more:
                if not data:
                    raise ConnectionResetError("closed before a request")
                raise PacketError("request packet cut short")
            data += more
        return data
