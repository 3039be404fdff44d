"""Response heads between rules and a connection: text to fields, and back. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from uwgate.gateways.wire.http1 import tokens_of
from uwgate.gateways.wire.lease import DATE, ENCODING, LENGTH, NO_BODY, SERVER
from uwgate.gateways.wire.response import HOP_BY_HOP
from uwgate.routing.transaction import Header

MAX_HEAD = 0xFFFF - 256  # bytes; a frame's head has 16 bits, and a connection adds a few lines
MAX_KNOWN = 256  # heads that are remembered, of up to
MAX_KNOWN_SIZE = 1024  # bytes each
_FLAGS = {b"date": DATE, b"server": SERVER, b"uwsgi-encoding": ENCODING}


@dataclass(frozen=True, slots=True)
class Text:
    """A head as ``wsgi.Output.begin`` takes it. ``close``: a field says that this is the end."""

    text: bytes
    flags: int
    close: bool


def read_head(text: bytes) -> tuple[int, bytes, list[Header]]:
    """Status, reason and fields of a head that has been checked (``workers/head.py``)."""
    first, *lines = text.removesuffix(b"\r\n").split(b"\r\n")
    code, _, reason = first.partition(b" ")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name, value.strip(b" \t")))
    return int(code), reason, headers


def is_bodiless(status: int) -> bool:
    """Whether a response of that status never has a body (RFC 9110 section 6.4.1)."""
    return status < 200 or status in (204, 304)


def write_head(
    status: int,
    reason: bytes,
    headers: Iterable[Header],
    *,
    length: int | None,
    chunked: bool,
    no_body: bool,
) -> Text:
    """The head with one framing: ``length`` in bytes, or chunks that are made already, or none.

    What the fields say of the framing counts for nothing but for the place of Content-Length.

    Raises:
        ValueError: it would be larger than ``MAX_HEAD``.
    """
    lines = [b"%d %b\r\n" % (status, reason)]
    flags = NO_BODY if no_body else 0
    close = False
    size = None if length is None else b"Content-Length: %d\r\n" % length
    for name, value in headers:
        lower = name.lower()
        if lower == b"content-length":
            if size is not None:
                lines.append(size)
                size = None
            continue
        if lower in HOP_BY_HOP:
            if lower == b"connection":
                close = close or b"close" in tokens_of(value)
            elif lower == b"transfer-encoding" and chunked:
                lines.append(b"Transfer-Encoding: chunked\r\n")
                chunked = False
                flags |= LENGTH  # a connection has nothing to add
            continue
        flags |= _FLAGS.get(lower, 0)
        lines.append(b"%b: %b\r\n" % (name, value))
    if size is not None:
        lines.append(size)
    if length is not None:
        flags |= LENGTH
    text = b"".join(lines)
    if len(text) > MAX_HEAD:
        raise ValueError(f"response head of {len(text)} bytes, limit {MAX_HEAD}")
    return Text(text, flags, close)


class Heads:
    """Writes heads. One for each worker.

    Rules give the same answer again and again, from a cache for instance: what was written once
    is kept, as far as there is room.
    """

    def __init__(self) -> None:
        self._known: dict[object, Text] = {}

    def write(
        self,
        status: int,
        reason: bytes,
        headers: tuple[Header, ...],
        length: int | None,
        chunked: bool,
        no_body: bool,
    ) -> Text:
        """What ``write_head`` does."""
        key = (status, reason, headers, length, chunked, no_body)
        found = self._known.get(key)
        if found is not None:
            return found
        made = write_head(status, reason, headers, length=length, chunked=chunked, no_body=no_body)
        if len(made.text) <= MAX_KNOWN_SIZE:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = made
        return made


def length_of(headers: Iterable[Header]) -> int | None:
    """The Content-Length among fields that have been checked; None without one."""
    for name, value in headers:
        if name.lower() == b"content-length":
            return int(value)
    return None
