"""A WebSocket client: wsproto over a blocking socket."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Self

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from .processes import PATIENCE

if TYPE_CHECKING:
    from .processes import Address


class WebSocket:
    """An open WebSocket. Every wait ends after ``timeout`` seconds.

    Raises:
        ConnectionRefusedError: the answer to the handshake was another one.
    """

    def __init__(
        self,
        address: Address,
        path: str = "/echo",
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float = PATIENCE,
    ) -> None:
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.sock.settimeout(timeout)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        try:
            self.sock.connect(address)
            if tls is not None:
                self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
            self._send(Request(host="example.com", target=path, extensions=[]))
            answer = self._next()
            if isinstance(answer, RejectConnection):
                raise ConnectionRefusedError(answer.status_code, "no WebSocket")
            assert isinstance(answer, AcceptConnection), answer
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, message: str | bytes, *, final: bool = True) -> None:
        """Send a message, or a fragment of one."""
        if isinstance(message, str):
            self._send(TextMessage(message, message_finished=final))
        else:
            self._send(BytesMessage(message, message_finished=final))

    def receive(self) -> str | bytes:
        """The next message, whole. Pings are answered."""
        parts: list[str | bytes] = []
        while True:
            event = self._next()
            if isinstance(event, Ping):
                self._send(event.response())
                continue
            assert isinstance(event, TextMessage | BytesMessage), event
            data = event.data
            parts.append(data if isinstance(data, str) else bytes(data))
            if event.message_finished:
                break
        if isinstance(parts[0], str):
            return "".join(str(part) for part in parts)
        return b"".join(part for part in parts if isinstance(part, bytes))

    def ask(self, message: str | bytes) -> str | bytes:
        """Send, and receive the answer."""
        self.send(message)
        return self.receive()

    def ping(self, data: bytes) -> bytes:
        """Send a ping; what its pong carries."""
        self._send(Ping(data))
        event = self._next()
        assert isinstance(event, Pong), event
        return bytes(event.payload)

    def close(self, code: int = 1000) -> int | None:
        """Close; the code that the server answers with. Then there must be an end of file."""
        self._send(CloseConnection(code, "bye"))
        answered = self.closed()
        assert self.sock.recv(1) == b""
        return answered

    def closed(self) -> int | None:
        """The code with which the server closes; None if it just ends the connection."""
        event = self._next()
        assert isinstance(event, CloseConnection), event
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            self._send(event.response())
        return None if event.code == 1006 else int(event.code)

    def _send(self, event: Event) -> None:
        self.sock.sendall(self._protocol.send(event))

    def _next(self) -> Event:
        while True:
            for event in self._protocol.events():
                return event
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            self._protocol.receive_data(data or None)
