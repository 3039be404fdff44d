"""What a transformation is, and the pipeline that a response's body goes through.

A transformation is a value that an action adds to the transaction; ``open`` makes the stream
that works on one body. Streams hand on what they can at once; one that ``buffers`` needs the
whole body first, and then the response's head waits with it (``Pipeline.holds_head``).
"""

from __future__ import annotations

from typing import Protocol

from uwgate.routing.outside import Outside
from uwgate.routing.transaction import Header, Transaction

MAX_BUFFER = 16 << 20  # bytes of one body that one stream keeps
_SLOW = frozenset(("toxslt",))  # by name; whoever has a loop finishes them in a thread


class Stream(Protocol):
    """One transformation at work on one body."""

    def begin(self, headers: list[Header]) -> None:
        """The first byte is about to come: say so in the headers."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give what is ready."""

    def finish(self, headers: list[Header], *, complete: bool) -> bytes:
        """The last bytes. ``complete`` False: the body was cut off, keep nothing of it.

        Only a stream that buffers may still change the headers.
        """


class Transformation(Protocol):
    """What an action adds to a transaction."""

    @property
    def name(self) -> str:
        """As the action is called."""

    @property
    def buffers(self) -> bool:
        """Whether it needs the whole body before it gives the first byte."""

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream for this response."""


class Pipeline:
    """All transformations of a response, in the order in which they were added.

    Feed the body, then finish; send the head before the first bytes that come out, or if
    ``holds_head`` only behind ``finish``. Behind the last ``flush`` nothing reaches the
    client: what stands there still sees the body (to store it), but changes no header.
    """

    def __init__(self, transaction: Transaction, outside: Outside) -> None:
        kept = transaction.transformations
        flushes = [place for place, one in enumerate(kept) if one.name == "flush"]
        visible = flushes[-1] if flushes else len(kept)
        self._transaction = transaction
        self._streams = [one.open(transaction, outside) for one in kept if one.name != "flush"]
        # The flushes before the last one are not streams either.
        self._visible = visible - len(flushes) + 1 if flushes else len(self._streams)
        self.takes_long = any(one.name in _SLOW for one in kept)
        self.holds_head = any(one.buffers for one in kept[:visible])
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """What the client gets now."""
        if not data:
            return b""
        if not self._begun:
            self._begun = True
            for place, stream in enumerate(self._streams):
                stream.begin(self._headers(place))
        shown = data
        for place, stream in enumerate(self._streams):
            data = stream.feed(data)
            if place < self._visible:
                shown = data
        return shown

    def finish(self, *, complete: bool = True) -> bytes:
        """The last bytes for the client."""
        data = shown = b""
        for place, stream in enumerate(self._streams):
            if data:
                data = stream.feed(data)
            data += stream.finish(self._headers(place), complete=complete)
            if place < self._visible:
                shown = data
        return shown

    def _headers(self, place: int) -> list[Header]:
        return self._transaction.headers if place < self._visible else []


def replace_header(headers: list[Header], name: bytes, value: bytes | None) -> None:
    """Leave one header of that name, at the end; None: leave none."""
    lower = name.lower()
    headers[:] = [pair for pair in headers if pair[0].lower() != lower]
    if value is not None:
        headers.append((name, value))


def has_header(headers: list[Header], name: bytes) -> bool:
    """Whether there is a header of that name."""
    lower = name.lower()
    return any(pair[0].lower() == lower for pair in headers)
