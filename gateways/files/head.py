"""Plans as answers of the gateway: their heads in the form of ``wire.lease``."""

from __future__ import annotations

from http import HTTPStatus

from uwgate.files.memory import Whole
from uwgate.files.plan import Extent, Field, Plan
from uwgate.files.resident import Read, ShortenedError
from uwgate.gateways.wire.lease import DATE, HEAD, LENGTH, NO_BODY, SERVER

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_FLAGS = {b"date": DATE, b"server": SERVER, b"content-length": LENGTH}


def head_of(plan: Plan, method: bytes) -> tuple[int, bytes]:
    """Flags and head of an answer to ``method``."""
    status = plan.status
    flags = HEAD
    if method == b"HEAD" or status < 200 or status in (204, 304):
        flags |= NO_BODY
    lines = [b"%d %b\r\n" % (status, _PHRASES.get(status, b"Unknown"))]
    for name, value in plan.fields:
        flags |= _FLAGS.get(name.lower(), 0)
        lines.append(b"%b: %b\r\n" % (name, value))
    return flags, b"".join(lines)


def fields_of(head: bytes) -> list[Field]:
    """The fields of a head, in order, names as they are written."""
    fields: list[Field] = []
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            fields.append((name, value.strip(b" \t")))
    return fields


def whole_of(plan: Plan, method: bytes, kept: bytes, read: Read) -> Whole:
    """The answer with its body, by ``read``. ``kept``: the bytes of an extent without a file.

    The plan stays open.

    Raises:
        OSError: a part cannot be read, or is not there any longer.
    """
    flags, head = head_of(plan, method)
    pieces = plan.pieces
    if len(pieces) == 1 and isinstance(pieces[0], Extent):
        body = _bytes_of(pieces[0], kept, read)
    else:
        body = b"".join(
            _bytes_of(piece, kept, read) if isinstance(piece, Extent) else piece for piece in pieces
        )
    return Whole(flags, head, body)


def _bytes_of(extent: Extent, kept: bytes, read: Read) -> bytes:
    offset, length = extent.offset, extent.length
    if extent.descriptor >= 0:
        data = read(extent.descriptor, offset, length)
    else:
        data = kept if length == len(kept) else kept[offset : offset + length]
    if len(data) != length:
        raise ShortenedError
    return data
