"""An HTTP/2 client that is driven frame by frame, and can break every rule."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio
from hpack.hpack import Decoder, Encoder

from tests.gateways.instance import Instance, running
from tests.gateways.peers import PATIENCE, Stream
from uwgate.conf.groups.http2 import Http2Options
from uwgate.gateways.http2.connection import Connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6

Fields = Iterable[tuple[bytes, bytes]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + pack(stream) + payload


def pack(number: int) -> bytes:
    """32 bits."""
    return struct.pack(">I", number)


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def fields_of(
    path: bytes = b"/",
    *more: tuple[bytes, bytes],
    method: bytes = b"GET",
    scheme: bytes = b"http",
    authority: bytes = b"a.example",
) -> list[tuple[bytes, bytes]]:
    """The fields of a request."""
    return [
        (b":method", method),
        (b":scheme", scheme),
        (b":path", path),
        (b":authority", authority),
        *more,
    ]


@dataclass
class Frame:
    """A frame that came from the gateway."""

    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass
class Response:
    """A response; ``reset`` is the error code with which the stream ended, if it did."""

    lines: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def fields(self) -> dict[bytes, bytes]:
        return dict(self.lines)

    @property
    def status(self) -> int:
        return int(self.fields[b":status"])


class Http2Client(Stream):
    """The client's end of a connection."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        super().__init__(sock)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.responses: dict[int, Response] = {}
        self.seen: list[Frame] = []  # all frames so far
        self.opens_windows = True  # give back what DATA frames take of the windows

    async def start(self, *pairs: tuple[int, int]) -> None:
        """The preface, and our settings."""
        await self.send(PREFACE + settings(*pairs))

    async def request(
        self, stream: int, fields: Fields | None = None, *, end: bool = True, flags: int = 0
    ) -> None:
        """Send a request's HEADERS."""
        await self.send(self.headers(stream, fields, end=end, flags=flags))

    def headers(
        self, stream: int, fields: Fields | None = None, *, end: bool = True, flags: int = 0
    ) -> bytes:
        """A request's HEADERS frame."""
        block = self.encoder.encode(fields_of() if fields is None else fields)
        return frame(HEADERS, flags | END_HEADERS | (END_STREAM if end else 0), stream, block)

    async def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        await self.send(frame(DATA, END_STREAM if end else 0, stream, data))

    async def frame(self) -> Frame:
        """The next frame, whatever it is."""
        head = await self.exactly(9)
        size = int.from_bytes(head[:3], "big")
        payload = await self.exactly(size)
        one = Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), payload)
        self.seen.append(one)
        await self._note(one)
        return one

    async def _note(self, one: Frame) -> None:
        response = self.responses.setdefault(one.stream, Response())
        if one.kind == HEADERS:
            assert one.flags & END_HEADERS
            lines = self.decoder.decode(one.payload, raw=True)
            response.lines = [(bytes(name), bytes(value)) for name, value in lines]
        elif one.kind == DATA:
            response.body += one.payload
            if self.opens_windows and one.payload:
                update = pack(len(one.payload))
                await self.send(
                    frame(WINDOW_UPDATE, 0, 0, update) + frame(WINDOW_UPDATE, 0, one.stream, update)
                )
        elif one.kind == RST_STREAM:
            response.reset = int.from_bytes(one.payload, "big")
        if one.kind in (HEADERS, DATA) and one.flags & END_STREAM:
            response.ended = True

    async def next(self, kind: int, stream: int = 0) -> Frame:
        """The next frame of a kind on a stream; others are noted on the way."""
        while True:
            one = await self.frame()
            if one.kind == kind and one.stream == stream:
                return one

    async def response(self, stream: int) -> Response:
        """A response, up to its end or the stream's."""
        response = self.responses.setdefault(stream, Response())
        while not response.ended and response.reset is None:
            await self.frame()
        return response

    async def reset_of(self, stream: int) -> int:
        """The code of the RST_STREAM that ends a stream."""
        response = self.responses.setdefault(stream, Response())
        while response.reset is None:
            await self.frame()
        return response.reset

    async def goaway(self) -> tuple[int, int]:
        """Last stream and error code of the next GOAWAY."""
        payload = (await self.next(GOAWAY)).payload
        return int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")

    async def ended_with(self) -> int:
        """The error code with which the connection ends; it must be closed then."""
        _, code = await self.goaway()
        with trio.fail_after(PATIENCE):
            await self.rest()
        return code

    async def ping(self) -> None:
        """A PING and its answer: everything before it has been read."""
        await self.send(frame(PING, 0, 0, b"12345678"))
        while (await self.next(PING)).flags != ACK:
            pass


class Conversation:
    """A gateway, one worker, and a client that has said hello."""

    def __init__(self, instance: Instance, client: Http2Client) -> None:
        self.instance = instance
        self.client = client
        self.workers = instance.workers
        self.gateway = instance.gateway

    async def connection(self) -> Connection:
        """The gateway's end of the connection."""
        await self.client.ping()
        (connection,) = self.gateway._connections
        return connection

    async def another(self, *pairs: tuple[int, int]) -> Http2Client:
        """One more client."""
        client = await connect(self.instance)
        await client.start(*pairs)
        return client

    async def works(self, stream: int) -> None:
        """The connection still serves."""
        await self.client.request(stream)
        lease = self.workers.leases[0] if self.workers.leases else await self.workers.accept()
        await lease.packet()
        await lease.answer()
        assert (await self.client.response(stream)).body == b"ok"


async def connect(instance: Instance) -> Http2Client:
    sock = await instance.connected()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Else the kernel takes megabytes on behalf of a client that does not read.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client = Http2Client(sock)
    instance.streams.append(client)
    return client


@asynccontextmanager
async def talking(
    *pairs: tuple[int, int], http2: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Conversation]:
    """A gateway that takes HTTP/2, and a client with the settings ``pairs``."""
    chosen = Http2Options(http2_prior_knowledge=True, **(http2 or {}))
    async with running(http2=chosen, **options) as instance:
        client = await connect(instance)
        await client.start(*pairs)
        yield Conversation(instance, client)
