"""One client connection of the HTTP gateway that speaks HTTP/2.

It lives in the lane: ``ready`` is called when the client has sent something or takes more.
Frames become streams (gateways/http2/stream.py), which answer by themselves; what they want to
send is gathered here, and sent once for each round of the lane. While the client takes nothing,
no more is put into frames, and soon no more is read either.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
from collections import deque
from typing import TYPE_CHECKING

import trio
from h2.errors import ErrorCodes

from uwgate.conf.errors import ClientError
from uwgate.gateways.exchange import Request
from uwgate.gateways.http2.limits import Event
from uwgate.gateways.http2.protocol import (
    ALL_STREAMS,
    GROWTH,
    Body,
    Happening,
    Opened,
    Protocol,
    Reset,
    Roomier,
    Trailers,
)
from uwgate.gateways.http2.stream import Stream
from uwgate.gateways.http2.upload import Upload
from uwgate.gateways.lane import GONE
from uwgate.gateways.pace import Pace, Taking
from uwgate.gateways.peer import Peer
from uwgate.gateways.states import State
from uwgate.gateways.streams import Socket
from uwgate.gateways.wire.http2 import ConnectionFault
from uwgate.gateways.wire.http2_request import MalformedRequest, check_trailers

if TYPE_CHECKING:
    from uwgate.gateways.http import HttpGateway

log = logging.getLogger("uwgate.http")

RECEIVE_SIZE = 65536  # bytes asked for at a time
TURN = 8  # times that one connection is read before others get their turn
BATCH = 65536  # bytes put into frames at a time; with more, a small answer would wait behind them
# Bytes not taken by the client beyond which nothing more is read from it: heads and the answers
# to its own frames grow without a window that bounds them.
MAX_UNSENT = 262144
MAX_FILES = 8  # open at a time: each takes a descriptor, and they share one socket
LINGER = 2.0  # seconds in which the client may read our GOAWAY before its unread bytes reset it
NOTICE = 1.0  # seconds between the first GOAWAY of a drain and the one that refuses streams


class Connection:
    """A client connection.

    ``deadline`` (trio's clock) is that of a connection without requests. ``files``: room for
    large files that its streams send.
    """

    def __init__(self, gateway: HttpGateway, sock: Socket, peer: Peer, received: bytes) -> None:
        self.gateway = gateway
        self.sock = sock
        self.protocol = Protocol(
            gateway.options2,
            gateway.reader.limits.head,
            connect_protocol=gateway.options.http_websockets,
        )
        self.streams: dict[int, Stream] = {}
        self.files = trio.Semaphore(MAX_FILES)
        self.deadline = gateway.now + gateway.options.http_headers_timeout
        self.peer = peer
        self._received = received  # before the lane knew us
        self._flusher = _Flusher(self)
        self._scheduled = False
        self._ready: deque[Stream] = deque()  # have something to send
        self._starved: dict[int, Stream] = {}  # the same, but no window for it
        self._chunks: deque[memoryview] = deque()  # frames that the client has not taken
        self._unsent = 0  # bytes of them
        self._taking: Taking | None = None  # while the client does not take all of it
        self._stalled = math.inf  # when a client that takes nothing is given up
        self._paused = False  # nothing is read until it takes something
        self._unread = False  # there may be more to read
        self._owed = 0  # answers of workers that nobody wants any longer
        self._growth = GROWTH  # bytes by which windows may still grow
        self._progress = (-1, math.inf)  # frames received, and when there must be one more
        # From 0 downwards there is no limit.
        self._quota = gateway.edge.http_connection_requests
        self._ends = gateway.lifetime_end()
        self._draining = False
        self._final = math.inf  # when streams are refused
        self._last = ALL_STREAMS  # the highest stream that is served
        self._closing = False  # GOAWAY is sent, no stream is left
        self.closed = False
        gateway.lane.add(sock.fileno(), self, writable=True)

    @property
    def name(self) -> str:
        """The client's address, for the log."""
        return str(self.peer)

    # The client

    def ready(self, mask: int) -> None:
        if self.closed:
            return
        if mask & GONE:
            self.abandon()
            return
        if self._unsent:
            self.flush()
        if self._received:
            received, self._received = self._received, b""
            self._receive(received)
        self._read()
        self.schedule()

    def _read(self) -> None:
        self._unread = True
        for _ in range(TURN):
            if self._paused or self.closed:
                return
            try:
                data = self.sock.recv(RECEIVE_SIZE)
            except BlockingIOError:
                self._unread = False
                return
            except OSError:
                data = b""
            if not data:
                self.abandon()
                return
            if not self._closing:
                self._receive(data)
                if self._unsent + self.protocol.pending > MAX_UNSENT:
                    self.flush()
        self.gateway.lane.again(self)

    def _receive(self, data: bytes) -> None:
        try:
            for event in self.protocol.receive(data, self.gateway.now):
                self._happened(event)
                if self._closing or self.closed:
                    return
        except ConnectionFault as fault:
            self._fail(fault)

    def _fail(self, fault: ConnectionFault) -> None:
        """End the connection, for the client has broken a rule."""
        self.gateway.counters.refuse(
            f"http2-{fault.code.name.lower().replace('_', '-')}",
            "%s: HTTP/2 connection ended: %s: %s",
            self.name,
            fault.code.name,
            fault,
            level=logging.WARNING,
        )
        self.protocol.fail(fault)
        self._cancel_streams()
        self._close_gently()

    # What it wants

    def _happened(self, event: Happening) -> None:
        if isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Body):
            self._body(event)
        elif isinstance(event, Roomier):
            self._roomier(event)
        elif isinstance(event, Trailers):
            self._trailers(event)
        elif isinstance(event, Reset):
            self._reset(event)
        elif event.code != ErrorCodes.NO_ERROR:
            log.info("%s: the client ends the connection: error %d", self.name, event.code)

    def _opened(self, event: Opened) -> None:
        number = event.stream
        gateway = self.gateway
        if number > self._last or len(self.streams) + self._owed >= (
            gateway.options2.http2_max_streams
        ):
            # Section 8.7: it has not been looked at, so the client may try again.
            self.protocol.limits.count(Event.RESET, gateway.now)
            self.protocol.reset(number, ErrorCodes.REFUSED_STREAM)
            return
        try:
            request = gateway.reader.read_http2(event.fields, event.ended, self.peer)
        except ClientError as error:
            self._refuse(event, error)
            return
        self.streams[number] = stream = Stream(self, number, request)
        stream.begin(event.ended)
        self._quota -= 1
        if not self._quota or gateway.now >= self._ends or gateway.is_draining:
            self.drain(NOTICE)

    def _refuse(self, event: Opened, error: ClientError) -> None:
        """Answer a request that is not to be served."""
        gateway = self.gateway
        malformed = isinstance(error, MalformedRequest)
        gateway.counters.refuse(
            "http2-malformed" if malformed else f"answer-{error.status}",
            "%s: stream %d: %d: %s",
            self.name,
            event.stream,
            error.status,
            error,
        )
        if malformed:
            self._break_off(event.stream)
            return
        method = dict(event.fields).get(b":method", b"")
        request = Request(method, b"", b"", 0, 1, True, False)
        self.streams[event.stream] = stream = Stream(self, event.stream, request)
        if not event.ended:
            stream.upload = Upload(stream)
        stream.refuse(error.status)

    def _break_off(self, number: int) -> None:
        """A malformed request (section 8.1.1)."""
        self.protocol.limits.count(Event.RESET, self.gateway.now)
        stream = self.streams.get(number)
        if stream is not None:
            stream.abort(ErrorCodes.PROTOCOL_ERROR)
        else:
            self.protocol.reset(number, ErrorCodes.PROTOCOL_ERROR)

    def _body(self, event: Body) -> None:
        stream = self.streams.get(event.stream)
        if stream is None or stream.upload is None:
            self.protocol.took(event.stream, event.size)
            return
        try:
            stream.upload.receive(event.data, event.size, event.ended)
        except MalformedRequest as error:
            log.info("%s: 400: %s", stream, error)
            self._break_off(event.stream)

    def _trailers(self, event: Trailers) -> None:
        stream = self.streams.get(event.stream)
        if stream is None or stream.upload is None:
            return
        try:
            check_trailers(event.fields)
            stream.upload.receive(b"", 0, True)
        except MalformedRequest as error:
            log.info("%s: 400: %s", stream, error)
            self._break_off(event.stream)

    def _reset(self, event: Reset) -> None:
        stream = self.streams.get(event.stream)
        if stream is not None:
            stream.cancel()

    def _roomier(self, event: Roomier) -> None:
        if not event.stream:
            self._ready.extend(self._starved.values())
            self._starved.clear()
            return
        stream = self._starved.pop(event.stream, None)
        if stream is not None:
            self._ready.append(stream)

    # What streams want

    def offer(self, stream: Stream) -> None:
        """The stream has something to send."""
        self._ready.append(stream)

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.number, None)
        self._starved.pop(stream.number, None)
        if stream.upload is not None:
            self._growth += stream.upload.growth
        if not self.streams:
            self.deadline = self.gateway.now + self.gateway.idle_timeout
            if self._draining:
                self.schedule()  # behind what is still to be sent, the connection ends

    def grow(self, number: int, size: int) -> int:
        """Widen a stream's window, by ``size`` bytes at most; by how much it was."""
        most = self.gateway.options2.http2_upload_window - size
        size = max(0, min(size, most, self._growth))
        if size:
            self._growth -= size
            self.protocol.widen(number, size)
        return size

    def worker_owes(self) -> None:
        """A worker runs a request whose stream is over: it still counts as a stream."""
        self._owed += 1

    def worker_done(self) -> None:
        """It has answered."""
        self._owed -= 1

    # Sending

    def schedule(self) -> None:
        """Send what there is at the end of this round of the lane."""
        if not self._scheduled and not self.closed:
            self._scheduled = True
            self.gateway.lane.again(self._flusher)

    def flush(self) -> None:
        """Send what there is, as far as the client takes it."""
        self._scheduled = False
        if self.closed:
            return
        try:
            while True:
                if not self._chunks:
                    self._fill()
                    if not self._chunks:
                        break
                chunk = self._chunks[0]
                sent = self.sock.send(chunk)
                self._unsent -= sent
                if sent < len(chunk):
                    self._chunks[0] = chunk[sent:]
                else:
                    self._chunks.popleft()
        except BlockingIOError:
            self._collect()  # what came up meanwhile
            self._paused = self._unsent > MAX_UNSENT
            if self._taking is None:
                self._begin_taking()
            return
        except OSError:
            self.abandon()
            return
        self._stalled = math.inf
        self._taking = None
        if self._paused:
            self._paused = False
            if self._unread:
                self.gateway.lane.again(self)
        if self._draining and not self.streams:
            # At once: not every client looks for a GOAWAY before it sends the next request.
            self.leave()

    def _fill(self) -> None:
        """Put the next batch into frames, a frame of one stream after one of the other."""
        ready = self._ready
        protocol = self.protocol
        while ready and protocol.pending < BATCH:
            stream = ready.popleft()
            if not stream.is_pending:
                continue
            if not stream.advance():
                self._starved[stream.number] = stream
            elif stream.is_pending:
                ready.append(stream)
        self._collect()

    def _collect(self) -> None:
        data = self.protocol.output()
        if data:
            self._chunks.append(memoryview(data))
            self._unsent += len(data)

    def _begin_taking(self) -> None:
        """The socket is full: from now on the client has to take bytes at http-min-rate."""
        gateway = self.gateway
        pace = Pace(gateway.edge.http_min_rate, gateway.edge.http_min_rate_grace)
        now = gateway.now
        self._taking = Taking(self.sock.fileno(), pace, gateway.options.http_timeout, now)
        self._stalled = self._taking.begin(now)

    # Time

    def tick(self) -> None:
        """Look at the deadlines; called twice a second."""
        gateway = self.gateway
        now = gateway.now
        if self._closing:
            if now >= self.deadline:
                self.close()
            return
        if now >= self._stalled and self._taking is not None:
            if not self._taking.goes_on(now):
                gateway.counters.refuse("slow-reader", "%s: takes frames too slowly", self.name)
                self.abandon()
                return
            self._stalled = self._taking.begin(now)
        if self._is_slow(now):
            self._fail(ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "frame not complete in time"))
            return
        for stream in list(self.streams.values()):
            if stream.deadline <= now:
                stream.expire()
        if now >= self._ends:
            self.drain(NOTICE)
        if now >= self._final:
            self._refuse_more()
        if not self.streams and now >= self.deadline:
            self.leave()

    def _is_slow(self, now: float) -> bool:
        """A frame or header block has begun, and nothing moves the client to complete it."""
        if not self.protocol.is_waiting or self._paused:
            self._progress = (-1, math.inf)
            return False
        frames, limit = self._progress
        if frames != self.protocol.frames:
            limit = now + self.gateway.options.http_headers_timeout
            self._progress = (self.protocol.frames, limit)
        return now >= limit

    # The end

    def drain(self, idle: float) -> None:
        """Finish what runs. A client that has not asked for anything yet may do so once, within
        ``idle`` seconds."""
        now = self.gateway.now
        if self.gateway.closes_tunnels:
            for stream in list(self.streams.values()):
                if stream.state is State.TUNNEL:
                    stream.abort(ErrorCodes.CANCEL)
        if idle and not self.protocol.last_stream:
            self.deadline = min(self.deadline, now + idle)
            return
        if not self._draining:
            self._draining = True
            self._ends = math.inf
            self._final = now + NOTICE
            # Section 6.8: what the client sends before it has read this is served, as long as
            # there is something else to wait for.
            self.protocol.go_away(ALL_STREAMS)
        self.schedule()

    def _refuse_more(self) -> None:
        self._final = math.inf
        self._last = self.protocol.last_stream
        self.protocol.go_away(self._last)
        self.schedule()

    def leave(self) -> None:
        """End a connection without requests."""
        if self._last == ALL_STREAMS:
            self._refuse_more()
        self._close_gently()

    def _close_gently(self) -> None:
        """Let the client read what was sent before a reset throws it away."""
        if self.closed or self._closing:
            return
        self._closing = True
        self.deadline = self.gateway.now + LINGER
        self._paused = False
        self._collect()
        with contextlib.suppress(OSError):  # what it does not take at once, it does not get
            for chunk in self._chunks:
                if self.sock.send(chunk) < len(chunk):
                    break
            self.sock.shutdown(socket.SHUT_WR)
        self._chunks.clear()
        self._unsent = 0
        self._read()

    def abandon(self) -> None:
        """The client has gone."""
        if self.streams:
            log.info("%s: client gone, %d requests given up", self.name, len(self.streams))
        self.closed = True  # nothing is sent any longer
        self._cancel_streams()
        self.closed = False
        self.close()

    def _cancel_streams(self) -> None:
        for stream in list(self.streams.values()):
            stream.cancel()

    def close(self) -> None:
        """Close the connection; the lane forgets it."""
        if self.closed:
            return
        self.closed = True
        self.gateway.lane.remove(self.sock.fileno())
        self.sock.close()
        self.gateway.forget_http2(self)


class _Flusher:
    """Stands in the lane for a connection that is to be flushed at the end of the round."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ready(self, mask: int) -> None:
        self._connection.flush()
