"""The other sides of the HTTP gateway: a client, our own workers, a plain uwsgi backend.

They are driven by hand, so that a test reads as a conversation.
"""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trio
import trio.testing

from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.chunked import ChunkedDecoder
from uwgate.gateways.wire.uwsgi import HEADER, decode_block

PATIENCE = 60.0  # seconds for anything that must happen; only a failing test waits this long


async def settled() -> None:
    """Everybody in this process has done what he can, and waits.

    To sleep for a moment would not say so on a busy machine: the moment may pass while nobody
    else has had his turn.
    """
    await trio.testing.wait_all_tasks_blocked(0.01)


class Stream:
    """A connection with a buffer of what was received, but not read yet."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.sock = sock
        self.buffer = b""

    async def send(self, data: bytes) -> None:
        with trio.fail_after(PATIENCE):
            left = memoryview(data)
            while left:
                left = left[await self.sock.send(left) :]

    async def send_until_blocked(self, piece: bytes, pause: float = 0.3) -> int:
        """Send ``piece`` again and again until nobody takes it for a while; the bytes taken."""
        total = 0
        left = memoryview(piece)  # a peer that reads frames must get whole ones
        while True:
            with trio.move_on_after(pause) as scope:
                sent = await self.sock.send(left)
                total += sent
                left = left[sent:] or memoryview(piece)
            if scope.cancelled_caught:
                return total

    async def receive(self) -> bytes:
        """Some bytes; empty at end of file."""
        if self.buffer:
            data, self.buffer = self.buffer, b""
            return data
        with trio.fail_after(PATIENCE):
            return await self.sock.recv(65536)

    async def fill(self) -> None:
        """Receive more into the buffer; there must be more."""
        with trio.fail_after(PATIENCE):
            data = await self.sock.recv(65536)
        assert data, f"end of file behind {self.buffer[:200]!r}"
        self.buffer += data

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self.fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    async def until(self, mark: bytes) -> bytes:
        """Bytes up to and with ``mark``."""
        while mark not in self.buffer:
            await self.fill()
        data, _, self.buffer = self.buffer.partition(mark)
        return data + mark

    async def rest(self) -> bytes:
        """Everything up to the end of file."""
        parts = []
        while data := await self.receive():
            parts.append(data)
        return b"".join(parts)

    async def is_silent(self, seconds: float = 0.05) -> bool:
        """Nothing has come, and nothing comes within ``seconds``."""
        await settled()
        with trio.move_on_after(seconds) as scope:
            self.buffer += await self.sock.recv(65536)
        return scope.cancelled_caught and not self.buffer

    async def is_closed_after(self, piece: bytes) -> bool:
        """The peer closes at last, while it is sent one piece after the other."""
        with trio.move_on_after(PATIENCE):
            try:
                while True:
                    await self.sock.send(piece)
                    await trio.sleep(0.01)
            except OSError:
                return True
        return False

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close so that the peer gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass
class Response:
    """A response as the client got it. ``fields`` has lower-case names."""

    version: bytes
    status: int
    reason: bytes
    lines: list[tuple[bytes, bytes]]
    body: bytes
    complete: bool = True

    @property
    def fields(self) -> dict[bytes, bytes]:
        return {name.lower(): value for name, value in self.lines}


class Client(Stream):
    """An HTTP client."""

    async def get(
        self,
        target: bytes = b"/",
        *lines: bytes,
        version: bytes = b"1.1",
        host: bytes = b"a.example",
    ) -> None:
        """Send a GET."""
        await self.send(request(b"GET", target, *lines, version=version, host=host))

    async def head(self) -> Response:
        """The head of a response."""
        start, *lines = (await self.until(b"\r\n\r\n"))[:-4].split(b"\r\n")
        version, status, reason = start.split(b" ", 2)
        pairs = [line.split(b": ", 1) for line in lines]
        return Response(version, int(status), reason, [(a, b) for a, b in pairs], b"")

    async def response(self, method: bytes = b"GET") -> Response:
        """A whole response; ``complete`` is False if it breaks off."""
        response = await self.head()
        fields = response.fields
        if method == b"HEAD" or response.status in (100, 204, 304):
            return response
        if b"transfer-encoding" in fields:
            assert fields[b"transfer-encoding"] == b"chunked"
            assert b"content-length" not in fields
            chunks = ChunkedDecoder()
            data = self.buffer
            while True:
                response.body += chunks.feed(data)
                if chunks.done:
                    self.buffer = chunks.rest
                    return response
                self.buffer = b""
                data = await self.receive()
                if not data:
                    response.complete = False
                    return response
        if b"content-length" in fields:
            size = int(fields[b"content-length"])
            while len(response.body) < size:
                data = await self.receive()
                if not data:
                    response.complete = False
                    return response
                response.body += data
            response.body, self.buffer = response.body[:size], response.body[size:]
            return response
        assert fields.get(b"connection") == b"close"
        response.body = await self.rest()
        return response

    async def is_closed(self) -> bool:
        """Nothing follows but the end of file."""
        return not await self.rest()


def request(
    method: bytes,
    target: bytes = b"/",
    *lines: bytes,
    version: bytes = b"1.1",
    host: bytes = b"a.example",
    body: bytes = b"",
) -> bytes:
    """A request; with a body, ``lines`` must say how it is framed."""
    start = b"%b %b HTTP/%b" % (method, target, version)
    return b"\r\n".join([start, b"Host: " + host, *lines, b"", b""]) + body


@dataclass
class Packet:
    """A uwsgi request. ``body``: what came with it through the queue."""

    modifier1: int
    modifier2: int
    variables: list[tuple[bytes, bytes]]
    body: bytes = b""

    def __getitem__(self, key: bytes) -> bytes:
        return dict(self.variables)[key]

    def __contains__(self, key: object) -> bool:
        return key in dict(self.variables)


class Backend(Stream):
    """A connection from the gateway to something that speaks uwsgi."""

    async def packet(self) -> Packet:
        modifier1, size, modifier2 = HEADER.unpack(await self.exactly(4))
        return Packet(modifier1, modifier2, list(decode_block(await self.exactly(size))))


class Lease(Backend):
    """A worker's side of a lease."""

    queue: socket.socket | None = None

    async def attach(self) -> None:
        """Get the gateway's queue, after a greeting with ``QUEUE``."""
        with trio.fail_after(PATIENCE):
            data, ancillary, _, _ = await self.sock.recvmsg(4, socket.CMSG_SPACE(4))
        assert data == HEADER.pack(wire.ATTACH, 0, 0)
        ((_, kind, descriptor),) = ancillary
        assert kind == socket.SCM_RIGHTS
        self.queue = socket.socket(fileno=int.from_bytes(descriptor, sys.byteorder))
        self.queue.setblocking(False)

    async def take(self) -> tuple[bytes, Packet] | None:
        """Number and packet of the next request in the queue; None if it is empty."""
        assert self.queue is not None
        try:
            message = self.queue.recv(65536)
        except BlockingIOError:
            return None
        modifier1, size, modifier2 = HEADER.unpack_from(message, 4)
        variables = list(decode_block(message[8 : 8 + size]))
        return message[:4], Packet(modifier1, modifier2, variables, message[8 + size :])

    async def answer_and_take(self, body: bytes = b"ok") -> Packet:
        """Take a request from the queue, and say so with the answer to the one before."""
        taken = await self.take()
        assert taken is not None
        number, packet = taken
        frame = wire.encode_frame(wire.HEAD | wire.LAST | wire.QUEUE, b"200 OK\r\n", body)
        await self.send(frame + number)
        return packet

    def close(self) -> None:
        super().close()
        if self.queue is not None:
            self.queue.close()

    async def frame(self, flags: int, head: bytes = b"", body: bytes = b"") -> None:
        await self.send(wire.encode_frame(flags, head, body))

    async def answer(
        self, body: bytes = b"ok", head: bytes = b"200 OK\r\n", flags: int = 0
    ) -> None:
        """A whole response in one frame."""
        await self.frame(wire.HEAD | wire.LAST | flags, head, body)

    async def begin(self, body: bytes = b"", head: bytes = b"200 OK\r\n", flags: int = 0) -> None:
        """The first frame of several."""
        await self.frame(wire.HEAD | flags, head, body)

    async def more(self, body: bytes) -> None:
        await self.frame(0, b"", body)

    async def last(self, body: bytes = b"", flags: int = 0) -> None:
        await self.frame(wire.LAST | flags, b"", body)

    async def chunks(self) -> bytes:
        """A body with ``BODY_FRAMED``, to its end."""
        body = b""
        while True:
            (size,) = wire.CHUNK.unpack(await self.exactly(wire.CHUNK.size))
            if not size:
                return body
            body += await self.exactly(size)

    async def chunks_of(self, size: int) -> bytes:
        """Chunks that hold ``size`` bytes together."""
        body = b""
        while len(body) < size:
            (count,) = wire.CHUNK.unpack(await self.exactly(wire.CHUNK.size))
            body += await self.exactly(count)
        return body

    async def goodbye(self) -> None:
        await self.frame(wire.GOODBYE)
        self.close()


class Workers:
    """The listening side of the leases."""

    def __init__(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind("")  # the kernel chooses an abstract name
        sock.listen(64)
        self._sock = trio.socket.from_stdlib_socket(sock)
        self.leases: list[Lease] = []

    @property
    def address(self) -> str:
        """The abstract name."""
        return bytes(self._sock.getsockname())[1:].decode()

    async def queued(self) -> Lease:
        """A connection, not greeted yet."""
        with trio.fail_after(PATIENCE):
            sock, _ = await self._sock.accept()
        lease = Lease(sock)
        self.leases.append(lease)
        return lease

    async def accept(self) -> Lease:
        """A new lease, greeted."""
        lease = await self.queued()
        await lease.frame(wire.HELLO)
        return lease

    async def accept_reader(self) -> Lease:
        """A new lease, greeted, of a worker that reads the queue."""
        lease = await self.queued()
        await lease.frame(wire.HELLO | wire.QUEUE)
        await lease.attach()
        return lease

    async def nobody_waits(self) -> bool:
        """No connection has come, and none comes soon."""
        await settled()
        with trio.move_on_after(0.05) as scope:
            sock, _ = await self._sock.accept()
            sock.close()
        return scope.cancelled_caught

    def close(self) -> None:
        for lease in self.leases:
            lease.close()
        self._sock.close()


class Uwsgi:
    """A plain uwsgi backend."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.sock = sock
        self.connections: list[Backend] = []

    @classmethod
    def on_tcp(cls) -> Self:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.bind(("127.0.0.1", 0))
        sock.listen(16)
        return cls(trio.socket.from_stdlib_socket(sock))

    @classmethod
    def on_path(cls, path: str, backlog: int = 16) -> Self:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(path)
        sock.listen(backlog)
        return cls(trio.socket.from_stdlib_socket(sock))

    @property
    def address(self) -> str:
        name = self.sock.getsockname()
        return name if isinstance(name, str) else f"{name[0]}:{name[1]}"

    async def accept(self) -> Backend:
        with trio.fail_after(PATIENCE):
            sock, _ = await self.sock.accept()
        connection = Backend(sock)
        self.connections.append(connection)
        return connection

    async def is_idle(self) -> bool:
        """No connection has come, and none comes soon."""
        await settled()
        with trio.move_on_after(0.05) as scope:
            sock, _ = await self.sock.accept()
            sock.close()
        return scope.cancelled_caught

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        self.sock.close()
