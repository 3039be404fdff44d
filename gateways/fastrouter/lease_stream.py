"""The answer of a worker on a lease, in the form of a socket that is read to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from uwgate.gateways.wire.lease import (
    ABORTED,
    CONTINUE,
    FRAME,
    GOODBYE,
    LAST,
    TAKEN,
    LeaseError,
    decode_header,
)

if TYPE_CHECKING:
    from uwgate.gateways.leases import Lease, LeasePool

ENDLESS: Final = 1 << 62  # bytes; more than a Content-Length can say


class LeaseStream:
    """Frames come out as the text that they make, end of file follows the last one.

    What is sent is the request's body, of which ``left`` bytes are still to come (ENDLESS:
    that is not known). Goes back to the pool as soon as the answer has been read, if it may be used
    again; ``let_go`` is called if it is closed at that moment, because it has not got all of
    the body. Methods raise what a socket's do.
    """

    __slots__ = (
        "_buffer",
        "_ended",
        "_framed",
        "_keeps",
        "_last",
        "_lease",
        "_leases",
        "_let_go",
        "_piece",
        "left",
    )

    def __init__(self, leases: LeasePool, left: int, let_go: Callable[[], None]) -> None:
        self.left = left
        self._leases = leases
        self._let_go = let_go
        self._lease: Lease | None = None
        self._framed = True
        self._buffer = b""  # received, and not read yet
        self._piece = 0  # bytes of the frame that is being read, which are still to come
        self._last = False  # it is the last one
        self._keeps = False  # the worker stays
        self._ended = False

    def hold(self, answer: bytes) -> None:
        """This is all that will be read."""
        self._buffer = answer
        self._piece = len(answer)
        self._last = True

    def open(self, lease: Lease, *, framed: bool) -> None:
        """Read from ``lease``, which is out of the pool's hands. Without frames: behind TAKEN."""
        self._lease = lease
        self._framed = framed
        self._buffer = lease.buffer
        lease.buffer = b""

    def drop(self) -> None:
        """Close the connection to the worker; again does no harm."""
        lease = self._lease
        if lease is not None:
            self._lease = None
            self._buffer = b""
            self._leases.discard(lease)

    def peek(self) -> int | None:
        """The flags of the next frame; None while they are not here.

        A TAKEN is not left in the way of what follows.

        Raises:
            OSError: the worker has died.
            LeaseError: it breaks the format.
        """
        while (header := decode_header(self._buffer)) is None:
            try:
                self._receive()
            except BlockingIOError:
                return None
        if header[0] & TAKEN:
            self._buffer = self._buffer[FRAME.size :]
        return header[0]

    def fileno(self) -> int:
        """What to wait for."""
        return -1 if self._lease is None else self._lease.sock.fileno()

    def recv_into(self, buffer: memoryview) -> int:
        """The next bytes of the answer; 0 at its end."""
        if not self._framed:
            return self._receive_plain(buffer)
        if not self._has_piece():
            return 0
        if not self._buffer:
            assert self._lease is not None
            count = self._lease.sock.recv_into(buffer, min(self._piece, len(buffer)))
            if not count:
                raise ConnectionResetError("died in the middle of its answer")
        else:
            data = self._buffer
            count = min(self._piece, len(buffer), len(data))
            buffer[:count] = data[:count]
            self._buffer = data[count:]
        self._piece -= count
        if not self._piece and self._last:
            self._end()
        return count

    def recv(self, size: int, /) -> bytes:
        """The same as new bytes, at most ``size``."""
        if self._piece == len(self._buffer) <= size and self._last and self._piece:
            data, self._buffer = self._buffer, b""
            self._piece = 0
            self._end()
            return data
        buffer = bytearray(size)
        count = self.recv_into(memoryview(buffer))
        return bytes(buffer[:count])

    def _has_piece(self) -> bool:
        """Begin with the next frame when one has been read; False at the end of all."""
        while not self._piece:
            if self._last:
                self._end()
                return False
            self._next_frame()
        return True

    def _receive_plain(self, buffer: memoryview) -> int:
        if self._buffer:
            count = min(len(self._buffer), len(buffer))
            buffer[:count] = self._buffer[:count]
            self._buffer = self._buffer[count:]
            return count
        if self._lease is None:
            return 0
        return self._lease.sock.recv_into(buffer)

    def _next_frame(self) -> None:
        try:
            while (header := decode_header(self._buffer)) is None:
                self._receive()
        except LeaseError as error:
            raise ConnectionResetError(str(error)) from error
        flags, head_size, body_size = header
        self._buffer = self._buffer[FRAME.size :]
        if flags & ABORTED:
            raise ConnectionResetError("the application broke off")
        if flags & (TAKEN | CONTINUE):  # the answer had begun already
            return
        if flags & GOODBYE and not flags & LAST:
            raise ConnectionResetError("left in the middle of its answer")
        self._piece = head_size + body_size
        self._last = bool(flags & LAST)
        self._keeps = not flags & GOODBYE

    def _receive(self) -> None:
        """More bytes into the buffer."""
        lease = self._lease
        if lease is None:
            raise ConnectionResetError("there is no worker any longer")
        data = lease.sock.recv(self._leases.receive_size)
        if not data:
            raise ConnectionResetError("died while it ran the request")
        self._buffer += data

    def _end(self) -> None:
        """The whole answer has been read."""
        lease = self._lease
        if lease is None:
            return
        self._lease = None
        if self._keeps and not self.left and not self._buffer:
            self._leases.take_out(lease)
            self._leases.put_back(lease)
            return
        self._leases.discard(lease)
        if self.left:
            self._let_go()

    def send(self, data: memoryview) -> int:
        """Send more of the body; what follows the body is thrown away."""
        lease = self._lease
        if lease is None:
            if self.left:
                raise BrokenPipeError("the worker has read enough")
            return len(data)
        if not self.left:
            return len(data)
        size = len(data)
        if size > self.left:
            data = data[: self.left]
        sent = lease.sock.send(data)
        if self.left != ENDLESS:
            self.left -= sent
        return sent if self.left else size

    def shutdown(self, how: int) -> None:
        """The client sends no more; a worker that has the whole body need not know."""
        if self._lease is not None and self.left:
            self._lease.sock.shutdown(how)

    def close(self) -> None:
        """For whoever cleans up."""
        self.drop()
