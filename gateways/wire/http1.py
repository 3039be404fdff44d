"""HTTP/1 request heads: what we accept, and how its body is framed.

Stricter than RFC 9112 asks, so that nobody before or behind us can read the same bytes
differently: CR LF only, no folded lines, no white space before a colon, one Host, one
all-digit Content-Length, ``Transfer-Encoding: chunked`` or nothing, never both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire.cgi import HOST, fields_of

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 section 5.6.2
# RFC 9112 section 3; the version is checked apart, so that 505 can be told from 400.
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])\r\n")
# RFC 9112 section 5; field-vchar, blanks and tabs. The possessive loop keeps it linear.
FIELD_LINES = re.compile(rb"(?:" + TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*+\r\n")
FIELD_LINE = re.compile(TOKEN + rb":[\t\x20-\x7e\x80-\xff]*")
EMPTY_LINES = re.compile(rb"(?:\r\n)*+")
BARE_LF = re.compile(rb"(?<!\r)\n")
# 18 digits fit into 64 bits whoever reads them.
CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request head: all of it and one line in bytes, and header lines."""

    head: int = 32768
    line: int = 16384
    headers: int = 128


@dataclass(slots=True)
class Framing:
    """How a request's body is framed and what becomes of its connection.

    ``length`` is the body's size in bytes, None when it comes chunked.
    """

    length: int | None
    keep_alive: bool
    expects_continue: bool


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request head as it was sent: bytes throughout, header lines in order."""

    method: bytes
    target: bytes
    minor: int  # of HTTP/1.x
    headers: list[tuple[bytes, bytes]]


def find_end(buffer: bytes, limits: Limits) -> int:
    """Index behind the head that begins ``buffer``, or -1 while bytes are missing.

    Raises:
        ClientError: what is there can never become an acceptable head (400, 414, 431).
    """
    end = buffer.find(b"\r\n\r\n", 0, limits.head)
    if end >= 0:
        return end + 4
    if BARE_LF.search(buffer):
        raise ClientError(400, "line ends in LF without CR")
    if b"\r\n" not in buffer and len(buffer) > limits.line:
        raise ClientError(414, f"request line of more than {limits.line} bytes")
    if len(buffer) >= limits.head:
        raise ClientError(431, f"request head of more than {limits.head} bytes")
    return -1


def without_empty_lines(buffer: bytes) -> bytes:
    """What follows empty lines, which may stand before a request (RFC 9112 section 2.2)."""
    if buffer[:2] != b"\r\n":
        return buffer
    lines = EMPTY_LINES.match(buffer)
    assert lines is not None
    return buffer[lines.end() :]


def read_request_line(head: bytes, limits: Limits) -> re.Match[bytes]:
    """The request line that begins a whole head: ``REQUEST_LINE``'s match.

    Raises:
        ClientError: 400, 414 or 505.
    """
    line = REQUEST_LINE.match(head)
    if line is None:
        raise _bad_request_line(head, limits)
    if line[3] != b"1" or line[4] not in (b"0", b"1"):
        raise ClientError(505, f"HTTP version {line[3].decode()}.{line[4].decode()}")
    if line.end() > limits.line:
        raise ClientError(414, f"request line of {line.end()} bytes, limit {limits.line}")
    return line


def check_lines(lines: bytes, limits: Limits) -> None:
    """Check the header lines of a head, up to and with its empty line.

    Raises:
        ClientError: 400 or 431.
    """
    if FIELD_LINES.fullmatch(lines) is None:
        raise _bad_field(lines)
    # The longest line can only be too long if all of them together are.
    if len(lines) > limits.line:
        longest = max(map(len, lines.split(b"\r\n")))
        if longest > limits.line:
            raise ClientError(431, f"header line of {longest} bytes, limit {limits.line}")
    count = lines.count(b"\r\n") - 1
    if count > limits.headers:
        raise ClientError(431, f"{count} header lines, limit {limits.headers}")


def parse_head(head: bytes, limits: Limits) -> RequestHead:
    """The parts of a whole head, up to and with its empty line.

    Raises:
        ClientError: 400, 414, 431 or 505.
    """
    line = read_request_line(head, limits)
    headers = headers_of(head[line.end() :], limits)
    return RequestHead(line[1], line[2], int(line[4]), headers)


def headers_of(lines: bytes, limits: Limits) -> list[tuple[bytes, bytes]]:
    """The header lines of a head, checked, in order.

    Raises:
        ClientError: as ``check_lines``.
    """
    check_lines(lines, limits)
    headers: list[tuple[bytes, bytes]] = []
    for text in lines[:-4].split(b"\r\n"):
        name, colon, value = text.partition(b":")
        if colon:
            value = value.lstrip(b" \t")
            # llhttp takes no tab behind a transfer coding: where it is not asked, no other reading.
            blanks = b" " if name.lower() == b"transfer-encoding" else b" \t"
            headers.append((name, value.rstrip(blanks)))
    return headers


def framing_of(minor: int, fields: dict[bytes, bytes]) -> Framing:
    """Decide framing and connection from the version and the fields (``cgi.fields_of``).

    Raises:
        ClientError: the framing or the Host is ambiguous or not understood (400, 417, 501).
    """
    host = fields.get(b"HTTP_HOST")
    if host is None:
        if minor:
            raise ClientError(400, "no Host header")
    elif HOST.fullmatch(host) is None:
        raise ClientError(400, "malformed Host header")
    length: int | None = 0
    text = fields.get(b"CONTENT_LENGTH")
    coding = fields.get(b"HTTP_TRANSFER_ENCODING")
    if text is not None:
        # Transfer-Encoding overrides Content-Length (RFC 9112 section 6.3), but not every
        # backend knows that: a request with both is refused, so no two can read it differently.
        if coding is not None:
            raise ClientError(400, "Content-Length beside Transfer-Encoding")
        if CONTENT_LENGTH.fullmatch(text) is None:
            raise ClientError(400, "malformed Content-Length")
        length = int(text)
    elif coding is not None:
        if not minor:
            raise ClientError(400, "Transfer-Encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise ClientError(501, "Transfer-Encoding other than chunked")
        length = None
    keep_alive = bool(minor)
    connection = fields.get(b"HTTP_CONNECTION")
    if connection is not None:
        options = tokens_of(connection)
        keep_alive = b"close" not in options and (bool(minor) or b"keep-alive" in options)
    expects_continue = False
    expect = fields.get(b"HTTP_EXPECT")
    if expect is not None and minor:
        if expect.lower() != b"100-continue":
            raise ClientError(417, "Expect other than 100-continue")
        expects_continue = length != 0
    return Framing(length, keep_alive, expects_continue)


def tokens_of(value: bytes) -> list[bytes]:
    """The comma-separated words of a field, in lower case."""
    return [word for word in (part.strip(b" \t") for part in value.lower().split(b",")) if word]


def fields_and_framing(
    minor: int, headers: Iterable[tuple[bytes, bytes]]
) -> tuple[dict[bytes, bytes], Framing]:
    """Header lines as CGI fields, and the framing that they mean.

    Raises:
        ClientError: see ``cgi.fields_of`` and ``framing_of``.
    """
    fields = fields_of(headers)
    return fields, framing_of(minor, fields)


def _bad_request_line(head: bytes, limits: Limits) -> ClientError:
    end = head.find(b"\r\n")
    if end > limits.line:
        return ClientError(414, f"request line of {end} bytes, limit {limits.line}")
    if BARE_LF.search(head):
        return ClientError(400, "line ends in LF without CR")
    return ClientError(400, "malformed request line")


def _bad_field(lines: bytes) -> ClientError:
    if BARE_LF.search(lines):
        return ClientError(400, "line ends in LF without CR")
    for line in lines.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            return ClientError(400, "folded header line")
        if line and FIELD_LINE.fullmatch(line) is None:
            return ClientError(400, "malformed header line")
    return ClientError(400, "malformed header")
