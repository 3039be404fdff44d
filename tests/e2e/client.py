"""A client that sends exactly the bytes it is given, and reads answers as they are.

It repairs nothing: what a browser would never send is what these tests need to send.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from .processes import PATIENCE

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator

    from .processes import Address

BLOCK = 1 << 18
UPLOAD_BLOCK = bytes(range(256)) * 4096  # 1 MiB


@dataclass(frozen=True)
class Answer:
    """One response. ``headers`` are in order, names as sent, values as latin-1."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __getitem__(self, name: str) -> str:
        """The values of a field, joined with a comma and a blank."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        if not values:
            raise KeyError(f"{name} is not in {self.headers}")
        return ", ".join(values)

    def __contains__(self, name: str) -> bool:
        return any(key.lower() == name.lower() for key, _ in self.headers)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Connection:
    """One connection to a server. Every wait ends after ``timeout`` seconds."""

    def __init__(self, address: Address, *, timeout: float = PATIENCE) -> None:
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(address)
        except BaseException:
            self.sock.close()
            raise
        self.file = cast("io.BufferedReader", self.sock.makefile("rb", BLOCK))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close; what was not read is lost."""
        self.file.close()
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.sock.sendall(data)

    def send_what_it_takes(self, data: bytes) -> None:
        """Send as much as the server lets us: it may refuse, and close, before the end."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def status_or_nothing(self) -> int | None:
        """The status of the next answer, read to its end; None if the server just closes."""
        try:
            return self.answer().status
        except ConnectionError:
            return None

    def head(self) -> Answer:
        """The head of the next final response, with an empty body.

        Raises:
            ConnectionError: the server closed, or what came is no HTTP.
        """
        while True:
            line = self.file.readline(65536)
            if not line:
                raise ConnectionError("closed without an answer")
            version, _, rest = line.decode("latin-1").rstrip("\r\n").partition(" ")
            status, _, reason = rest.partition(" ")
            if version not in ("HTTP/1.0", "HTTP/1.1") or not status.isdigit():
                raise ConnectionError(f"not HTTP: {line!r}")
            headers = tuple(self._fields())
            if int(status) >= 200:
                return Answer(int(status), reason, headers, b"")

    def pieces(self, head: Answer, method: str = "GET") -> Iterator[bytes]:
        """The body that follows ``head``, piece by piece.

        Raises:
            ConnectionError: it ended too early.
        """
        if method == "HEAD" or head.status in (204, 304):
            return
        if "transfer-encoding" in head:
            yield from self._chunks()
        elif "content-length" in head:
            yield from self._exactly(int(head["content-length"]))
        else:
            while piece := self.file.read1(BLOCK):
                yield piece

    def answer(self, method: str = "GET") -> Answer:
        """The next final response, whole."""
        head = self.head()
        body = b"".join(self.pieces(head, method))
        return Answer(head.status, head.reason, head.headers, body)

    def ended(self) -> bool:
        """Has the server closed, with nothing more to read? Waits for one or the other."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def _fields(self) -> Iterator[tuple[str, str]]:
        while (line := self.file.readline(65536)) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
            yield name, value.strip()

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.file.read1(min(size, BLOCK))
            if not piece:
                raise ConnectionError(f"closed {size} bytes before the end of the body")
            size -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.file.readline(64).split(b";")[0] or b"x", 16):
            yield from self._exactly(size)
            self.file.readline(3)
        for _ in self._fields():
            pass


def request(
    method: str = "GET",
    target: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    *,
    chunked: bool = False,
    host: str = "example.com",
) -> bytes:
    """The bytes of a well-formed HTTP/1.1 request."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(chunks(body))
    elif body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunks(body: bytes, size: int = 5000) -> Iterator[bytes]:
    """A body in chunks, of an odd size so that they lie across every buffer's end."""
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


@dataclass(frozen=True)
class Upload:
    """A large body, made while it is sent: ``count`` blocks that differ from each other."""

    count: int

    def blocks(self) -> Iterator[bytes]:
        """The body, 1 MiB at a time."""
        for number in range(self.count):
            yield number.to_bytes(4, "big") + UPLOAD_BLOCK[4:]

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.count * len(UPLOAD_BLOCK)

    def sha256(self) -> str:
        """What the receiver has to find."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()

    def send(self, connection: Connection, target: str, *, chunked: bool) -> Answer:
        """POST it; returns the answer."""
        length = ("Content-Length", str(self.size))
        framing = ("Transfer-Encoding", "chunked") if chunked else length
        connection.send(request("POST", target, [framing, ("Connection", "close")]))
        for block in self.blocks():
            connection.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked:
            connection.send(b"0\r\n\r\n")
        return connection.answer()


def ask(address: Address, data: bytes, method: str = "GET", *, timeout: float = PATIENCE) -> Answer:
    """Send one request on a connection of its own; returns the answer."""
    with Connection(address, timeout=timeout) as connection:
        connection.send(data)
        return connection.answer(method)
