"""The fields of an HTTP/2 request (RFC 9113 section 8.3): what we accept.

A request that could not be written as one of HTTP/1.1 must not become one for a backend:
control characters, connection-specific fields, and two that say who is asked differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire.cgi import HOST
from uwgate.gateways.wire.hpack import Fields
from uwgate.gateways.wire.http1 import Limits

# RFC 9113 section 8.2.1, and RFC 9110 section 5.6.2: a token without upper case.
NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
PATH = re.compile(rb"/[\x21-\x7e\x80-\xff]*|\*")
SCHEME = re.compile(rb"https?")
# Section 8.2.2, and those that RFC 9110 section 7.6.1 counts among them.
CONNECTION_SPECIFIC = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
FIELD_OVERHEAD = 32  # bytes; RFC 9113 section 6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE


class MalformedRequest(ClientError):
    """A stream error (section 8.1.1): the stream is reset, nobody needs an answer to read."""

    def __init__(self, reason: str) -> None:
        super().__init__(400, reason)


@dataclass(frozen=True, slots=True)
class RequestFields:
    """A request as it was sent, checked.

    ``protocol`` is that of an extended CONNECT (RFC 8441), else None. ``lines`` are the other
    fields with ``host`` first, as HTTP/1.1 has it.
    """

    method: bytes
    scheme: bytes
    path: bytes
    protocol: bytes | None
    lines: tuple[tuple[bytes, bytes], ...]


def read_fields(fields: Fields, limits: Limits) -> RequestFields:
    """Check and take apart the fields of a request.

    Raises:
        MalformedRequest: a rule of RFC 9113 is broken.
        ClientError: the request is well-formed, but refused (400, 414, 431, 501).
    """
    pseudo: dict[bytes, bytes] = {}
    lines: list[tuple[bytes, bytes]] = []
    size = 0
    for name, value in fields:
        size += len(name) + len(value)
        if VALUE.fullmatch(value) is None:
            raise MalformedRequest(f"value of field {name[:60]!r} with a forbidden character")
        if name[:1] == b":":
            if lines:
                raise MalformedRequest("pseudo-header field behind a field")
            if name not in _PSEUDO or name in pseudo:
                raise MalformedRequest(f"pseudo-header field {name[:60]!r}, or twice")
            pseudo[name] = value
            continue
        if NAME.fullmatch(name) is None:
            raise MalformedRequest(f"field name {name[:60]!r}")
        if name in CONNECTION_SPECIFIC or (name == b"te" and value.lower() != b"trailers"):
            raise MalformedRequest(f"connection-specific field {name.decode()}")
        lines.append((name, value))
    request = _request(pseudo, lines)
    _check_sizes(request, size, limits)
    return request


def check_path(method: bytes, path: bytes, limits: Limits) -> None:
    """Check ``:path``, which is what most differs from request to request.

    Raises:
        MalformedRequest: it is not the path of a URL.
        ClientError: it is too long (414).
    """
    if PATH.fullmatch(path) is None or (path == b"*" and method != b"OPTIONS"):
        raise MalformedRequest("no :path, or a malformed one")
    if len(path) > limits.line:
        raise ClientError(414, f":path of {len(path)} bytes, limit {limits.line}")


def check_trailers(fields: Fields) -> None:
    """Check the fields behind a body, which are dropped.

    Raises:
        MalformedRequest: they are not what section 8.1 allows.
    """
    for name, value in fields:
        if NAME.fullmatch(name) is None or VALUE.fullmatch(value) is None:
            raise MalformedRequest(f"trailer field {name[:60]!r}")


def _request(pseudo: dict[bytes, bytes], lines: list[tuple[bytes, bytes]]) -> RequestFields:
    method = pseudo.get(b":method", b"")
    if METHOD.fullmatch(method) is None:
        raise MalformedRequest("no :method, or a malformed one")
    protocol = pseudo.get(b":protocol")
    if protocol is not None and (method != b"CONNECT" or METHOD.fullmatch(protocol) is None):
        raise MalformedRequest(":protocol without CONNECT, or malformed")
    authority = pseudo.get(b":authority")
    if method == b"CONNECT" and protocol is None:
        if b":scheme" in pseudo or b":path" in pseudo or not authority:  # section 8.5
            raise MalformedRequest("CONNECT with :scheme or :path, or without :authority")
        raise ClientError(501, "CONNECT is not for a gateway")
    scheme = pseudo.get(b":scheme", b"")
    if SCHEME.fullmatch(scheme) is None:
        raise MalformedRequest("no :scheme, or one that is neither http nor https")
    path = pseudo.get(b":path", b"")
    return RequestFields(method, scheme, path, protocol, _with_host(authority, lines))


def _with_host(
    authority: bytes | None, lines: list[tuple[bytes, bytes]]
) -> tuple[tuple[bytes, bytes], ...]:
    """``:authority`` as the Host field (section 8.3.1)."""
    hosts = [value for name, value in lines if name == b"host"]
    if len(hosts) > 1:
        raise MalformedRequest("more than one host field")
    if authority is None:
        if not hosts:
            raise MalformedRequest("neither :authority nor host")
        return tuple(lines)
    if HOST.fullmatch(authority) is None:  # also: no userinfo
        raise MalformedRequest("malformed :authority")
    if not hosts:
        return ((b"host", authority), *lines)
    if hosts[0].lower() != authority.lower():
        raise ClientError(400, "host other than :authority")
    return tuple(lines)


def _check_sizes(request: RequestFields, size: int, limits: Limits) -> None:
    """The limits of an HTTP/1.1 head."""
    check_path(request.method, request.path, limits)
    if size > limits.head:
        raise ClientError(431, f"fields of {size} bytes, limit {limits.head}")
    if len(request.lines) > limits.headers:
        raise ClientError(431, f"{len(request.lines)} fields, limit {limits.headers}")
    for name, value in request.lines:
        if len(name) + len(value) > limits.line:
            raise ClientError(431, f"field of {len(value)} bytes, limit {limits.line}")
