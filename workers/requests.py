"""Requests on workers' own HTTP sockets: what their heads mean. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from uwgate.gateways.wire import forwarded, upgrade
from uwgate.gateways.wire.cgi import fields_of
from uwgate.gateways.wire.http1 import (
    Framing,
    Limits,
    framing_of,
    headers_of,
    read_request_line,
)

if TYPE_CHECKING:
    from uwgate.conf.settings import Settings
    from uwgate.workers.environ import Environ

MAX_KNOWN = 256  # sets of header lines that are remembered, of up to
MAX_KNOWN_SIZE = 2048  # bytes each


class Meaning(NamedTuple):
    """What header lines mean.

    ``variables`` are without the forwarded fields, ``claims``, which count by who sent them.
    """

    variables: Environ
    framing: Framing
    claims: Environ
    scheme: str | None  # that they claim
    wants_websocket: bool


class RequestHead(NamedTuple):
    """A head whose meaning is known."""

    method: bytes
    target: bytes
    minor: int  # of HTTP/1.x
    meaning: Meaning


class HeadReader:
    """Reads whole heads, for all connections of a worker.

    Clients repeat themselves from request to request: header lines that were found good once
    need not be taken apart again.
    """

    def __init__(self, settings: Settings) -> None:
        size = settings.workers.buffer_size
        http = settings.http
        self.limits = Limits(size, min(http.http_line_limit, size), http.http_header_limit)
        self._known: dict[tuple[int, bytes], Meaning] = {}

    def read(self, head: bytes) -> RequestHead:
        """The parts of a whole head, up to and with its empty line.

        Raises:
            ClientError: it is refused.
        """
        line = read_request_line(head, self.limits)
        minor = 1 if line[4] == b"1" else 0
        lines = head[line.end() :]
        meaning = self._known.get((minor, lines))
        if meaning is None:
            meaning = self._learn(minor, lines)
        return RequestHead(line[1], line[2], minor, meaning)

    def _learn(self, minor: int, lines: bytes) -> Meaning:
        fields = fields_of(headers_of(lines, self.limits))
        framing = framing_of(minor, fields)
        claims = forwarded.take(fields)
        scheme = forwarded.scheme_of(claims)
        meaning = Meaning(
            _decoded(fields),
            framing,
            _decoded(claims),
            None if scheme is None else scheme.decode(),
            upgrade.is_wanted(minor, fields),
        )
        if len(lines) <= MAX_KNOWN_SIZE and not meaning.wants_websocket:  # no key comes twice
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[minor, lines] = meaning
        return meaning


def _decoded(fields: dict[bytes, bytes]) -> Environ:
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in fields.items()}
