"""Request bodies: ``wsgi.input`` as PEP 3333 wants it, whatever the framing on the wire."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from typing import IO

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire.chunked import ChunkedDecoder
from uwgate.gateways.wire.lease import CHUNK, MAX_CHUNK
from uwgate.workers.connection import Connection

PROMPT = 0.02  # seconds; an unread rest that is on its way already comes within this


class BodyError(OSError):
    """The client broke off, stalled, or broke the framing; ``status`` is what it would get."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Body:
    """``wsgi.input``; this one is empty. Subclasses override ``_receive``.

    ``done`` is True when nothing of the body is left on the connection. ``length`` is the
    size in bytes that was announced, 0 if none was.
    """

    __slots__ = ("_piece", "_position", "_taken", "done", "length")

    def __init__(self) -> None:
        self.done = True
        self.length = 0
        self._piece = b""  # received, and read up to _position
        self._position = 0
        self._taken = 0  # bytes of earlier pieces

    def read(self, size: int | None = -1) -> bytes:
        """``size`` bytes, fewer only at the end; everything without a size.

        Raises:
            BodyError: the rest did not come.
        """
        if size is None or size < 0:
            return b"".join(iter(lambda: self._take(MAX_CHUNK), b""))
        data = self._take(size)
        if len(data) == size or not data:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and (data := self._take(missing)):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def readline(self, size: int | None = -1) -> bytes:
        """One line with its end, at most ``size`` bytes of it; empty at the end.

        Raises:
            BodyError: the rest did not come.
        """
        limit = -1 if size is None else size
        parts: list[bytes] = []
        while limit:
            if not self._fill():
                break
            end = self._piece.find(b"\n", self._position) + 1
            count = (end or len(self._piece)) - self._position
            if 0 <= limit < count:
                count = limit
                end = 0
            parts.append(self._take(count))
            if limit > 0:
                limit -= count
            if end:
                break
        return b"".join(parts)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """The lines that are left, or as many as reach ``hint`` bytes."""
        lines: list[bytes] = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def read_some(self, size: int) -> bytes:
        """At least one byte and at most ``size``; empty at the end.

        Raises:
            BodyError: nothing came; with status 408 it may still come.
        """
        return self._take(size)

    def tell(self) -> int:
        """How many bytes have been read."""
        return self._taken + self._position

    def close(self) -> None:
        """Nothing: the connection belongs to the slot."""

    def forget_continue(self) -> None:
        """The response begins: 100 Continue would come too late."""

    def settle(self, limit: int) -> bool:
        """Take what is left off the connection, up to ``limit`` bytes that come promptly.

        Returns whether the connection stands behind the body now.
        """
        return True

    def _fill(self) -> bool:
        """Have at least one byte to take; False at the end."""
        if self._position < len(self._piece):
            return True
        if self.done:
            return False
        self._taken += len(self._piece)
        self._piece = b""
        self._position = 0
        self._piece = self._receive()
        return bool(self._piece)

    def _take(self, size: int) -> bytes:
        if not size or not self._fill():
            return b""
        start = self._position
        if not start and size >= len(self._piece):
            data = self._piece
        else:
            data = self._piece[start : start + size]
        self._position = start + len(data)
        return data

    def _receive(self) -> bytes:
        return b""


class ReceivedBody(Body):
    """A body that comes over a connection.

    ``announce`` is sent once more of the body is needed than has been received: it asks the
    peer for the rest. ``withheld``: until then the peer sends nothing of the body at all.
    """

    __slots__ = ("_announce", "_connection", "_withheld")

    def __init__(
        self, connection: Connection, announce: bytes = b"", *, withheld: bool = False
    ) -> None:
        super().__init__()
        self.done = False
        self._connection = connection
        self._announce = announce
        self._withheld = withheld

    def forget_continue(self) -> None:
        """The response begins: 100 Continue would come too late."""
        self._announce = b""

    def settle(self, limit: int) -> bool:
        """See ``Body.settle``. A rest that was not asked for cannot be taken off."""
        if self._announce:
            return self._withheld
        timeout = self._connection.timeout
        deadline = time.monotonic() + PROMPT
        try:
            while not self.done and limit > 0:
                self._connection.timeout = max(0.0, deadline - time.monotonic())
                limit -= len(self._receive())
        except OSError:
            return False
        finally:
            self._connection.timeout = timeout
        return self.done

    def _fetch(self) -> bytes:
        """Bytes of the connection, at least one.

        Raises:
            BodyError: there are no more, or they did not come in time.
        """
        connection = self._connection
        data = connection.buffer
        if data:
            connection.buffer = b""
            return data
        try:
            if self._announce:
                connection.send(self._announce)
                self._announce = b""
            data = connection.receive()
        except TimeoutError:
            raise BodyError("timeout during read on wsgi.input", 408) from None
        except OSError as error:
            raise BodyError(f"error during read on wsgi.input: {error.strerror}") from error
        if not data:
            raise BodyError("error during read on wsgi.input: the client broke off")
        return data


class LengthBody(ReceivedBody):
    """A body of ``length`` bytes, more than 0."""

    __slots__ = ("_left",)

    def __init__(
        self,
        connection: Connection,
        length: int,
        announce: bytes = b"",
        *,
        withheld: bool = False,
    ) -> None:
        super().__init__(connection, announce, withheld=withheld)
        self.length = length
        self._left = length

    def settle(self, limit: int) -> bool:
        """See ``Body.settle``."""
        return (self._left <= limit or bool(self._announce)) and super().settle(limit)

    def _receive(self) -> bytes:
        data = self._fetch()
        if len(data) > self._left:
            self._connection.buffer = data[self._left :]
            data = data[: self._left]
        self._left -= len(data)
        self.done = not self._left
        return data


class UnknownLengthBody(ReceivedBody):
    """A body whose end shows only when it comes; ``limit`` is the most it may have, 0: any."""

    __slots__ = ("_limit", "_total")

    def __init__(
        self,
        connection: Connection,
        limit: int,
        announce: bytes = b"",
        *,
        withheld: bool = False,
    ) -> None:
        super().__init__(connection, announce, withheld=withheld)
        self._limit = limit
        self._total = 0

    def _count(self, size: int) -> None:
        self._total += size
        if self._limit and self._total > self._limit:
            raise BodyError(f"body of more than limit-post = {self._limit} bytes", 413)


class FramedBody(UnknownLengthBody):
    """A body in chunks of the lease protocol (``BODY_FRAMED``)."""

    __slots__ = ("_left",)

    def __init__(
        self,
        connection: Connection,
        limit: int,
        announce: bytes = b"",
        *,
        withheld: bool = False,
    ) -> None:
        super().__init__(connection, limit, announce, withheld=withheld)
        self._left = 0  # of the chunk that is being received

    def _receive(self) -> bytes:
        data = self._fetch()
        if not self._left:
            while len(data) < CHUNK.size:
                try:
                    data += self._fetch()
                except BodyError:
                    self._connection.buffer = data  # who is patient may try again
                    raise
            (self._left,) = CHUNK.unpack_from(data)
            if self._left > MAX_CHUNK:
                raise BodyError(f"chunk of {self._left} bytes, limit {MAX_CHUNK}")
            data = data[CHUNK.size :]
            if not self._left:
                self.done = True
                self._connection.buffer = data
                return b""
            if not data:
                data = self._fetch()
        if len(data) > self._left:
            self._connection.buffer = data[self._left :]
            data = data[: self._left]
        self._left -= len(data)
        self._count(len(data))
        return data


class ChunkedBody(UnknownLengthBody):
    """A body in the chunked coding of HTTP/1.1."""

    __slots__ = ("_decoder",)

    def __init__(self, connection: Connection, limit: int, announce: bytes = b"") -> None:
        super().__init__(connection, limit, announce)
        self._decoder = ChunkedDecoder()

    def _receive(self) -> bytes:
        decoder = self._decoder
        data = b""
        while not data and not decoder.done:
            try:
                data = decoder.feed(self._fetch())
            except ClientError as error:
                raise BodyError(f"error during read on wsgi.input: {error}") from error
        self._count(len(data))
        if decoder.done:
            self.done = True
            self._connection.buffer = decoder.rest
        return data


EMPTY = Body()  # has no state that changes, so all requests without a body share it


def buffer_body(body: Body, memory: int, step: int) -> tuple[IO[bytes], int]:
    """All of a body as a seekable file at its start, and its size (option post-buffering).

    Up to ``memory`` bytes stay in memory, larger bodies go to a temporary file; ``step``
    bytes are read at a time.

    Raises:
        BodyError: the body did not come.
        OSError: the temporary file cannot be written.
    """
    file = tempfile.SpooledTemporaryFile(max_size=memory)  # noqa: SIM115  closed by the slot
    try:
        while data := body.read(step):
            file.write(data)
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    return file, size
