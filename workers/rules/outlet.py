"""The way out of a response that rules may change: transformations, framing, bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from uwgate.gateways.wire.lease import LENGTH, NO_BODY
from uwgate.routing.transformations.stream import Pipeline
from uwgate.workers.log import say
from uwgate.workers.rules.head import Heads, Text, is_bodiless, length_of

if TYPE_CHECKING:
    from uwgate.routing.conversation import Conversation

FILE_PIECE = 65536  # bytes of a file that go through transformations at a time
# Transformations that do not change how long a body is, or say it themselves.
_ALOOF = frozenset(
    ("flush", "offload", "toupper", "tofile", "cachestore", "memcachedstore", "redisstore")
)
_TOO_LARGE = Text(
    b"500 Internal Server Error\r\nContent-Length: 0\r\n", LENGTH | NO_BODY, close=True
)


def _nothing() -> None:
    """What is called behind the end."""


class Way(Protocol):
    """A connection on which responses with rules leave: more than a ``wsgi.Output``.

    Every method raises OSError when the peer is gone, but for the last three.
    """

    def begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        ...

    def begin_bare(self, body: bytes, last: bool) -> None:
        """The first piece of a response without a head."""
        ...

    def send_body(self, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        ...

    def send_file(self, file: int, offset: int, count: int) -> int:
        """See ``wsgi.Output``."""
        ...

    def abort(self) -> None:
        """See ``wsgi.Output``."""
        ...

    def hang_up(self) -> None:
        """There is no answer at all."""
        ...

    def close_behind(self) -> None:
        """The response that is about to begin is the last one here."""
        ...


class Outlet:
    """One response, from its settled head to its last byte.

    ``sent`` counts bytes of the body as the client gets them. ``transformed`` is called when the
    transformations have seen all of the body, before the last byte goes out. Then ``ending`` is,
    and says what comes behind the body; None: nothing can.
    """

    def __init__(
        self,
        way: Way,
        talk: Conversation,
        heads: Heads,
        *,
        head_only: bool,
        transformed: Callable[[], None],
        ending: Callable[[], bytes] | None,
    ) -> None:
        self._way = way
        self._talk = talk
        self._heads = heads
        self._head_only = head_only
        self._transformed = transformed
        self._ending = ending
        self._pipeline: Pipeline | None = None
        self._prefix = b""  # what rules sent before the body
        self._moved = 0  # by how much the declared length has to grow
        self._no_body = False
        self._is_open = False  # bytes behind the body would reach the client
        self.started = False
        self.began = False  # the head is on its way
        self.ended = False
        self.sent = 0
        self.sendfile = False
        self.head_size = (0, 0)  # fields, bytes

    def forget(self) -> None:
        """The response is over, and nobody is called any more.

        Whoever is called holds this: without it both are gone at once, and not when the collector
        of garbage comes by.
        """
        self._transformed, self._ending = _nothing, None

    def start(self, *, plain: bool = False) -> None:
        """The head is settled. ``plain``: the body passes by all transformations."""
        transaction = self._talk.transaction
        self.started = True
        self._no_body = self._head_only or is_bodiless(transaction.status)
        self._prefix = bytes(transaction.body)
        self._moved = len(self._prefix)
        transaction.body.clear()
        if transaction.transformations and not plain and not self._no_body:
            self._pipeline = Pipeline(transaction, self._talk.outside)

    def feed(self, data: bytes, *, last: bool) -> None:
        """Some of the body, perhaps nothing.

        Raises:
            OSError: the peer is gone.
        """
        if self._prefix:
            data = self._prefix + data
            self._prefix = b""
        if self._pipeline is not None:
            data = self._pipeline.feed(data)
            if last:
                data += self._pipeline.finish()
                self._transformed()
        if last and self._ending is not None:
            data += self._tail()
        if not self.began:
            if data or last:
                self._begin(data, last=last)
        elif not self._no_body or last:
            self._send(data, last=last)

    def feed_file(self, file: int, offset: int, count: int) -> int:
        """Bytes of an open file; returns how many there were.

        Raises:
            OSError: the peer is gone, or the file cannot be read.
        """
        if self._pipeline is not None:
            return self._feed_read(file, offset, count)
        if not self.began:
            self._begin(self._prefix, last=False)
            self._prefix = b""
        if self._no_body:
            return count
        sent = self._way.send_file(file, offset, count)
        self.sent += sent
        self.sendfile = True
        return sent

    def abort(self) -> None:
        """The body stays incomplete; what keeps copies of it must not."""
        if self.ended:
            return
        self.ended = True
        if self._pipeline is not None:
            self._pipeline.finish(complete=False)
        if self.began:
            self._way.abort()
        else:
            self._way.hang_up()

    def _feed_read(self, file: int, offset: int, count: int) -> int:
        left = count
        while left:
            piece = os.pread(file, min(left, FILE_PIECE), offset)
            if not piece:
                break
            self.feed(piece, last=False)
            offset += len(piece)
            left -= len(piece)
        return count - left

    def _tail(self) -> bytes:
        """What rules send behind the body, if there is a way to say that it belongs to it."""
        assert self._ending is not None
        data = self._ending()
        if not data or self._no_body:
            return b""
        if self.began and not self._is_open:
            say(f"final rules: {len(data)} bytes are not sent: the body's end is said already")
            return b""
        return data

    def _begin(self, data: bytes, *, last: bool) -> None:
        transaction = self._talk.transaction
        self.began = True
        self.ended = last
        if self._no_body:
            data = b""
        if transaction.headers_off:
            self._is_open = True
            self._way.begin_bare(data, last)
            self.sent += len(data)
            return
        head = self._head(len(data) if last else None)
        if head is _TOO_LARGE:
            self._no_body = True
            data = b""
        if head.close:
            self._way.close_behind()
        self.head_size = (max(0, head.text.count(b"\r\n") - 1), len(head.text))
        self._way.begin(head.text, head.flags, data, last)
        self.sent += len(data)

    def _head(self, whole: int | None) -> Text:
        """The head; ``whole``: the size of the body in bytes, if all of it is there."""
        talk, transaction = self._talk, self._talk.transaction
        chunked = self._pipeline is not None and any(
            name.lower() == b"transfer-encoding" for name, _ in transaction.headers
        )
        length = length_of(transaction.headers)
        if chunked or transaction.status == 204:  # RFC 9110 section 8.6
            length = None
        elif self._no_body:
            if any(one.name not in _ALOOF for one in transaction.transformations):
                length = None
        elif whole is not None:
            length = whole
        elif length is not None:
            length += self._moved
        self._is_open = not chunked and length is None
        try:
            return self._heads.write(
                transaction.status,
                transaction.reason,
                tuple(talk.head()),
                length,
                chunked,
                self._no_body,
            )
        except ValueError as error:
            say(f"rules: {error}")
            return _TOO_LARGE

    def _send(self, data: bytes, *, last: bool) -> None:
        self.ended = last
        if self._no_body:
            data = b""
        if data or last:
            self._way.send_body(data, last)
            self.sent += len(data)
