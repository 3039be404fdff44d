"""Whether a request wants the file as it is now (RFC 9110 sections 8.8.3 and 13)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from uwgate.files.dates import parse_date
from uwgate.files.request import Request

MAX_TAGS = 8192  # bytes of a list of tags; a longer one matches nothing

# opaque-tag = DQUOTE *etagc DQUOTE; etagc = %x21 / %x23-7E / obs-text
_OPAQUE = rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
TAG = re.compile(_OPAQUE)
_NEXT = re.compile(rb"[ \t,]*(" + _OPAQUE + rb")[ \t]*(?=,|\Z)")


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one state of a file from another. ``etag`` as it is sent, with ``W/`` if weak.

    ``modified``: in whole seconds since the epoch. Each may be None: then it is not sent.
    ``settled``: ``modified`` is so long ago that it stands for one state only.
    """

    etag: bytes | None
    modified: int | None
    settled: bool = True


def check(request: Request, validators: Validators, now: float) -> int | None:
    """412 or 304 if a condition of the request says so, else None (RFC 9110 section 13.2.2)."""
    fields = request.fields
    etag, modified = validators.etag, validators.modified
    if (wanted := fields.get(b"if-match")) is not None:
        if not _lists(wanted, etag, weak=False):
            return 412
    elif modified is not None:
        since = _date(fields.get(b"if-unmodified-since"), now)
        if since is not None and modified > since:
            return 412
    if (known := fields.get(b"if-none-match")) is not None:
        if _lists(known, etag, weak=True):
            return 304 if request.method in (b"GET", b"HEAD") else 412
    elif request.method in (b"GET", b"HEAD"):
        since = _date(fields.get(b"if-modified-since"), now)
        if since is not None and modified is not None and modified <= since:
            return 304
    return None


def range_applies(request: Request, validators: Validators, now: float) -> bool:
    """Whether Range counts: the client has a part of this very state (section 13.1.5)."""
    text = request.fields.get(b"if-range")
    if text is None:
        return True
    if text.endswith(b'"'):
        return text == validators.etag and not text.startswith(b"W/")
    return (
        validators.settled
        and validators.modified is not None
        and _date(text, now) == validators.modified
    )


def _date(text: bytes | None, now: float) -> int | None:
    return None if text is None else parse_date(text.strip(b" \t"), now)


def _lists(text: bytes, etag: bytes | None, *, weak: bool) -> bool:
    """Whether a list of tags has ours; ``*`` stands for any file that is there."""
    if text.strip(b" \t") == b"*":
        return True
    if etag is None or len(text) > MAX_TAGS:
        return False
    if not weak and etag.startswith(b"W/"):
        return False
    wanted = etag.removeprefix(b"W/") if weak else etag
    position = 0
    while match := _NEXT.match(text, position):
        found = match[1].removeprefix(b"W/") if weak else match[1]
        if found == wanted:
            return True
        position = match.end()
    return False
