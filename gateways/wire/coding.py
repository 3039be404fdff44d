"""Content codings: which one a client and a backend agree on, and what it makes of a head.

The backend asks with ``uWSGI-Encoding`` and a list of codings, the ones it likes best first
(spec/gateways.md section 5.5; uWSGI knows the single value ``gzip``). The client's
Accept-Encoding decides (RFC 9110 section 12.5.3): its weights before the backend's order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from uwgate.gateways.wire.http1 import tokens_of

MAX_ACCEPT = 1024  # bytes of an Accept-Encoding that is worth reading; browsers send 30
IDENTITY = b"identity"
ANY = b"*"

# codings [ weight ], RFC 9110 sections 12.5.3 and 12.4.2.
_ACCEPTED = re.compile(
    rb"[ \t]*(?P<coding>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*"
    rb"(?:;[ \t]*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
)
_SYNONYMS = {b"gzip": b"x-gzip"}  # RFC 9110 section 8.4.1.3

# Responses without content, or with a part of it that other parts have to fit to.
_NEVER = frozenset((204, 205, 206))
# Fields that end with uWSGI-Encoding itself. Parts are not on offer of what is made on the fly.
_REPLACED = frozenset((b"uwsgi-encoding", b"content-length", b"accept-ranges"))
# Fields that hold only for the bytes that the backend sends: it has encoded them already, or
# gives their digest (RFC 9530).
_BINDING = frozenset(
    (
        b"content-encoding",
        b"content-range",
        b"content-md5",
        b"content-digest",
        b"repr-digest",
        b"digest",
    )
)


def choose(accept: bytes, offered: Iterable[bytes]) -> bytes | None:
    """The coding among ``offered`` that the client likes best; None: it is to get none.

    An element that is malformed counts as absent. A client that refuses identity as well gets
    it all the same, when nothing else is left: it is what the backend has.
    """
    if len(accept) > MAX_ACCEPT:
        return None
    weights: dict[bytes, float] = {}
    for element in accept.split(b","):
        match = _ACCEPTED.fullmatch(element)
        if match is not None:
            weights[match["coding"].lower()] = float(match["weight"] or 1)
    best = None
    best_weight = 0.0
    least = weights.get(IDENTITY, 0.0)
    for coding in offered:
        names = (coding, _SYNONYMS.get(coding, ANY), ANY)
        weight = next((weights[name] for name in names if name in weights), 0.0)
        if weight > best_weight and weight >= least:
            best, best_weight = coding, weight
    return best


@dataclass(frozen=True, slots=True)
class AskingHead:
    """A response head with uWSGI-Encoding in it, taken apart.

    ``codings`` are those that the backend asks for, best first. ``is_open``: nothing in the
    head forbids to encode the body.
    """

    status: int
    codings: Sequence[bytes]
    is_open: bool
    _lines: Sequence[tuple[bytes, bytes]]  # name in lower case, and the line; first the status

    @classmethod
    def read(cls, head: bytes) -> AskingHead:
        """Take apart a head in the form of ``wire.lease``, which has been checked."""
        first, *rest = head.removesuffix(b"\r\n").split(b"\r\n")
        lines = [(b"", first)]
        codings: list[bytes] = []
        status = int(first[:3])
        is_open = status >= 200 and status not in _NEVER
        for line in rest:
            name, _, value = line.partition(b":")
            name = name.lower()
            if name == b"uwsgi-encoding":
                codings += tokens_of(value)
            elif name in _BINDING or (
                name == b"cache-control" and b"no-transform" in tokens_of(value)
            ):
                is_open = False
            lines.append((name, line))
        return cls(status, tuple(dict.fromkeys(codings)), is_open, lines)

    def plain(self) -> bytes:
        """The head for a body that stays as it is."""
        kept = [line for name, line in self._lines if name != b"uwsgi-encoding"]
        if self.is_open:
            kept += self._vary()
        return _join(kept)

    def encoded(self, coding: bytes) -> bytes:
        """The head for a body in ``coding``, without a Content-Length.

        For 304 too: its ETag has to be that of what the client holds.
        """
        kept: list[bytes] = []
        for name, line in self._lines:
            if name in _REPLACED:
                continue
            if name == b"etag":
                kept += _weak(line)
            else:
                kept.append(line)
        if self.status != 304:
            kept.append(b"Content-Encoding: " + coding)
        return _join(kept + self._vary())

    def _vary(self) -> list[bytes]:
        """The Vary line that is missing: caches must know that others get something else."""
        for name, line in self._lines:
            if name == b"vary":
                names = tokens_of(line.partition(b":")[2])
                if b"accept-encoding" in names or ANY in names:
                    return []
        return [b"Vary: Accept-Encoding"]


def _weak(line: bytes) -> list[bytes]:
    """An ETag for what is not the same byte by byte (RFC 9110 section 8.8.1); a broken one goes."""
    value = line.partition(b":")[2].strip(b" \t")
    if value.startswith(b'W/"'):
        return [line]
    return [b"ETag: W/" + value] if value.startswith(b'"') else []


def _join(lines: Sequence[bytes]) -> bytes:
    return b"\r\n".join(lines) + b"\r\n"
