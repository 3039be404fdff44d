"""The gateway's side of a lease, and plain HTTP and uwsgi clients, for tests."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire import uwsgi

HELLO_WORLD = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


def variables(method: str = "GET", path: str = "/", **more: str) -> list[tuple[bytes, bytes]]:
    """What a gateway says about a request."""
    raw, _, query = path.partition("?")
    values = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": path,
        "PATH_INFO": raw,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "box",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "box",
        **more,
    }
    return [(key.encode(), value.encode("latin-1")) for key, value in values.items()]


@dataclass
class Answer:
    """A whole response."""

    status: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    flags: int = 0  # of all its frames together
    frames: int = 0


class Gateway:
    """One lease, blocking."""

    def __init__(self, sock: socket.socket, *, greeted: bool = False) -> None:
        self.sock = sock
        self.buffer = b""
        if not greeted:
            flags, head, body = self.read_frame()
            assert (flags, head, body) == (wire.HELLO | wire.QUEUE, b"", b"")

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *pairs: tuple[bytes, bytes], body: bytes = b"", flags: int = 0) -> None:
        """Send a request."""
        self.sock.sendall(uwsgi.encode(pairs, 0, flags) + body)

    def attach(self) -> socket.socket:
        """Share a queue with the worker; returns the end that requests go into."""
        inlet, outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with outlet:
            socket.send_fds(self.sock, [uwsgi.HEADER.pack(wire.ATTACH, 0, 0)], [outlet.fileno()])
        return inlet

    def read_number(self) -> int:
        """What stands behind a frame with ``QUEUE``."""
        while len(self.buffer) < wire.NUMBER.size:
            self._more()
        data = self.buffer
        self.buffer = data[wire.NUMBER.size :]
        number: int = wire.NUMBER.unpack_from(data)[0]
        return number

    def read_frame(self) -> tuple[int, bytes, bytes]:
        """The next frame.

        Raises:
            EOFError: the worker closed instead.
        """
        while (header := wire.decode_header(self.buffer)) is None:
            self._more()
        flags, head_size, body_size = header
        size = wire.FRAME.size + head_size + body_size
        while len(self.buffer) < size:
            self._more()
        frame, self.buffer = self.buffer[wire.FRAME.size : size], self.buffer[size:]
        return flags, frame[:head_size], frame[head_size:]

    def read_answer(self) -> Answer:
        """A response, up to its last frame."""
        answer = Answer()
        while not answer.flags & wire.LAST:
            flags, head, body = self.read_frame()
            answer.flags |= flags
            answer.frames += 1
            answer.body += body
            if flags & wire.HEAD:
                lines = head.split(b"\r\n")
                assert lines.pop() == b""
                answer.status = lines[0]
                answer.headers = _headers(lines[1:])
            if flags & wire.GOODBYE and not flags & wire.LAST:
                raise EOFError("goodbye instead of an answer")
        return answer

    def get(self, path: str = "/", method: str = "GET", **more: str) -> Answer:
        """Ask and read the answer."""
        self.send(*variables(method, path, **more))
        return self.read_answer()

    def post(self, body: bytes, path: str = "/", **more: str) -> Answer:
        """Send a body of known length."""
        self.send(*variables("POST", path, CONTENT_LENGTH=str(len(body)), **more), body=body)
        return self.read_answer()

    def _more(self) -> None:
        data = self.sock.recv(1 << 20)
        if not data:
            raise EOFError
        self.buffer += data


def read_http(sock: socket.socket) -> Answer:
    """A response that ends with the connection."""
    data = b"".join(iter(lambda: sock.recv(65536), b""))
    return parse_http(data)


def parse_http(data: bytes) -> Answer:
    """A whole response as text."""
    head, separator, body = data.partition(b"\r\n\r\n")
    assert separator, data
    lines = head.split(b"\r\n")
    return Answer(status=lines[0], headers=_headers(lines[1:]), body=body)


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    return {line.partition(b": ")[0].lower(): line.partition(b": ")[2] for line in lines}
