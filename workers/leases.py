"""The worker's side of a lease (uwgate.gateways.wire.lease)."""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import TYPE_CHECKING

from uwgate.gateways.wire.lease import (
    ABORTED,
    ACKNOWLEDGE,
    ATTACH,
    BODY_FRAMED,
    CONTINUE_FRAME,
    EXPECT,
    FOREIGN,
    FRAME,
    GOODBYE,
    GOODBYE_FRAME,
    HANDED_OVER,
    HEAD,
    HELLO_FRAME,
    LAST,
    MAX_CHUNK,
    MAX_QUEUED,
    MAX_WHOLE,
    MAY_TAKE,
    MAY_TUNNEL,
    NUMBER,
    QUEUE,
    TAKEN_FRAME,
    TUNNEL,
)
from uwgate.gateways.wire.uwsgi import HEADER, PacketError
from uwgate.workers.body import EMPTY, Body, FramedBody, LengthBody
from uwgate.workers.connection import RECEIVE_SIZE, Connection
from uwgate.workers.environ import Environ, decode_variables, leading_number, scheme_of
from uwgate.workers.foreign import (
    BAD_REQUEST,
    FORBIDDEN,
    SERVED,
    adopt,
    check_size,
    is_forbidden,
    protocol_of,
)
from uwgate.workers.log import say
from uwgate.workers.raw import UwsgiConnection

if TYPE_CHECKING:
    from uwgate.workers.slot import Slot

# Seconds for which a busy lease is kept although another gateway waits: changing over costs
# several requests' worth of time.
TURN = 0.1
BURST = 0.01  # seconds in which requests are taken from the queue before others get a look
SETTLE_LIMIT = 262144  # bytes of an unread body that are worth a kept lease
FILE_PIECE = 262144  # bytes of a file in one frame
MAX_VARIABLES = 65536  # our own gateway has limits of its own
_ATTACH = HEADER.pack(ATTACH, 0, 0)
_BODY_FLAGS = BODY_FRAMED | ACKNOWLEDGE | EXPECT
_MESSAGE_SIZE = NUMBER.size + MAX_QUEUED
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred


def is_trusted(sock: socket.socket, users: frozenset[int]) -> tuple[bool, int]:
    """Whether the peer of a UNIX socket runs as one of ``users``, and as whom it runs."""
    _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return uid in users, uid


class Lease(Connection):
    """A connection to a gateway: one request after the other, until one side leaves."""

    __slots__ = (
        "_body",
        "_burst_ends",
        "_fresh",
        "_handed_over",
        "_leave",
        "_may_take",
        "_may_tunnel",
        "_protocol",
        "_queue",
        "_slot",
        "_taken",
        "turn_ends",
    )

    deadline = None  # an idle lease waits for ever: an unused one costs nothing

    def __init__(self, sock: socket.socket, slot: Slot, timeout: float | None) -> None:
        super().__init__(sock, timeout)
        self._slot = slot
        self._body: Body = EMPTY
        self._leave = False
        self._fresh = True  # nothing has come yet
        self._queue: socket.socket | None = None
        self._may_take = False  # from the queue, when the running request is answered
        self._may_tunnel = False
        self._protocol = b""  # of a status line, where the head is to have one
        self._handed_over: UwsgiConnection | None = None  # what the lease has become
        self._taken = b""  # a request from the queue, to be run next
        self._burst_ends = 0.0
        self.turn_ends = time.monotonic() + TURN
        self.send(HELLO_FRAME)

    def goodbye(self) -> None:
        """Leave while idle: what the gateway may have sent was not and will not be run."""
        try:
            self.sock.send(GOODBYE_FRAME)
            self.sock.recv(RECEIVE_SIZE)
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        """Close the connection and the queue."""
        if self._handed_over is not None:
            self._handed_over.leave()
        super().close()
        if self._queue is not None:
            self._queue.close()

    def serve(self) -> bool:
        """Serve what has arrived; returns whether the lease goes on.

        Raises:
            OSError, PacketError: the gateway broke off, or broke the format.
        """
        if self._fresh:
            self._fresh = False
            data = self._receive_first()
            if data == _ATTACH:
                return True
            data = data.removeprefix(_ATTACH)
        else:
            data = self.receive()
        if not data:
            return False
        self._burst_ends = time.monotonic() + BURST
        goes_on = self._serve_packet(data)
        while self._taken:
            data, self._taken = self._taken, b""
            goes_on = self._serve_packet(data)
        return goes_on

    def _receive_first(self) -> bytes:
        """The first bytes of the gateway; the queue, if it shares one, comes with them."""
        data, descriptors, _, _ = socket.recv_fds(self.sock, RECEIVE_SIZE, 1)
        if descriptors:
            self._queue = socket.socket(fileno=descriptors[0])
            self._queue.setblocking(False)
        return data

    def _serve_packet(self, data: bytes) -> bool:
        while len(data) < 4:
            data += self._more()
        modifier1, size, flags = HEADER.unpack_from(data)
        is_foreign = bool(flags & FOREIGN)
        if modifier1 and (not is_foreign or modifier1 not in SERVED):
            raise PacketError(f"modifier1 {modifier1} on a lease")
        if flags & HANDED_OVER:
            self._hand_over(data)
            return False
        end = 4 + size
        while len(data) < end:
            data += self._more()
        self._leave = False
        self._may_take = bool(flags & MAY_TAKE) and self._queue is not None
        self._may_tunnel = bool(flags & MAY_TUNNEL)
        self._protocol = b""
        environ: Environ | None
        scheme: str | None
        if is_foreign:
            environ = self._read_foreign(data[4:end], modifier1)
            if environ is None:
                return False
        else:
            environ = decode_variables(data[4:end], MAX_VARIABLES)
        self.buffer = data[end:] if len(data) > end else b""
        length = environ.get("CONTENT_LENGTH")
        if flags & _BODY_FLAGS or length:
            self._body = self._body_of(flags, length)
        else:
            self._body = EMPTY
        if is_foreign:
            scheme = scheme_of(environ, trust_forwarded=True)
            if is_forbidden(environ, self._slot.worker):
                self.begin(*FORBIDDEN, True)
                return self._stays()
        else:
            scheme = environ.get("UWSGI_SCHEME")
            if scheme is None:
                scheme = scheme_of(environ, trust_forwarded=False) if "HTTPS" in environ else "http"
        response = self._slot.respond(self, environ, self._body, scheme, size, ruled=is_foreign)
        if response.failed:
            self._taken = b""  # the gateway is gone, and with it whoever asked
            return False
        return self._stays()

    def _stays(self) -> bool:
        """Whether the lease goes on behind a response.

        Raises:
            PacketError: the gateway did not wait for its end.
        """
        if self._leave:
            return False
        if self.buffer:
            raise PacketError("a request before the end of the last response")
        return True

    def _read_foreign(self, block: bytes, modifier1: int) -> Environ | None:
        """The variables of a web server; None: it is told that they are wrong, and we leave."""
        options = self._slot.worker.settings.workers
        try:
            check_size(len(block), options)
            environ = decode_variables(block, options.max_vars)
            self._protocol = protocol_of(environ)
            adopt(environ, modifier1)
        except PacketError as error:
            say(f"request refused: {error}")
            self._protocol = self._protocol or b"HTTP/1.0"
            self._leave = True
            head, flags, body = BAD_REQUEST
            self._send_head(head, flags | LAST | GOODBYE, body)
            return None
        return environ

    def _hand_over(self, data: bytes) -> None:
        """Serve a connection to a uwsgi socket from now on, which begins with ``data``."""
        slot = self._slot
        timeout = slot.worker.settings.workers.socket_timeout or None
        self._handed_over = slot.session = UwsgiConnection(self.sock, slot, timeout)
        self._handed_over.send(TAKEN_FRAME)
        self._handed_over.buffer = data
        self._handed_over.serve()

    def begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        if len(body) > MAX_CHUNK:
            self._send_head(head, flags, b"")
            self.send_body(body, last)
            return
        if last:
            flags |= self._last()
            if self._may_take and len(body) <= MAX_WHOLE and not flags & GOODBYE:
                self._send_and_take(flags | HEAD, self._text(head), body)
                return
        self._send_head(head, flags, body)

    def _send_head(self, head: bytes, flags: int, body: bytes) -> None:
        head = self._text(head)
        start = FRAME.pack(flags | HEAD, len(head), len(body)) + head
        if len(body) < RECEIVE_SIZE:
            self.send(start + body)
        else:
            self.send_parts(start, body)

    def _text(self, head: bytes) -> bytes:
        """The head as it goes into a frame."""
        return b"%b %b\r\n" % (self._protocol, head) if self._protocol else head

    def _send_and_take(self, flags: int, head: bytes, body: bytes) -> None:
        """Send a whole response; before, look whether another request waits in the queue."""
        number = b""
        if time.monotonic() < self._burst_ends:
            assert self._queue is not None
            try:
                message = self._queue.recv(_MESSAGE_SIZE)
            except BlockingIOError:
                pass
            else:
                if message:  # else the gateway is gone
                    flags |= QUEUE
                    number = message[: NUMBER.size]
                    self._taken = message[NUMBER.size :]
        self.send(b"%b%b%b%b" % (FRAME.pack(flags, len(head), len(body)), head, body, number))

    def may_tunnel(self) -> bool:
        """See ``websocket.Carrier``."""
        return self._may_tunnel

    def open_tunnel(self, head: bytes) -> None:
        """See ``websocket.Carrier``."""
        self._leave = True
        self.send(FRAME.pack(HEAD | TUNNEL, len(head), 0) + head)

    def send_body(self, body: bytes, last: bool) -> None:
        """Any amount of body, in frames of the allowed size."""
        for start in range(0, len(body), MAX_CHUNK):
            piece = body[start : start + MAX_CHUNK]
            flags = self._last() if last and start + MAX_CHUNK >= len(body) else 0
            self.send_parts(FRAME.pack(flags, 0, len(piece)), piece)
        if last and not body:
            self.send(FRAME.pack(self._last(), 0, 0))

    def begin_bare(self, body: bytes, last: bool) -> None:
        """See ``rules.outlet.Way``."""
        self.send(FRAME.pack(HEAD, 0, 0))
        self.send_body(body, last)

    def hang_up(self) -> None:
        """See ``rules.outlet.Way``."""
        self.abort()

    def close_behind(self) -> None:
        """See ``rules.outlet.Way``: whoever is in front of the gateway closes by itself."""

    def send_file(self, file: int, offset: int, count: int) -> int:
        """See ``wsgi.Output``: the file in frames, one in memory at a time."""
        left = count
        while left:
            piece = os.pread(file, min(left, FILE_PIECE), offset)
            if not piece:
                break
            self.send_parts(FRAME.pack(0, 0, len(piece)), piece)
            offset += len(piece)
            left -= len(piece)
        return count - left

    def abort(self) -> None:
        """See ``wsgi.Output``."""
        try:
            self.send(FRAME.pack(self._last() | ABORTED, 0, 0))
        except OSError:
            self._leave = True

    def _last(self) -> int:
        """The flags of the last frame: whether we leave behind it."""
        body = self._body
        if self._slot.worker.ending or not (body.done or body.settle(SETTLE_LIMIT)):
            self._leave = True
            return LAST | GOODBYE
        return LAST

    def _body_of(self, flags: int, length: str | None) -> Body:
        announce = b""
        if flags & EXPECT:
            announce = CONTINUE_FRAME
        if flags & ACKNOWLEDGE:
            announce += TAKEN_FRAME
        withheld = bool(flags & EXPECT)
        if flags & BODY_FRAMED:
            limit = self._slot.worker.settings.workers.limit_post
            return FramedBody(self, limit, announce, withheld=withheld)
        size = leading_number(length or "")
        return LengthBody(self, size, announce, withheld=withheld) if size else EMPTY

    def _more(self) -> bytes:
        data = self.receive()
        if not data:
            raise PacketError("request packet cut short")
        return data
