"""HTTP requests as CGI variables (spec/uwsgi-protocol.md section 9)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from uwgate.conf.errors import ClientError
from uwgate.gateways.wire.uwsgi import LENGTH

MAX_CACHED_NAMES = 2048  # header names are the client's choice: the cache must not grow with them

# Hop-by-hop fields (RFC 9110 section 7.6.1): they end here.
HOP_BY_HOP = frozenset(
    b"HTTP_" + name
    for name in (
        b"CONNECTION",
        b"KEEP_ALIVE",
        b"PROXY_CONNECTION",
        b"TE",
        b"TRAILER",
        b"TRANSFER_ENCODING",
        b"UPGRADE",
        b"EXPECT",
    )
)
# A Connection field may name others as hop-by-hop, but never those that decide who is asked
# for what and by whom: "Connection: authorization" would be a way around a check.
NEVER_HOP_BY_HOP = frozenset(
    (
        b"CONTENT_LENGTH",
        b"CONTENT_TYPE",
        b"HTTP_HOST",
        b"HTTP_AUTHORIZATION",
        b"HTTP_COOKIE",
        b"HTTP_FORWARDED",
        b"HTTP_X_FORWARDED_FOR",
        b"HTTP_X_FORWARDED_HOST",
        b"HTTP_X_FORWARDED_PROTO",
        b"HTTP_X_REAL_IP",
    )
)
_ONCE = frozenset((b"HTTP_HOST", b"CONTENT_LENGTH", b"HTTP_TRANSFER_ENCODING", b"CONTENT_TYPE"))
_JOIN = {b"HTTP_COOKIE": b"; "}  # RFC 9113 section 8.2.3; everything else joins with a comma

_keys: dict[bytes, bytes] = {}
_packed: dict[bytes, bytes] = {}
_lengths = [LENGTH.pack(n) for n in range(1024)]


def key_of(name: bytes) -> bytes:
    """The CGI key of a header name; empty when the header is not passed on.

    A name with ``_`` would collide with the one with ``-``, so it is dropped, as nginx does;
    ``Proxy`` would become HTTP_PROXY, which programs take for their own configuration.
    """
    key = _keys.get(name)
    if key is None:
        upper = name.upper()
        if b"_" in upper or upper == b"PROXY":
            key = b""
        else:
            key = upper.replace(b"-", b"_")
            if key not in (b"CONTENT_LENGTH", b"CONTENT_TYPE"):
                key = b"HTTP_" + key
        if len(_keys) < MAX_CACHED_NAMES:
            _keys[name] = key
    return key


def fields_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Header lines as CGI keys and values, in order; repeated ones are joined.

    Raises:
        ClientError: a field that decides framing or destination is there twice (400).
    """
    fields: dict[bytes, bytes] = {}
    get = _keys.get
    for name, value in headers:
        key = get(name)
        if key is None:
            key = key_of(name)
        if key in fields:
            if key in _ONCE:
                raise ClientError(400, f"more than one {name.decode('ascii')} header")
            fields[key] += _JOIN.get(key, b", ") + value
        elif key:
            fields[key] = value
    return fields


def remove_hop_by_hop(fields: dict[bytes, bytes]) -> None:
    """Take out of ``fields`` what is meant for us alone (RFC 9110 section 7.6.1)."""
    connection = fields.get(b"HTTP_CONNECTION")
    if connection is not None:
        for name in connection.split(b","):
            key = key_of(name.strip(b" \t"))
            if key not in NEVER_HOP_BY_HOP:
                fields.pop(key, None)
    for key in HOP_BY_HOP & fields.keys():
        del fields[key]


def pack_fields(fields: dict[bytes, bytes]) -> bytes:
    """The fields as variables of a uwsgi block."""
    parts: list[bytes] = []
    for key, value in fields.items():
        parts += (_packed.get(key) or pack_key(key), pack_length(len(value)), value)
    return b"".join(parts)


def pack_key(key: bytes) -> bytes:
    """A key with its length, as it stands in a uwsgi block."""
    packed = LENGTH.pack(len(key)) + key
    if len(_packed) < MAX_CACHED_NAMES:
        _packed[key] = packed
    return packed


def pack_length(length: int) -> bytes:
    """A length of a uwsgi block.

    Raises:
        ClientError: it does not fit into 16 bits (431).
    """
    if length < 1024:
        return _lengths[length]
    if length > 0xFFFF:
        raise ClientError(431, f"header of {length} bytes, limit {0xFFFF}")
    return LENGTH.pack(length)


def pack(variables: Iterable[tuple[str, bytes]]) -> bytes:
    """Variables as part of a uwsgi block; for constants, made once."""
    return b"".join(
        LENGTH.pack(len(key)) + key.encode("ascii") + pack_length(len(value)) + value
        for key, value in variables
    )


# RFC 9110 section 7.2, less the comma, which would hide a joined second Host.
HOST = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+;=%]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
AUTHORITY = re.compile(rb"(?:[A-Za-z0-9\-._]+|\[[0-9A-Fa-f:.]+\]):[0-9]+")  # with a port
_PLAIN_PATH = re.compile(rb"(?:/(?!\.)[^%?#/\\]*)+")
_ABSOLUTE = re.compile(rb"[hH][tT][tT][pP][sS]?://([^/?#]+)")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_OCTETS = {b"%02X" % n: bytes((n,)) for n in range(256)}


def split_target(method: bytes, target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Path (decoded and normalised), query (as sent) and, in absolute form, the host.

    Dot segments are resolved after decoding, so that ``%2e%2e`` cannot climb either; slashes
    are kept as they are. Where uWSGI lets odd input through (NUL, broken escapes), this does not.

    Raises:
        ClientError: the target has no form that the method allows, or cannot be decoded (400).
    """
    raw, _mark, query = target.partition(b"?")
    if b"#" in target:  # uWSGI ends the path there, and keeps what follows a later "?"
        raw = raw.partition(b"#")[0]
    if _PLAIN_PATH.fullmatch(raw):
        return raw, query, None
    host = None
    absolute = _ABSOLUTE.match(raw)
    if absolute is not None:
        host = absolute[1].rpartition(b"@")[2]
        if HOST.fullmatch(host) is None:
            raise ClientError(400, "malformed host in the request target")
        raw = raw[absolute.end() :] or b"/"
    if raw == b"*" and method == b"OPTIONS":
        return raw, query, host
    if raw[:1] != b"/":
        raise ClientError(400, "request target is neither a path nor a URL")
    return _normalise(_decode(raw)), query, host


def _decode(raw: bytes) -> bytes:
    if b"%" not in raw:
        return raw
    decoded = _ESCAPE.sub(lambda match: _OCTETS[match[1].upper()], raw)
    if raw.count(b"%") != len(_ESCAPE.findall(raw)):
        raise ClientError(400, "broken percent escape in the path")
    if b"\0" in decoded:
        raise ClientError(400, "NUL in the path")
    return decoded


def _normalise(path: bytes) -> bytes:
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    last = segments[-1]
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
    if last in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
