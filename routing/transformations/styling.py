"""``toxslt:``: the response, which is an XML document, becomes what a stylesheet makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from uwgate.routing.effects import Log
from uwgate.routing.outside import Outside
from uwgate.routing.results import ApplyStylesheet
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import Header, Transaction
from uwgate.routing.transformations.content import Remembering
from uwgate.routing.transformations.stream import MAX_BUFFER, Stream, replace_header


@dataclass(frozen=True, slots=True)
class ApplyStyle:
    """``toxslt:``. The end of the body may take seconds (``Pipeline.takes_long``)."""

    wanted: ApplyStylesheet
    content_type: bytes
    name: str = "toxslt"
    buffers: bool = True

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream."""
        return _Applying(self, transaction, outside)


class _Applying(Remembering):
    """Whatever goes wrong, the client gets nothing of the untransformed document."""

    def __init__(self, style: ApplyStyle, transaction: Transaction, outside: Outside) -> None:
        super().__init__()
        self._style = style
        self._transaction = transaction
        self._outside = outside
        self._received: list[Header] = []

    def begin(self, headers: list[Header]) -> None:
        self._received = list(headers)

    def feed(self, data: bytes) -> bytes:
        self.remember(data)
        return b""

    def finish(self, headers: list[Header], *, complete: bool) -> bytes:
        content = self.take()
        if not complete or not self.size:
            return b""
        if self.is_too_long:
            return self._failed(headers, f"{self.size} bytes, limit {MAX_BUFFER}")
        found = self._outside.transform(replace(self._style.wanted, content=content))
        if isinstance(found, str):
            return self._failed(headers, found)
        replace_header(headers, b"Content-Length", None)
        replace_header(headers, b"Content-Type", self._style.content_type)
        return found

    def _failed(self, headers: list[Header], reason: str) -> bytes:
        transaction = self._transaction
        text = f"toxslt: {reason}".encode(errors="surrogateescape")
        transaction.effects.append(Log(text, problem=True))
        if headers is not transaction.headers:  # nobody sees what comes out
            return b""
        transaction.set_status(500, reason_of(500))
        # What later transformations have said of their work stays true.
        added = [pair for pair in headers if pair not in self._received]
        headers[:] = [(b"Content-Type", b"text/plain"), *added]
        return reason_of(500)
