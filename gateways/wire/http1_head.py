"""Request heads as HTTP/1.1 backends get them, made of the variables of a uwsgi block.

Nothing of what the client wrote is copied but checked values, so there is one way to read the
head: one Host, one framing, fields in one spelling (RFC 9112 sections 3 and 6).
"""

from __future__ import annotations

from uwgate.gateways.wire.uwsgi import decode_block

CHUNKED = b"Transfer-Encoding: chunked\r\n"
_OWN = frozenset(
    (
        b"HTTP_HOST",
        b"HTTP_CONNECTION",
        b"HTTP_UPGRADE",
        b"HTTP_TRANSFER_ENCODING",
        b"HTTP_CONTENT_LENGTH",
        b"HTTP_X_FORWARDED_FOR",
        b"HTTP_X_FORWARDED_PROTO",
    )
)
_names: dict[bytes, bytes] = {}
MAX_CACHED_NAMES = 2048


def encode_head(
    method: bytes, target: bytes, block: bytes, length: int | None, *, forwarded: bool
) -> bytes:
    """The head of a request for a backend, with its empty line.

    ``target`` and ``block`` are those of a checked request; ``length`` is that of its body in
    bytes, None: it comes in chunks. ``forwarded``: X-Forwarded-For and -Proto name the client
    already; else they are added, for nothing else tells an HTTP backend who it is.
    """
    variables = dict(decode_block(block))
    host = variables.get(b"HTTP_HOST") or variables.get(b"SERVER_NAME", b"localhost")
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, origin_form(target), host)]
    for key, value in variables.items():
        if key.startswith(b"HTTP_") and key not in _OWN:
            lines.append(b"%b: %b\r\n" % (_name_of(key), value))
    if variables.get(b"CONTENT_TYPE"):
        lines.append(b"Content-Type: %b\r\n" % variables[b"CONTENT_TYPE"])
    lines += _forwarded_lines(variables, add=not forwarded)
    if length is None:
        lines.append(CHUNKED)
    elif length or variables.get(b"CONTENT_LENGTH"):
        lines.append(b"Content-Length: %d\r\n" % length)
    if variables.get(b"HTTP_UPGRADE") == b"websocket":
        lines.append(b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    else:
        lines.append(b"Connection: close\r\n\r\n")
    return b"".join(lines)


def origin_form(target: bytes) -> bytes:
    """The path and query of a target in any form, without a fragment."""
    target = target.partition(b"#")[0]
    if target[:1] == b"/" or target == b"*":
        return target
    rest = target.partition(b"://")[2]
    at = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    path = rest[at:]
    return path if path[:1] == b"/" else b"/" + path


def _forwarded_lines(variables: dict[bytes, bytes], *, add: bool) -> list[bytes]:
    chain = variables.get(b"HTTP_X_FORWARDED_FOR", b"")
    scheme = variables.get(b"HTTP_X_FORWARDED_PROTO", b"")
    if add:
        address = variables.get(b"REMOTE_ADDR", b"")
        chain = b", ".join(part for part in (chain, address) if part)
        scheme = scheme or (b"https" if b"HTTPS" in variables else b"http")
    lines = []
    if chain:
        lines.append(b"X-Forwarded-For: %b\r\n" % chain)
    if scheme:
        lines.append(b"X-Forwarded-Proto: %b\r\n" % scheme)
    return lines


def _name_of(key: bytes) -> bytes:
    name = _names.get(key)
    if name is None:
        name = key[5:].replace(b"_", b"-").title()
        if len(_names) < MAX_CACHED_NAMES:
            _names[key] = name
    return name
