"""What an HTTP request says about where it wants to go."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from uwgate.conf.groups.http import HttpOptions
from uwgate.conf.hashing import parse_hash
from uwgate.gateways.corerouter.target import Asked
from uwgate.gateways.peer import UNKNOWN, Peer

MAX_KEY = 255  # bytes (spec/gateways.md section 3)

Fields = Mapping[bytes, bytes]


class Asking:
    """Reads it from requests whose way depends on it."""

    def __init__(self, options: HttpOptions) -> None:
        self._host = socket.gethostname().encode(errors="surrogateescape")
        self._sticky = (options.http_sticky or "").encode()
        self._affinity = _affinity(options.http_hash)

    def read(
        self, fields: Fields, host: bytes | None, target: bytes, path: bytes, peer: Peer
    ) -> Asked:
        """``host`` is that of a target in absolute form, which goes before the field.

        ``path`` is the one that the backend is told, decoded and normalised: a mountpoint must
        not be chosen by ``/shop/../admin``, nor missed by ``/%73hop``.
        """
        name = host or fields.get(b"HTTP_HOST") or peer.server_name or self._host
        return Asked(
            name[:MAX_KEY].decode(errors="surrogateescape"),
            path.decode(errors="surrogateescape"),
            b"" if peer.address == UNKNOWN else peer.address,
            self._affinity(fields, target),
            cookie(fields, self._sticky).decode("latin-1") if self._sticky else "",
        )


def cookie(fields: Fields, name: bytes) -> bytes:
    """The value of a cookie; empty if there is none. The first counts (RFC 6265 section 5.4)."""
    for pair in fields.get(b"HTTP_COOKIE", b"").split(b";"):
        key, _, value = pair.partition(b"=")
        if key.strip() == name:
            return value.strip()
    return b""


def _affinity(text: str) -> Callable[[Fields, bytes], bytes]:
    """What ``http-hash`` says that belongs together; empty: the client decides."""
    what, name = parse_hash(text)
    match what:
        case "path":
            return lambda fields, target: target.partition(b"?")[0]
        case "cookie":
            return lambda fields, target: cookie(fields, name.encode())
        case "header":
            key = b"HTTP_" + name.upper().replace("-", "_").encode()
            return lambda fields, target: fields.get(key, b"")
        case _:
            return lambda fields, target: b""
