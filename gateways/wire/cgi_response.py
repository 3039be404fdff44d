"""Answers of programs that speak CGI, as FastCGI and SCGI bring them (RFC 3875 section 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from uwgate.gateways.wire.response import MAX_HEAD, ResponseError, ResponseHead, parse_response

_END = re.compile(rb"\r?\n\r?\n")  # section 6.2: a line's end is that of the system
_STATUS = re.compile(rb"[1-9][0-9]{2}(?: .*)?")
_REDIRECT = b"Status: 302 Found"
_FINE = b"Status: 200 OK"


def cgi_variables(variables: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """A request's variables as such a program expects them.

    HTTP_PROXY, which a front end may have let through, is what many take for their own setting.
    """
    yield b"GATEWAY_INTERFACE", b"CGI/1.1"
    for name, value in variables:
        if name not in (b"GATEWAY_INTERFACE", b"HTTP_PROXY"):
            yield name, value


def read_cgi(buffer: bytes, method: bytes) -> tuple[ResponseHead, bytes] | None:
    """The head of an answer to ``method``, and what stands behind it; None while it is not whole.

    Raises:
        ResponseError: it is malformed, or longer than ``MAX_HEAD``.
    """
    end = _END.search(buffer)
    if end is None:
        if len(buffer) > MAX_HEAD:
            raise ResponseError(f"a head of more than {MAX_HEAD} bytes")
        return None
    head = parse_cgi(buffer[: end.start()], method)
    return head, buffer[end.end() :]


def parse_cgi(head: bytes, method: bytes) -> ResponseHead:
    """Check and read a whole head, up to its empty line.

    A status line of HTTP may stand in it instead of the field Status. Without either the status
    is 302 beside a Location (section 6.2.3), else 200.

    Raises:
        ResponseError: a line is malformed, or there is more than one status.
    """
    lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
    first = b"" if not lines[0].startswith(b"HTTP/") else lines.pop(0)
    fields: list[bytes] = []
    redirects = False
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() != b"status":
            redirects |= name.lower() == b"location"
            fields.append(line)
            continue
        status = value.strip(b" \t")
        if first or _STATUS.fullmatch(status) is None:
            raise ResponseError(f"malformed or second status {line[:60]!r}")
        first = b"Status: " + status
    if not first:
        first = _REDIRECT if redirects else _FINE
    parsed = parse_response(b"\r\n".join((first, *fields)), method)
    if parsed.status < 200:
        raise ResponseError(f"status {parsed.status} is no answer")
    return parsed
