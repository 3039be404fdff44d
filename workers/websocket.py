"""WebSockets for applications: ``uwsgi.websocket_*`` (spec/cache-static-offload-websockets.md D).

The slot is busy for as long as the application keeps the WebSocket. Better than in uWSGI:
messages come whole, pings are answered with what they carry, and whatever breaks the
protocol closes the connection with a code that says so.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time
from typing import TYPE_CHECKING, NoReturn, Protocol

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire import upgrade
from uwgate.gateways.wire.websocket import (
    Code,
    FrameError,
    Message,
    MessageReader,
    Opcode,
    decode_close,
    encode_close,
    encode_frame,
)
from uwgate.workers.connection import RECEIVE_SIZE
from uwgate.workers.head import Head, encode_head
from uwgate.workers.log import say

if TYPE_CHECKING:
    from uwgate.workers.environ import Environ
    from uwgate.workers.slot import Slot
    from uwgate.workers.worker import Worker

STATUS = "101 Web Socket Protocol Handshake"
LINGER = 1.0  # seconds in which the client may answer a close frame
LINGER_SIZE = 1 << 20  # bytes that it may still send meanwhile
FAREWELL = 2.0  # seconds before a worker that has to end is killed


class WebSocketClosed(OSError):
    """The WebSocket has ended: the client left, broke the protocol, or has to go."""


class HandshakeError(OSError):
    """The request cannot open a WebSocket. ``status`` is what it gets, with ``lines``."""

    status = 400
    lines = b"Sec-WebSocket-Version: 13\r\n"


class Carrier(Protocol):
    """A connection (``connection.Connection``) that may become a WebSocket's."""

    sock: socket.socket
    fd: int
    buffer: bytes

    def may_tunnel(self) -> bool:
        """Whether the peer of the running request asks for it."""
        ...

    def open_tunnel(self, head: bytes) -> None:
        """Answer 101 with ``head`` (as in ``wire.lease``); then bytes pass as they are.

        Raises:
            OSError: the peer is gone.
        """
        ...

    def send(self, data: bytes) -> None: ...

    def wait(self, events: int, timeout: float | None) -> None: ...


class WebSocket:
    """One open WebSocket. ``name`` is the client's; ``sent`` counts the bytes of messages.

    Every method raises WebSocketClosed when it has ended, before or meanwhile.
    """

    def __init__(self, connection: Carrier, worker: Worker, name: str) -> None:
        options = worker.settings.workers
        self.sent = 0
        self._connection = connection
        self._worker = worker
        self._name = name
        self._reader = MessageReader(options.websocket_max_size << 10)
        self._reader.feed(connection.buffer)  # the client did not wait for the handshake
        connection.buffer = b""
        self._ping_after = options.websocket_ping_freq or math.inf
        self._tolerance = options.websocket_pong_tolerance
        self._heard = time.monotonic()  # when the client last sent something
        self._pinged: float | None = None  # when it was asked to, if it has not since then
        self._end = ""  # why it has ended
        self._may_linger = True
        self._broken = False  # what the client sends cannot be read any longer

    def receive(self) -> bytes:
        """The next message, text or binary, waiting for it."""
        while (message := self._next()) is None:
            self._wait()
        return message

    def receive_now(self) -> bytes:
        """The next message; empty if none has come whole."""
        while (message := self._next()) is None:
            if not self._fill():
                self._tend()
                return b""
        return message

    def send(self, opcode: Opcode, data: bytes) -> None:
        """Send a message."""
        if self._end:
            raise WebSocketClosed(self._end)
        self._send(encode_frame(opcode, data))
        self.sent += len(data)

    def finish(self, *, failed: bool) -> None:
        """The request is over: close, if that has not been done. Raises nothing."""
        with contextlib.suppress(OSError):
            if not self._end:
                code = Code.INTERNAL_ERROR if failed else Code.NORMAL
                self._close(code, "the request is over")
            if self._may_linger:
                self._linger()

    def _next(self) -> bytes | None:
        """The next message that has been received; control frames are dealt with."""
        if self._end:
            raise WebSocketClosed(self._end)
        try:
            while (message := self._reader.next()) is not None:
                if message.opcode < Opcode.CLOSE:
                    return message.data
                self._control(message)
        except FrameError as error:
            say(f"{self._name}: WebSocket closed ({error.code:d}): {error}")
            self._broken = True
            self._close(error.code, str(error))
            raise WebSocketClosed(self._end) from error
        return None

    def _control(self, message: Message) -> None:
        if message.opcode is Opcode.PING:
            self._send(encode_frame(Opcode.PONG, message.data))
        elif message.opcode is Opcode.CLOSE:
            code, _ = decode_close(message.data)
            self._close(code, "closed by the client")
            self._may_linger = False
            raise WebSocketClosed(self._end)

    def _fill(self) -> bool:
        """Receive what is there of the current frame; False if that is nothing."""
        try:
            data = self._connection.sock.recv(min(self._reader.missing, RECEIVE_SIZE))
        except BlockingIOError:
            return False
        except OSError as error:
            self._lost(str(error))
        if not data:
            self._lost("the client is gone")
        self._heard = time.monotonic()
        self._pinged = None
        self._reader.feed(data)
        return True

    def _wait(self) -> None:
        """Wait for bytes; ping a client that is silent, and give up one that stays so."""
        poll = select.poll()
        poll.register(self._connection.fd, select.POLLIN)
        worker = self._worker
        if not worker.ending:
            poll.register(worker.stop_fd, select.POLLIN)  # then there is less time
        pause = self._due() - time.monotonic()
        ready = poll.poll(None if pause == math.inf else max(0.0, pause) * 1000)
        if not any(fd == self._connection.fd for fd, _ in ready) or not self._fill():
            self._tend()

    def _due(self) -> float:
        """When ``_tend`` has something to do."""
        if self._pinged is not None:
            due = self._pinged + self._tolerance
        else:
            due = self._heard + self._ping_after
        return min(due, self._worker.mercy_ends - FAREWELL)

    def _tend(self) -> None:
        """Nothing has come: is it time to ping, or to give up?"""
        now = time.monotonic()
        if now < self._due():
            return
        if now >= self._worker.mercy_ends - FAREWELL:
            self._close(Code.GOING_AWAY, "the worker ends")
            raise WebSocketClosed(self._end)
        if self._pinged is not None:
            self._lost(f"no answer to a ping within {self._tolerance:g} s")
        self._pinged = now
        self._send(encode_frame(Opcode.PING))

    def _send(self, frame: bytes) -> None:
        try:
            self._connection.send(frame)
        except OSError as error:
            self._lost(str(error))

    def _close(self, code: int, why: str) -> None:
        self._end = why
        with contextlib.suppress(OSError):
            self._connection.send(encode_close(code))

    def _lost(self, why: str) -> NoReturn:
        """There is nobody to say anything to.

        Raises:
            WebSocketClosed: always.
        """
        self._end = why
        self._may_linger = False
        raise WebSocketClosed(why)

    def _linger(self) -> None:
        """Let the client read what was sent last before a reset throws it away."""
        connection = self._connection
        deadline = time.monotonic() + LINGER
        left = LINGER_SIZE
        if self._broken:
            connection.sock.shutdown(socket.SHUT_WR)  # its close frame would not be recognised
        while left > 0:
            connection.wait(select.POLLIN, max(0.0, deadline - time.monotonic()))
            data = connection.sock.recv(RECEIVE_SIZE)
            if not data:
                return
            left -= len(data)
            if not self._broken and self._closes(data):
                return

    def _closes(self, data: bytes) -> bool:
        """Whether the client's close frame is in what it has sent."""
        self._reader.feed(data)
        try:
            while (message := self._reader.next()) is not None:
                if message.opcode is Opcode.CLOSE:
                    return True
        except FrameError:
            self._broken = True
        return False


def open_websocket(
    slot: Slot, key: str | bytes | None, origin: str | bytes | None, protocol: str | bytes | None
) -> WebSocket:
    """Answer the handshake of the running request.

    What is not given is taken from the request. Of several protocols the first is agreed to.

    Raises:
        HandshakeError: it asks for no WebSocket, or has been answered already.
        WebSocketClosed: the client is gone.
    """
    environ, response, connection = slot.environ, slot.response, slot.session
    if environ is None or response is None or connection is None:
        raise HandshakeError("there is no request")
    if response.began:
        raise HandshakeError("the response has begun already")
    if not connection.may_tunnel():
        raise HandshakeError("the client does not ask for a WebSocket")
    head = _answer(environ, _text(key), _text(origin), _text(protocol))
    response.upgrade(head)
    try:
        connection.open_tunnel(head.text)
    except OSError as error:
        raise WebSocketClosed(str(error)) from error
    return WebSocket(connection, slot.worker, _get(environ, "REMOTE_ADDR"))


def _answer(environ: Environ, key: str, origin: str, protocol: str) -> Head:
    fields = {
        b"HTTP_SEC_WEBSOCKET_VERSION": _get(environ, "HTTP_SEC_WEBSOCKET_VERSION").encode(),
        b"HTTP_SEC_WEBSOCKET_KEY": (key or _get(environ, "HTTP_SEC_WEBSOCKET_KEY")).encode(),
    }
    method = _get(environ, "REQUEST_METHOD").encode()
    try:
        checked = upgrade.read_key(method, fields, int(_get(environ, "CONTENT_LENGTH") or 0))
    except (ClientError, ValueError) as error:
        raise HandshakeError(str(error)) from error
    headers = [("Sec-WebSocket-Accept", upgrade.accept_of(checked).decode())]
    origin = origin or _get(environ, "HTTP_ORIGIN")
    if origin:
        headers.append(("Sec-WebSocket-Origin", origin))
    protocol = protocol or _get(environ, "HTTP_SEC_WEBSOCKET_PROTOCOL")
    protocol = protocol.partition(",")[0].strip()
    if protocol:
        headers.append(("Sec-WebSocket-Protocol", protocol))
    try:
        return encode_head(STATUS, headers)
    except ValueError as error:
        raise HandshakeError(str(error)) from error


def _get(environ: Environ, name: str) -> str:
    return str(environ.get(name, ""))


def _text(value: str | bytes | None) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value or ""
