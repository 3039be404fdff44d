"""Which parts of a file a Range field asks for (RFC 9110 section 14)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.files.ranges import GAP, MAX_RANGES, read_ranges


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        (b"bytes=0-0", ((0, 1),)),
        (b"bytes=2-4", ((2, 3),)),
        (b"bytes=990-", ((990, 10),)),
        (b"bytes=-10", ((990, 10),)),
        (b"bytes=990-5000", ((990, 10),)),
        (b"bytes=0-0,500-501", ((0, 1), (500, 2))),
        (b"bytes=500-501, 0-0", ((500, 2), (0, 1))),
        (b"bytes=,0-0,,", ((0, 1),)),
        (b"BYTES = \t0-0", ((0, 1),)),
        (b"bytes=0-0,2000-", ((0, 1),)),
    ],
)
def test_parts_are_offsets_and_lengths(text: bytes, spans: object) -> None:
    assert read_ranges(text, 1000) == spans


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"foo",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"bytes=-",
        b"bytes=a-b",
        b"bytes=5-2",
        b"bytes=+1-2",
        b"bytes=1-2-3",
        b"bytes=0-0,x",
        b"bytes=0x1-2",
        b"items=0-1",
        b"bytes=\xb2-3",
        b"bytes=" + b"9" * 20 + b"-",
        b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(MAX_RANGES + 1)),
        b"bytes=0-0" + b" " * 2000,
    ],
)
def test_what_is_no_range_is_ignored(text: bytes) -> None:
    assert read_ranges(text, 1000) is None


@pytest.mark.parametrize("text", [b"bytes=0-", b"bytes=0-999", b"bytes=-1000", b"bytes=-5000"])
def test_all_of_the_file_is_no_part(text: bytes) -> None:
    assert read_ranges(text, 1000) is None


@pytest.mark.parametrize("text", [b"bytes=1000-", b"bytes=1000-2000", b"bytes=-0"])
def test_a_part_beyond_the_end_is_not_there(text: bytes) -> None:
    assert read_ranges(text, 1000) == ()


def test_an_empty_file_has_no_parts_but_an_end() -> None:
    assert read_ranges(b"bytes=0-", 0) == ()
    assert read_ranges(b"bytes=-1", 0) is None


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        (b"bytes=0-9,5-14", ((0, 15),)),
        (b"bytes=5-14,0-9", ((0, 15),)),
        (b"bytes=0-9,0-9", ((0, 10),)),
        (b"bytes=0-9,%d-300" % (10 + GAP), ((0, 301),)),
        (b"bytes=0-9,%d-300" % (11 + GAP), ((0, 10), (11 + GAP, 290 - GAP))),
        (b"bytes=900-,0-0,850-899", ((0, 1), (850, 150))),
    ],
)
def test_parts_that_overlap_or_almost_touch_are_one(text: bytes, spans: object) -> None:
    assert read_ranges(text, 1000) == spans


NUMBER = st.one_of(st.just(b""), st.integers(0, 3000).map(lambda number: b"%d" % number))
SPEC = st.tuples(NUMBER, NUMBER).map(lambda pair: b"-".join(pair))


@given(specs=st.lists(SPEC, min_size=1, max_size=20), size=st.integers(0, 2500))
def test_what_was_asked_for_is_covered_and_nothing_twice(specs: list[bytes], size: int) -> None:
    spans = read_ranges(b"bytes=" + b",".join(specs), size)
    data = range(size)
    sent = [byte for start, length in spans or () for byte in data[start : start + length]]
    assert sum(length for _, length in spans or ()) == len(sent) == len(set(sent))
    assert spans is None or set(sent) >= {byte for one in specs for byte in sliced(one, data)}


def sliced(spec: bytes, data: range) -> range:
    first, last = spec.split(b"-")
    if not first:
        return data[-int(last) :] if int(last) else data[:0]
    return data[int(first) : int(last) + 1 if last else None]


@given(st.binary(max_size=200))
def test_any_bytes_are_read(text: bytes) -> None:
    read_ranges(text, 100)
    read_ranges(b"bytes=" + text, 100)
