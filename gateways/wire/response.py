"""Answers of plain uwsgi backends: an HTTP response that ends when the connection does.

A backend's answer is checked before anything of it is forwarded (spec/uwsgi-protocol.md
section 4): what is malformed becomes a 502.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from uwgate.gateways.wire import lease
from uwgate.gateways.wire.http1 import FIELD_LINE, tokens_of

MAX_HEAD = 65535  # bytes; uWSGI's own response-headers-limit
# The status line, or what a worker with cgi-mode sends instead. uWSGI repeats the request's
# SERVER_PROTOCOL there: what it says of the framing is not meant.
STATUS_LINE = re.compile(
    rb"(?:HTTP/(?:1\.[01]|2\.0) |[Ss]tatus: )([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?"
)
CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Fields that a Connection field cannot take away: they frame or describe the body.
_KEPT = frozenset((b"content-length", b"content-type", b"content-encoding", b"set-cookie"))
_FLAGS = {
    b"date": lease.DATE,
    b"server": lease.SERVER,
    b"content-length": lease.LENGTH,
    b"uwsgi-encoding": lease.ENCODING,
    b"x-sendfile": lease.NAMES_FILE,
    b"x-accel-redirect": lease.NAMES_FILE,
}


class ResponseError(ValueError):
    """A backend's answer breaks HTTP."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A checked head, in the form of ``lease``: ``head`` and ``flags`` mean what they mean there.

    ``length`` is the body's size in bytes, None when the end of the connection ends it.
    ``chunked``: the backend chunks the body itself.
    """

    status: int
    head: bytes
    flags: int
    length: int | None
    chunked: bool


def read_response(buffer: bytes, method: bytes) -> tuple[ResponseHead, bytes] | None:
    """The head of an answer to ``method``, and what stands behind it; None while it is not whole.

    Raises:
        ResponseError: it is malformed, or longer than ``MAX_HEAD``.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD:
            raise ResponseError(f"a head of more than {MAX_HEAD} bytes")
        return None
    return parse_response(buffer[:end], method), buffer[end + 4 :]


def parse_response(head: bytes, method: bytes) -> ResponseHead:
    """Check and read a whole head (up to, not with, its empty line), the answer to ``method``.

    Raises:
        ResponseError: a line is malformed, or the framing is ambiguous.
    """
    first, *lines = head.split(b"\r\n")
    status_line = STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise ResponseError(f"malformed status line {first[:60]!r}")
    status = int(status_line[1])
    fields: list[tuple[bytes, bytes, bytes]] = []
    for line in lines:
        if FIELD_LINE.fullmatch(line) is None:
            raise ResponseError(f"malformed header line {line[:60]!r}")
        name, _, value = line.partition(b":")
        fields.append((name.lower(), line, value.strip(b" \t")))
    dropped = set(HOP_BY_HOP)
    lengths: set[bytes] = set()
    codings: list[bytes] = []
    for name, _, value in fields:
        if name == b"connection":
            dropped.update(set(tokens_of(value)) - _KEPT)
        elif name == b"content-length":
            lengths.add(value)
        elif name == b"transfer-encoding":
            codings.append(value.lower())
    if len(lengths) > 1 or any(CONTENT_LENGTH.fullmatch(value) is None for value in lengths):
        raise ResponseError("malformed or contradictory Content-Length")
    if codings and (codings != [b"chunked"] or lengths):
        raise ResponseError("Transfer-Encoding other than chunked, or beside Content-Length")
    if status == 204:  # RFC 9110 section 8.6
        dropped.add(b"content-length")
    kept = [b"%b %b" % (status_line[1], status_line[2] or b"")]
    flags = lease.HEAD
    for name, line, _ in fields:
        if name in dropped or (name == b"content-length" and flags & lease.LENGTH):
            continue
        flags |= _FLAGS.get(name, 0)
        kept.append(line)
    length = int(lengths.pop()) if lengths else None
    if method == b"HEAD" or status in (204, 304) or status < 200:
        flags |= lease.NO_BODY
        length = 0
    return ResponseHead(status, b"\r\n".join(kept) + b"\r\n", flags, length, bool(codings))
