"""Our own worker pool as a backend: exchanges over leases."""

from __future__ import annotations

import contextlib
import socket

import trio

from uwgate.conf.errors import BackendError
from uwgate.gateways import streams
from uwgate.gateways.exchange import BodySource, Reply, Request
from uwgate.gateways.leases import Lease, LeasePool
from uwgate.gateways.tunnel import SocketSide
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.cgi import pack
from uwgate.gateways.wire.upgrade import HandshakeError, check_accept
from uwgate.gateways.wire.uwsgi import HEADER, MAX_BLOCK

_FRAMED = pack((("HTTP_TRANSFER_ENCODING", b"chunked"),))
_FRAME_SIZE = wire.FRAME.size


class LeaseExchange:
    """A request on a lease (gateways/wire/lease.py)."""

    __slots__ = (
        "_body_started",
        "_framed",
        "_kept",
        "_last",
        "_lease",
        "_leases",
        "_left",
        "_sent",
        "_sent_body",
    )

    def __init__(self, leases: LeasePool) -> None:
        self._leases = leases
        self._lease: Lease | None = None
        self._framed = False
        self._body_started = False  # what was held back of the request's body is being sent
        self._sent = 0  # bytes of the packet that the lease has taken already
        self._sent_body = True  # all of the request's body is on its way
        self._left = 0  # bytes missing of the body of the frame that is being read
        self._last = False  # that frame is the last one
        self._kept = False  # the lease may be used again

    @classmethod
    def resumed(cls, leases: LeasePool, lease: Lease, sent: int) -> LeaseExchange:
        """Go on with a lease on which ``sent`` bytes of the packet have been sent already."""
        exchange = cls(leases)
        exchange._lease = lease
        exchange._sent = sent
        leases.take_out(lease)
        return exchange

    async def begin(
        self, request: Request, source: BodySource, nursery: trio.Nursery | None
    ) -> Reply:
        packet = self.packet(request)
        while True:
            if self._lease is None:
                self._lease = await self._leases.take()
                self._sent = 0
            reply = await self._try(self._lease, packet, source, nursery)
            if reply is not None:
                if reply.flags & wire.TUNNEL:
                    _check_tunnel(request, reply)
                return reply
            self._leases.discard(self._lease)
            self._lease = None

    def packet(self, request: Request) -> bytes:
        """What goes over the lease at first."""
        block = request.block
        body = request.body
        flags = 0
        if request.length is None:
            self._framed = True
            block += _FRAMED
            flags = wire.BODY_FRAMED
            body = wire.CHUNK.pack(len(body)) + body if body else b""
            if request.complete:
                body += wire.CHUNK.pack(0)
        if request.websocket_key:
            flags = wire.MAY_TUNNEL
        if not request.complete:
            self._sent_body = False
            flags |= wire.EXPECT if request.expects_continue else wire.ACKNOWLEDGE
        if len(block) > MAX_BLOCK:
            raise BackendError("worker", f"request block of {len(block)} bytes", sent=False)
        return HEADER.pack(0, len(block), flags) + block + body

    async def _try(
        self, lease: Lease, packet: bytes, source: BodySource, nursery: trio.Nursery | None
    ) -> Reply | None:
        """Send the request and await the reply; None if the worker left without running it."""
        sock = lease.sock
        sent = self._sent
        if not sent:
            try:
                sent = sock.send(packet)
            except BlockingIOError:
                pass
            except OSError:
                return None  # closed before anything was handed over
        if sent < len(packet):
            # Should that fail: its goodbye, or end of file, says what became of the request.
            with contextlib.suppress(OSError):
                await streams.send_all(sock, packet[sent:])
        while True:
            if len(lease.buffer) < _FRAME_SIZE:
                await self._receive(lease)
                continue
            flags, head_size, body_size = wire.FRAME.unpack_from(lease.buffer)
            if flags & wire.HEAD:
                # The application may answer before it reads: that takes the request as well.
                if not flags & wire.LAST:
                    self._start_body(sock, source, nursery)
                break
            lease.buffer = lease.buffer[_FRAME_SIZE:]
            if flags & wire.GOODBYE:
                if self._body_started:
                    raise BackendError("worker", "left a request that it had taken", sent=True)
                return None
            if flags & wire.CONTINUE:
                await source.send_continue()
            elif not flags & wire.TAKEN:
                raise BackendError("worker", f"frame with flags {flags}", sent=True)
            self._start_body(sock, source, nursery)
        start = _FRAME_SIZE + head_size
        while len(lease.buffer) < start:
            await self._receive(lease)
        head = lease.buffer[_FRAME_SIZE:start]
        lease.buffer = lease.buffer[start:]
        if flags & wire.TUNNEL:
            return Reply(flags, head, b"", last=False)
        self._open_frame(flags, body_size)
        body, last = self._take()
        return Reply(flags, head, body, last)

    @property
    def side(self) -> SocketSide:
        lease = self._lease
        assert lease is not None
        data, lease.buffer = lease.buffer, b""
        return SocketSide(lease.sock, data)

    async def read(self) -> tuple[bytes, bool]:
        lease = self._lease
        assert lease is not None
        while True:
            if self._left or self._last:
                if self._left and not lease.buffer:
                    await self._receive(lease)
                return self._take()
            try:
                header = wire.decode_header(lease.buffer)
            except wire.LeaseError as error:
                raise BackendError("worker", str(error), sent=True) from error
            if header is None:
                await self._receive(lease)
                continue
            flags, _, body_size = header
            lease.buffer = lease.buffer[_FRAME_SIZE:]
            if flags & (wire.TAKEN | wire.CONTINUE):  # the answer had begun already
                continue
            self._open_frame(flags, body_size)

    def _open_frame(self, flags: int, body_size: int) -> None:
        if flags & wire.ABORTED:
            raise BackendError("worker", "the application broke off", sent=True)
        self._left = body_size
        self._last = bool(flags & wire.LAST)
        self._kept = not flags & wire.GOODBYE

    def _take(self) -> tuple[bytes, bool]:
        lease = self._lease
        assert lease is not None
        buffer = lease.buffer
        left = self._left
        if len(buffer) <= left:
            lease.buffer = b""
            data = buffer
        else:
            data = buffer[:left]
            lease.buffer = buffer[left:]
        self._left = left = left - len(data)
        return data, self._last and not left

    async def _receive(self, lease: Lease) -> None:
        try:
            data = await streams.receive(lease.sock, self._leases.receive_size)
        except OSError as error:
            raise BackendError("worker", f"died: {error.strerror}", sent=True) from error
        if not data:
            raise BackendError("worker", "died while it ran the request", sent=True)
        lease.buffer += data

    def _start_body(
        self, sock: socket.socket, source: BodySource, nursery: trio.Nursery | None
    ) -> None:
        """Forward the rest of the request's body from now on."""
        if nursery is not None and not self._sent_body and not self._body_started:
            self._body_started = True
            nursery.start_soon(self._forward_body, sock, source)

    async def _forward_body(self, sock: socket.socket, source: BodySource) -> None:
        more = True
        while more:
            data = await source.read_body()  # an OSError here is the client's: it ends the request
            more = bool(data)
            if self._framed:
                data = wire.CHUNK.pack(len(data)) + data
            try:
                await streams.send_all(sock, data)
            except OSError:
                return  # the worker is gone or has read enough: its answer says which
        self._sent_body = True

    def end(self) -> None:
        lease = self._lease
        if lease is None:
            return
        self._lease = None
        done = self._last and not self._left and not lease.buffer
        if done and self._kept and self._sent_body:
            self._leases.put_back(lease)
        else:
            self._leases.discard(lease)


def _check_tunnel(request: Request, reply: Reply) -> None:
    if not request.websocket_key:
        raise BackendError("worker", "a tunnel that nobody asked for", sent=True)
    try:
        check_accept(reply.head, request.websocket_key)
    except HandshakeError as error:
        raise BackendError("worker", str(error), sent=True) from error
