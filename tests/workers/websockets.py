"""A WebSocket client for workers' sockets, blocking."""

from __future__ import annotations

import socket

from tests.workers.conftest import Instance
from tests.workers.gateway import Gateway, variables
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.uwsgi import encode
from uwgate.gateways.wire.websocket import Message, MessageReader, Opcode, encode_frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = b"mask"


class Client:
    """One connection that has sent its handshake."""

    def __init__(self, sock: socket.socket, head: bytes, received: bytes) -> None:
        self.sock = sock
        self.head = head
        self._reader = MessageReader(1 << 24, masked=False)
        self._reader.feed(received)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    @property
    def fields(self) -> dict[bytes, bytes]:
        lines = (line.partition(b": ") for line in self.head.split(b"\r\n")[1:] if line)
        return {name.lower(): value for name, _, value in lines}

    def send(self, opcode: int, data: bytes = b"", *, final: bool = True) -> None:
        self.sock.sendall(encode_frame(Opcode(opcode), data, final=final, key=MASK))

    def text(self, text: str) -> None:
        self.send(Opcode.TEXT, text.encode())

    def receive(self) -> Message | None:
        """The next message or control frame; None at end of file."""
        while (message := self._reader.next()) is None:
            data = self.sock.recv(65536)
            if not data:
                return None
            self._reader.feed(data)
        return message

    def closing(self) -> tuple[int, bool]:
        """The code of the close frame that comes next, and whether the end follows it."""
        message = self.receive()
        assert message is not None
        assert message.opcode is Opcode.CLOSE, message
        return int.from_bytes(message.data[:2], "big"), self.receive() is None


def handshake(**more: str) -> dict[str, str]:
    """What a gateway says about it."""
    return {
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_KEY": KEY,
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        **more,
    }


def ask(
    instance: Instance, role: str, path: str = "/", early: bytes = b"", **more: str
) -> tuple[socket.socket, bytes]:
    """Send a handshake to one of the workers' sockets; what has been received with the head."""
    sock = instance.connect(role)
    said = handshake(**more)
    if role == "lease":
        gateway = Gateway(sock)
        gateway.send(*variables("GET", path, **said), flags=wire.MAY_TUNNEL)
        flags, head, _ = gateway.read_frame()
        assert flags == wire.HEAD | wire.TUNNEL, head
        sock.sendall(early)
        return sock, head + b"\r\n" + gateway.buffer
    if role == "uwsgi":
        sock.sendall(encode(variables("GET", path, **said)) + early)
    else:
        lines = "".join(
            f"{key[5:].replace('_', '-')}: {value}\r\n" for key, value in said.items() if value
        )
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: box\r\n{lines}\r\n".encode() + early)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return sock, data


def connect(
    instance: Instance, role: str = "lease", path: str = "/", early: bytes = b"", **more: str
) -> Client:
    """An open WebSocket."""
    sock, data = ask(instance, role, path, early, **more)
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"101 " in head.split(b"\r\n")[0], data
    return Client(sock, head + b"\r\n", rest)
