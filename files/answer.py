"""The answer for a file: from the request's method and fields to a plan (RFC 9110).

Header fields stand in uWSGI's order (spec part B3). What is not as there: ETag, Accept-Ranges,
Vary and Cache-Control are sent; there is one Expires; If-Range and If-None-Match count; what is
not a range is ignored; several ranges are several parts; HEAD knows no ranges.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from uwgate.files.conditions import Validators, check, range_applies
from uwgate.files.dates import LAST, format_date, parse_date
from uwgate.files.disk import Disk, OpenFile
from uwgate.files.expiry import keeping_of
from uwgate.files.finder import Found
from uwgate.files.plan import Extent, Field, Piece, Plan, closing_on_error
from uwgate.files.ranges import Span, read_ranges
from uwgate.files.request import Request
from uwgate.files.rules import StaticRules
from uwgate.files.twins import open_twin

SETTLED = 60  # seconds; RFC 9110 section 8.8.2.2: a date so old stands for one state only
GRAIN_NS = 1_000_000_000  # a file that changed less than this ago may change again unnoticed

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")  # a name with these would be more than a field
_ALLOW = (b"Allow", b"GET, HEAD")


@dataclass(frozen=True, slots=True)
class Replaced:
    """Fields that the application gave for a file, over our own; None: ours.

    ``keeping``: it said itself how long to keep it (Expires, Cache-Control).
    """

    kind: bytes | None = None
    etag: bytes | None = None
    modified: bytes | None = None
    keeping: bool = False


@dataclass(frozen=True, slots=True)
class _Body:
    """What is sent of a file: itself or a twin, and what is said of it."""

    file: OpenFile
    described: tuple[Field, ...]  # keeping, coding, type
    vary: tuple[Field, ...]
    keeping: tuple[Field, ...]
    validators: Validators

    def fields(self, length: int, *behind: Field, kind: Field | None = None) -> tuple[Field, ...]:
        """The head for a body of so many bytes; ``kind`` instead of the file's own type."""
        described = self.described
        if kind is not None:
            described = (*(one for one in described if one[0] != kind[0]), kind)
        size = (b"Content-Length", b"%d" % length)
        return (*described, size, *behind, *_of(self.validators), *self.vary)


class Answerer:
    """Makes plans by the rules."""

    def __init__(self, rules: StaticRules, disk: Disk) -> None:
        self._rules = rules
        self._disk = disk

    def answer(
        self, found: Found, request: Request, now: float, replaced: Replaced | None = None
    ) -> Plan:
        """The answer to a request for a file, which is the plan's from now on.

        ``now`` in seconds since the epoch. Methods other than GET and HEAD are not allowed (405).

        Raises:
            OSError: a twin cannot be opened because of the machine.
        """
        with closing_on_error(found.file):
            if request.method not in (b"GET", b"HEAD"):
                found.file.close()
                return Plan(405, (_ALLOW, (b"Content-Length", b"0")))
            body = self._body(found, request, now, replaced or Replaced())
        with closing_on_error(body.file):
            naming = self._rules.naming if replaced is None else None
            if naming is not None and not _CONTROL.search(body.file.path):
                return _named(body, naming)
            return self._plan(body, request, now)

    def _plan(self, body: _Body, request: Request, now: float) -> Plan:
        file, size = body.file, body.file.size
        status = check(request, body.validators, now)
        if status == 304:
            file.close()
            # Without those, a cache could keep an answer for another client or for too long.
            tags = [one for one in _of(body.validators) if one[0] == b"ETag"]
            return Plan(304, (*body.keeping, *tags, *body.vary))
        if status is not None:
            file.close()
            return Plan(status, ((b"Content-Length", b"0"),))
        accepts = ((b"Accept-Ranges", b"bytes"),) if self._rules.ranges else ()
        if request.method == b"HEAD":
            file.close()
            return Plan(200, body.fields(size, *accepts))
        wanted = request.fields.get(b"range") if self._rules.ranges else None
        spans = None
        if wanted is not None and range_applies(request, body.validators, now):
            spans = read_ranges(wanted, size)
        if spans is None:
            pieces = (Extent(file.descriptor, 0, size),) if size else ()
            return Plan(200, body.fields(size, *accepts), pieces, file)
        if not spans:
            file.close()
            where = (b"Content-Range", b"bytes */%d" % size)
            return Plan(416, ((b"Content-Length", b"0"), where, *body.vary))
        if len(spans) == 1:
            ((start, length),) = spans
            fields = body.fields(length, (b"Content-Range", _place(spans[0], size)), *accepts)
            return Plan(206, fields, (Extent(file.descriptor, start, length),), file)
        return _multipart(body, spans, accepts)

    def _body(self, found: Found, request: Request, now: float, replaced: Replaced) -> _Body:
        rules, file = self._rules, found.file
        kind = replaced.kind or rules.types.type_of(file.path)
        changed = file.changed_ns // 1_000_000_000
        keeping: tuple[Field, ...] = ()
        if not replaced.keeping:
            subjects = {
                "path": file.path,
                "path-info": found.path_info,
                "uri": request.uri,
                "type": kind,
            }
            kept = keeping_of(rules.expiry, subjects, changed=changed, now=now)
            if kept is not None:
                keeping = (
                    (b"Expires", format_date(kept.until)),
                    (b"Cache-Control", b"max-age=%d" % kept.age(now)),
                )
        described: tuple[Field, ...] = ((b"Content-Type", kind),) if kind else ()
        vary: tuple[Field, ...] = ()
        coding = b""
        if rules.twins.select(file.path):
            vary = ((b"Vary", b"Accept-Encoding"),)
            accept = request.fields.get(b"accept-encoding", b"")
            twin = open_twin(self._disk, file, accept, safe=rules.safe, links=rules.links)
            if twin is not None:
                file.close()
                coding, file = twin
                described = ((b"Content-Encoding", coding), *described)
        validators = _given(_validators(file, coding, now), replaced, coding, now)
        return _Body(file, keeping + described, vary, keeping, validators)


def _named(body: _Body, naming: bytes) -> Plan:
    """The name of the file, for a front server that sends it and looks at conditions itself."""
    body.file.close()
    name = (naming, body.file.path)
    return Plan(200, (*body.described, name, *_of(replace(body.validators, etag=None)), *body.vary))


def _validators(file: OpenFile, coding: bytes, now: float) -> Validators:
    """An entity tag of the time and size of a file.

    It is weak while the file is so new that it may change again within the clock's grain.
    """
    tag = b'"%x-%x%s"' % (file.changed_ns, file.size, b"-" + coding if coding else b"")
    now_ns = int(now * 1_000_000_000)
    if now_ns - GRAIN_NS < file.changed_ns:
        tag = b"W/" + tag
    # RFC 9110 section 8.8.2.1: no date that is later than that of the answer.
    modified = min(max(file.changed_ns // 1_000_000_000, 0), int(now), LAST)
    return Validators(tag, modified, settled=modified + SETTLED <= now)


def _given(ours: Validators, replaced: Replaced, coding: bytes, now: float) -> Validators:
    """The application's where it gave some."""
    if replaced.etag is None and replaced.modified is None:
        return ours
    etag = replaced.etag
    if etag is not None and coding and not etag.startswith(b"W/"):
        etag = b"W/" + etag  # the twin's bytes are others
    modified = None if replaced.modified is None else parse_date(replaced.modified, now)
    if modified is None:
        return replace(ours, etag=etag or ours.etag)
    return Validators(etag or ours.etag, modified, settled=False)


def _of(validators: Validators) -> tuple[Field, ...]:
    fields: list[Field] = []
    if validators.modified is not None:
        fields.append((b"Last-Modified", format_date(validators.modified)))
    if validators.etag is not None:
        fields.append((b"ETag", validators.etag))
    return tuple(fields)


def _place(span: Span, size: int) -> bytes:
    start, length = span
    return b"bytes %d-%d/%d" % (start, start + length - 1, size)


def _multipart(body: _Body, spans: Sequence[Span], accepts: tuple[Field, ...]) -> Plan:
    """Several parts in one body (RFC 9110 section 14.6)."""
    file, size = body.file, body.file.size
    # Who writes a file cannot put its boundary into it: that would need to know beforehand, to
    # the nanosecond, when the writing is over.
    boundary = b"uwgate-%x-%x" % (file.changed_ns, size)
    kind = next((value for name, value in body.described if name == b"Content-Type"), None)
    lines = b"Content-Type: %s\r\n" % kind if kind else b""
    pieces: list[Piece] = []
    for number, span in enumerate(spans):
        start = b"\r\n" if number else b""
        place = _place(span, size)
        pieces.append(b"%s--%s\r\n%sContent-Range: %s\r\n\r\n" % (start, boundary, lines, place))
        pieces.append(Extent(file.descriptor, *span))
    pieces.append(b"\r\n--%s--\r\n" % boundary)
    plan = Plan(206, (), tuple(pieces), file)
    parts = (b"Content-Type", b"multipart/byteranges; boundary=" + boundary)
    return replace(plan, fields=body.fields(plan.length, *accepts, kind=parts))
