"""Which parts of a file a client asks for (RFC 9110 section 14)."""

from __future__ import annotations

import re

MAX_RANGES = 16  # of one request; more are ignored, as RFC 9110 section 14.2 advises
MAX_FIELD = 1024  # bytes of the field
GAP = 80  # bytes: parts nearer than a part's own head cost less as one

Span = tuple[int, int]  # offset and length

_RANGE = re.compile(rb"(\d{1,19})-(\d{0,19})|-(\d{1,19})")  # 19 digits: any 63-bit number
_UNIT = re.compile(rb"bytes[ \t]*=", re.IGNORECASE)


def read_ranges(text: bytes, size: int) -> tuple[Span, ...] | None:
    """The parts of a file of ``size`` bytes that a Range field asks for.

    None: the field is to be ignored (no bytes, malformed, too many, all of the file). Nothing:
    no part is there, the answer is 416. Parts keep their order, unless some overlap or
    almost touch: then they are sorted and joined.
    """
    unit = _UNIT.match(text)
    if unit is None or len(text) > MAX_FIELD:
        return None
    specs = [one for one in (part.strip(b" \t") for part in text[unit.end() :].split(b",")) if one]
    if not specs or len(specs) > MAX_RANGES:
        return None
    spans: list[Span] = []
    for spec in specs:
        match = _RANGE.fullmatch(spec)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            length = min(int(suffix), size)
            if int(suffix) and not size:
                return None  # satisfiable by rule, but no Content-Range can say nothing
            start = size - length
        else:
            if last and int(last) < int(first):
                return None
            start = int(first)
            length = min(int(last) + 1 if last else size, size) - start
        if length > 0:
            spans.append((start, length))
    spans = _joined(spans)
    if spans == [(0, size)]:
        return None
    return tuple(spans)


def _joined(spans: list[Span]) -> list[Span]:
    ordered = sorted(spans)
    joined = ordered[:1]
    for start, length in ordered[1:]:
        before, reach = joined[-1]
        if start <= before + reach + GAP:
            joined[-1] = (before, max(before + reach, start + length) - before)
        else:
            joined.append((start, length))
    return spans if len(joined) == len(spans) else joined
