"""Heads of responses: as rules see them, and in the form of ``wire.lease``."""

from __future__ import annotations

from collections.abc import Iterable

from uwgate.gateways.wire import lease
from uwgate.gateways.wire.response import HOP_BY_HOP
from uwgate.routing.transaction import Header

MAX_HEAD = 0xFFFF  # bytes, as of a lease
BODILESS = frozenset((204, 304))  # RFC 9110 section 6.4.1
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
