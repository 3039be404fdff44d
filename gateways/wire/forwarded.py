"""The fields in which proxies say for whom they ask: X-Forwarded-*, X-Real-IP, Forwarded.

Any client can send them, so what they say counts only where the one who sent them is trusted
(docs/design.md, "Who may say who the client is").
"""

from __future__ import annotations

PREFIX = b"HTTP_X_FORWARDED_"
NAMES = frozenset((b"HTTP_X_REAL_IP", b"HTTP_FORWARDED"))
FOR = b"HTTP_X_FORWARDED_FOR"
PROTO = b"HTTP_X_FORWARDED_PROTO"
SSL = b"HTTP_X_FORWARDED_SSL"
FORWARDED = b"HTTP_FORWARDED"

# Of the schemes that proxies write, those that a request can have (PEP 3333).
_SCHEMES = {b"http": b"http", b"https": b"https", b"ws": b"http", b"wss": b"https"}

Fields = dict[bytes, bytes]  # CGI keys and values (``cgi.fields_of``)


def take(fields: Fields) -> Fields:
    """Take the forwarded fields out of ``fields``."""
    found = [key for key in fields if key.startswith(PREFIX) or key in NAMES]
    return {key: fields.pop(key) for key in found}


def scheme_of(forwarded: Fields) -> bytes | None:
    """The scheme that the client used: http or https; None if the fields do not say.

    Of a list the first one counts: each proxy adds its own behind.
    """
    text = forwarded.get(PROTO)
    if text is not None:
        scheme = _SCHEMES.get(text.partition(b",")[0].strip(b" \t").lower())
        if scheme is not None:
            return scheme
    secure = forwarded.get(SSL, b"").lower()
    return b"https" if secure in (b"on", b"1") else None


def added(forwarded: Fields, address: bytes | None, scheme: bytes) -> Fields:
    """The trusted fields with the client at ``address`` behind those that they name.

    ``scheme`` is that of the client's connection to us, ``address`` None for a UNIX socket.
    Forwarded (RFC 7239 section 4) goes on only where somebody has begun it.
    """
    client = address or b"unknown"  # RFC 7239 section 6.2
    fields = dict(forwarded)
    fields[FOR] = b"%b, %b" % (fields[FOR], client) if fields.get(FOR) else client
    fields.setdefault(PROTO, scheme)
    if FORWARDED in fields:
        node = b'"[%b]"' % client if b":" in client else client
        fields[FORWARDED] += b", for=%b;proto=%b" % (node, scheme)
    return fields
