"""The body of a request on a stream, on its way from the client to the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from uwgate.conf.errors import ClientError
from uwgate.gateways.exchange import Request, collect
from uwgate.gateways.http2.protocol import STREAM_WINDOW
from uwgate.gateways.pace import Pace
from uwgate.gateways.states import State
from uwgate.gateways.wire.http2_request import MalformedRequest

if TYPE_CHECKING:
    from uwgate.gateways.http2.stream import Stream


class Upload:
    """What a client sends on one stream (a ``BodySource``).

    Bytes wait here until the backend takes them; only then the client may send as many more.
    The stream's window bounds what can wait. It starts small, and grows (up to
    ``http2-upload-window``) while the backend is faster than the client's line.
    """

    def __init__(self, stream: Stream) -> None:
        self.ended = False  # the client has sent all of it
        self._stream = stream
        # Bytes declared; None: none declared. A tunnel's bytes are no body.
        self._length = None if stream.request.websocket_key else stream.request.length
        edge = stream.connection.gateway.edge
        self._pace = Pace(edge.http_min_rate, edge.http_min_rate_grace)
        self._received = 0
        self._taken = 0  # bytes since the window last grew
        self._window = STREAM_WINDOW
        self._buffer = bytearray()
        self._arrived: trio.Event | None = None
        self._fault: ClientError | None = None

    def receive(self, data: bytes, size: int, ended: bool) -> None:
        """Take what the client sent; ``size`` is what it takes of the windows.

        Raises:
            MalformedRequest: more or less than was declared (RFC 9113 section 8.1.1).
        """
        stream = self._stream
        padding = size - len(data)
        if padding:
            stream.connection.protocol.took(stream.number, padding)
        self._received += len(data)
        self._buffer += data
        self.ended = ended
        if self._length is not None:
            if self._received > self._length or (ended and self._received < self._length):
                raise MalformedRequest(
                    f"body of {self._received} bytes, content-length {self._length}"
                )
        elif not stream.request.websocket_key:
            limit = stream.connection.gateway.reader.limit_post
            if limit and self._received > limit:
                self._fault = ClientError(413, f"body of more than {limit} bytes")
        if self._arrived is not None:
            self._arrived.set()

    def take_buffered(self, request: Request) -> None:
        """Give the request what has arrived of its body; called once, before it is sent."""
        if self._fault is not None:
            raise self._fault
        request.body = self._take()
        request.complete = self.ended
        if request.body:
            request.expects_continue = False  # the client did not wait

    async def collect(self, request: Request, size: int) -> None:
        """Have the request wait for its body; see ``exchange.collect``."""
        await collect(request, self, size)
        request.complete = self.ended and not self._buffer

    async def read_body(self) -> bytes:
        stream = self._stream
        stream.touch()
        while True:
            if self._fault is not None:
                raise self._fault
            if self._buffer:
                return self._take()
            if self.ended:
                return b""
            await self._wait()

    async def _wait(self) -> None:
        """Wait for the client, which has to send at http-min-rate."""
        stream = self._stream
        before = stream.state
        if before is State.BACKEND:
            stream.state = State.BODY
        if before is not State.TUNNEL:
            stream.deadline = min(stream.deadline, self._pace.begin(trio.current_time()))
        self._arrived = trio.Event()
        await self._arrived.wait()
        self._arrived = None
        if stream.state is State.BODY:
            stream.state = before
        self._pace.moved(trio.current_time(), len(self._buffer))
        stream.touch()

    async def send_continue(self) -> None:
        self._stream.send_continue()

    def drop(self) -> None:
        """Nobody takes what is here: the other streams may use its room."""
        self._stream.connection.protocol.took(self._stream.number, len(self._buffer))
        self._buffer.clear()

    def _take(self) -> bytes:
        stream = self._stream
        data = bytes(self._buffer)
        self._buffer.clear()
        if data:
            connection = stream.connection
            connection.protocol.took(stream.number, len(data))
            self._taken += len(data)
            is_empty = len(data) <= self._window // 2  # when it was taken, more or less
            if self._taken >= self._window and is_empty and not self.ended:
                self._taken = 0
                if stream.state is not State.CLOSED:
                    self._window += connection.grow(stream.number, self._window)
            connection.schedule()
        return data

    @property
    def growth(self) -> int:
        """Bytes by which the window has grown."""
        return self._window - STREAM_WINDOW
