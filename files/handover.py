"""Files that an application names in its answer: X-Sendfile and X-Accel-Redirect.

The application decides who may have the file; conditions, ranges and twins are ours. Its other
fields are sent as they are, but for those that belong to the body it did not make.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from uwgate.files.answer import Answerer, Replaced
from uwgate.files.conditions import TAG
from uwgate.files.finder import Finder, Found, Refused
from uwgate.files.plan import Extent, Field, Plan
from uwgate.files.request import Request

MAX_NAME = 8192  # bytes of the field

SENDFILE, REDIRECT = b"x-sendfile", b"x-accel-redirect"
NAMING = frozenset((SENDFILE, REDIRECT))
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_BODY = frozenset(
    (
        b"content-length",
        b"content-encoding",
        b"content-range",
        b"transfer-encoding",
        b"accept-ranges",
        b"content-md5",
        b"content-digest",
        b"repr-digest",
        b"digest",
        b"trailer",
    )
)


_SAID = frozenset((b"content-type", b"etag", b"last-modified"))
_KEEPING = frozenset((b"expires", b"cache-control"))


@dataclass(frozen=True, slots=True)
class Given:
    """What is left of the application's head: its status and its fields."""

    status: int
    fields: tuple[Field, ...]


def names_file(fields: Sequence[Field], followed: frozenset[bytes] = NAMING) -> bool:
    """Whether an answer's fields name a file instead of a body, in a way that is ``followed``."""
    return any(name.lower() in followed for name, _ in fields)


def hand_over(
    given: Given,
    request: Request,
    finder: Finder,
    answerer: Answerer,
    now: float,
    followed: frozenset[bytes] = NAMING,
) -> Plan | Refused:
    """The answer with the file that the application names.

    If its status is not 200, or the method neither GET nor HEAD, the client gets that status and
    the whole file, whatever its conditions. Refused: a name that is no file's, or not of one to
    be served. The answer is then 500: it is the application that is wrong, not the client.

    Raises:
        OSError: the machine cannot open it.
    """
    names = [(name.lower(), value) for name, value in given.fields]
    wanted = [(name, value) for name, value in names if name in followed]
    if len(wanted) != 1:
        return Refused(b"", f"{len(wanted)} files named in one answer")
    ((how, value),) = wanted
    if not value or len(value) > MAX_NAME or _CONTROL.search(value):
        return Refused(value[:100], "no name of a file")
    by_path = how == SENDFILE
    found = finder.find_named(value) if by_path else finder.find_internal(_path_of(value))
    if found is None:
        return Refused(value, "no such file")
    if isinstance(found, Refused):
        return found
    kept = tuple(
        field
        for field in given.fields
        if field[0].lower() not in _BODY
        and field[0].lower() != SENDFILE
        and not field[0].lower().startswith(b"x-accel-")
    )
    if given.status != 200 or request.method not in (b"GET", b"HEAD"):
        return _unconditional(given.status, kept, found, request)
    plan = answerer.answer(found, request, now, _replaced(kept))
    return _merged(plan, kept)


def _path_of(uri: bytes) -> bytes:
    path = uri.partition(b"?")[0]
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), path)


def _replaced(kept: Sequence[Field]) -> Replaced:
    values = {name.lower(): value for name, value in kept}
    tag = values.get(b"etag")
    return Replaced(
        kind=values.get(b"content-type"),
        etag=tag if tag is not None and TAG.fullmatch(tag) else None,
        modified=values.get(b"last-modified"),
        keeping=b"expires" in values or b"cache-control" in values,
    )


def _merged(plan: Plan, kept: tuple[Field, ...]) -> Plan:
    """The application's fields before ours; what it said of the file is in ours already."""
    said = _SAID if plan.status in (200, 206, 304) else _SAID | _KEEPING
    others = (field for field in kept if field[0].lower() not in said)
    return replace(plan, fields=(*others, *plan.fields))


def _unconditional(status: int, kept: tuple[Field, ...], found: Found, request: Request) -> Plan:
    file = found.file
    if status < 200 or status in (204, 304):
        file.close()
        return Plan(status, kept)
    fields = (*kept, (b"Content-Length", b"%d" % file.size))
    if request.method == b"HEAD" or not file.size:
        file.close()
        return Plan(status, fields)
    return Plan(status, fields, (Extent(file.descriptor, 0, file.size),), file)
