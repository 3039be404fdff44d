"""How a response goes to an HTTP/2 client: its fields as a header block."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate

from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.answers import Answers
from uwgate.gateways.responses import HSTS_LINE
from uwgate.gateways.wire.hpack import encode_field, encode_fields, encode_status
from uwgate.gateways.wire.lease import DATE, LENGTH, NO_BODY, SERVER

MAX_KNOWN = 1024  # heads that are remembered, of up to
MAX_KNOWN_SIZE = 2048  # bytes each
CONTINUE = encode_status(100)
# What only HTTP/1.1 needs of the answer to a WebSocket handshake (RFC 8441 section 5).
_HTTP_1_ONLY = frozenset((b"sec-websocket-accept", b"upgrade", b"connection"))


class ResponseHeads:
    """Writes response heads for all HTTP/2 connections of a gateway; ``answers`` counts them."""

    def __init__(
        self, options: HttpOptions, hsts: str | None = None, answers: Answers | None = None
    ) -> None:
        self.answers = Answers() if answers is None else answers
        name = options.http_server_header
        self._server = encode_field(b"server", name.encode()) if name else b""
        self._hsts = encode_field(b"strict-transport-security", hsts.encode()) if hsts else b""
        self._second = 0  # of the Date
        self._date = b""
        self._known: dict[bytes, bytes] = {}

    def block(self, flags: int, head: bytes, size: int | None, *, secure: bool = False) -> bytes:
        """A header block. ``flags`` and ``head`` are those of ``wire.lease``; ``size`` is the
        body's in bytes where all of it is at hand, else None; ``secure``: over TLS."""
        self.answers.counts[head[0]] += 1
        block = self._known.get(head)
        if block is None:
            block = _encode(head)
            if len(head) <= MAX_KNOWN_SIZE:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[head] = block
        if not flags & DATE:
            second = int(time.time())
            if second != self._second:
                self._second = second
                self._date = encode_field(b"date", formatdate(second, usegmt=True).encode())
            block += self._date
        if not flags & SERVER:
            block += self._server
        if size is not None and not flags & (LENGTH | NO_BODY):
            block += encode_field(b"content-length", b"%d" % size)
        if secure and self._hsts and HSTS_LINE not in head.lower():
            block += self._hsts
        return block

    def opened(self, head: bytes) -> bytes:
        """The header block that opens a tunnel; ``head`` is that of the backend's 101."""
        self.answers.add(200)
        fields = [(name, value) for name, value in _fields(head) if name not in _HTTP_1_ONLY]
        return encode_status(200) + encode_fields(fields)


def _encode(head: bytes) -> bytes:
    return encode_status(int(head[:3])) + encode_fields(_fields(head))


def _fields(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in head.split(b"\r\n")[1:]:
        if line:
            name, _, value = line.partition(b":")
            yield name.lower(), value.strip(b" \t")
