"""Heads of responses: as rules see them, and in the form of ``wire.lease``."""

from __future__ import annotations

from collections.abc import Iterable

from uwgate.gateways.wire import lease
from uwgate.gateways.wire.response import HOP_BY_HOP
from uwgate.routing.transaction import Header
from uwgate.routing.transformations.stream import has_header, replace_header

MAX_HEAD = 0xFFFF  # bytes, as of a lease
BODILESS = frozenset((204, 304))  # RFC 9110 section 6.4.1
MAX_KNOWN = 512  # heads that are remembered, of up to
MAX_KNOWN_SIZE = 1024  # bytes each
_FLAGS = {
    b"date": lease.DATE,
    b"server": lease.SERVER,
    b"content-length": lease.LENGTH,
    b"uwsgi-encoding": lease.ENCODING,
    b"x-sendfile": lease.NAMES_FILE,
    b"x-accel-redirect": lease.NAMES_FILE,
}


def split_head(head: bytes) -> tuple[int, bytes, list[Header]]:
    """Status, reason and fields of a head that has been checked."""
    first, *lines = head.removesuffix(b"\r\n").split(b"\r\n")
    headers: list[Header] = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name, value.strip(b" \t")))
    return int(first[:3]), first[4:], headers


def join_head(
    status: int, reason: bytes, headers: Iterable[Header], *, bodiless: bool
) -> tuple[int, bytes]:
    """Flags and head. ``bodiless``: it answers a HEAD request.

    Fields that frame the message or speak of the connection are left out: that is the gateway's
    own business. Of several Content-Length the last one counts.
    """
    flags = lease.HEAD
    if bodiless or status in BODILESS or status < 200:
        flags |= lease.NO_BODY
    lines = [b"%d %b" % (status, reason)]
    length = b""
    for name, value in headers:
        lower = name.lower()
        if lower in HOP_BY_HOP:
            continue
        if lower == b"content-length":
            length = value
            continue
        flags |= _FLAGS.get(lower, 0)
        lines.append(b"%b: %b" % (name, value))
    if length.isdigit() and status != 204:  # RFC 9110 section 8.6
        flags |= lease.LENGTH
        lines.append(b"Content-Length: " + length)
    return flags, b"\r\n".join(lines) + b"\r\n"


class Heads:
    """Heads of whole answers. One for each gateway process.

    Rules give the same answer again and again, from a cache for instance: what was put together
    once is kept, as far as there is room.
    """

    def __init__(self) -> None:
        self._known: dict[object, tuple[int, bytes]] = {}

    def whole(
        self,
        status: int,
        reason: bytes,
        headers: tuple[Header, ...],
        more: tuple[Header, ...],
        size: int | None,
    ) -> tuple[int, bytes]:
        """Flags and head, as ``join_head`` makes them of ``headers`` and, behind them, ``more``.

        A Content-Length among ``headers`` becomes ``size``, that of the body in bytes. None: there
        is no body, and the field says what it wants.
        """
        key = (status, reason, headers, more, size)
        found = self._known.get(key)
        if found is not None:
            return found
        fields = list(headers)
        if size is not None and has_header(fields, b"Content-Length"):
            replace_header(fields, b"Content-Length", b"%d" % size)
        made = join_head(status, reason, [*fields, *more], bodiless=size is None)
        if len(made[1]) <= MAX_KNOWN_SIZE:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = made
        return made
