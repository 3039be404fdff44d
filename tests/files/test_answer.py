"""What is answered for a file (spec part B3, RFC 9110)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uwgate.files.dates import format_date
from uwgate.files.finder import Found
from uwgate.files.plan import Extent
from uwgate.files.ranges import MAX_RANGES
from uwgate.files.request import Request

from .serving import CHANGED, NOW, Site, write

DATA = bytes(range(256)) * 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "a.css", DATA)
    write(tmp_path / "empty", b"")
    return tmp_path


@pytest.fixture
def site(folder: Path) -> Site:
    return Site(check_static=(str(folder),))


def test_a_file_is_sent_from_its_descriptor(site: Site) -> None:
    plan, body = site.get(b"/a.css")
    assert (plan.status, body, plan.length) == (200, DATA, len(DATA))
    assert plan.fields == (
        (b"Content-Type", b"text/css"),
        (b"Content-Length", b"2048"),
        (b"Accept-Ranges", b"bytes"),
        (b"Last-Modified", format_date(CHANGED)),
        (b"ETag", b'"%x-%x"' % (CHANGED * 10**9, len(DATA))),
    )


def test_head_gets_the_same_fields_and_no_file(site: Site) -> None:
    plan, body = site.get(b"/a.css", method=b"HEAD", fields={b"range": b"bytes=0-1"})
    assert (plan.status, body, plan.pieces) == (200, b"", ())
    assert plan.fields == site.get(b"/a.css")[0].fields


def test_an_empty_file_has_no_pieces(site: Site) -> None:
    plan, body = site.get(b"/empty")
    assert (plan.status, plan.pieces, body) == (200, (), b"")
    assert plan.field(b"Content-Length") == b"0"
    assert plan.field(b"Content-Type") is None


def test_another_method_is_not_allowed(site: Site) -> None:
    plan, body = site.get(b"/a.css", method=b"DELETE")
    assert (plan.status, plan.field(b"Allow"), body) == (405, b"GET, HEAD", b"")


def test_the_tag_of_a_file_makes_304_until_it_changes(site: Site, folder: Path) -> None:
    tag = site.get(b"/a.css")[0].field(b"ETag") or b""
    plan, body = site.get(b"/a.css", {b"if-none-match": tag})
    assert (plan.status, body, plan.fields) == (304, b"", ((b"ETag", tag),))
    os.utime(folder / "a.css", ns=(0, CHANGED * 10**9 + 1))
    assert site.get(b"/a.css", {b"if-none-match": tag})[0].status == 200


def test_a_date_makes_304(site: Site) -> None:
    assert site.get(b"/a.css", {b"if-modified-since": format_date(CHANGED)})[0].status == 304
    assert site.get(b"/a.css", {b"if-modified-since": format_date(CHANGED - 1)})[0].status == 200


def test_another_tag_than_wanted_makes_412(site: Site) -> None:
    plan, body = site.get(b"/a.css", {b"if-match": b'"x"'})
    assert (plan.status, plan.fields, body) == (412, ((b"Content-Length", b"0"),), b"")


def test_the_tag_of_a_file_that_may_still_change_is_weak(site: Site, folder: Path) -> None:
    write(folder / "a.css", DATA, NOW - 0.5)
    tag = site.get(b"/a.css")[0].field(b"ETag") or b""
    assert tag.startswith(b"W/")
    fields = {b"range": b"bytes=0-1", b"if-range": tag}
    assert site.get(b"/a.css", fields)[0].status == 200
    site.now += 1
    assert site.get(b"/a.css")[0].field(b"ETag") == tag.removeprefix(b"W/")
    assert site.get(b"/a.css", {b"if-none-match": tag})[0].status == 304


def test_no_change_is_later_than_now(site: Site, folder: Path) -> None:
    write(folder / "a.css", DATA, NOW + 5000)
    assert site.get(b"/a.css")[0].field(b"Last-Modified") == format_date(NOW)


def test_a_change_before_1970_is_no_error(site: Site, folder: Path) -> None:
    write(folder / "a.css", DATA, -5000)
    assert site.get(b"/a.css")[0].field(b"Last-Modified") == format_date(0)


def test_a_part_is_sent_as_one(site: Site) -> None:
    plan, body = site.get(b"/a.css", {b"range": b"bytes=10-19"})
    assert (plan.status, body) == (206, DATA[10:20])
    assert plan.field(b"Content-Range") == b"bytes 10-19/2048"
    assert plan.field(b"Content-Length") == b"10"


def test_a_part_that_is_not_there_is_416(site: Site) -> None:
    plan, body = site.get(b"/a.css", {b"range": b"bytes=2048-"})
    assert (plan.status, body) == (416, b"")
    assert plan.field(b"Content-Range") == b"bytes */2048"


@pytest.mark.parametrize("value", [b"lines=1-2", b"bytes=x", b"bytes=0-"])
def test_what_is_no_part_gets_the_file(site: Site, value: bytes) -> None:
    assert site.get(b"/a.css", {b"range": value})[0].status == 200


def test_ranges_may_be_switched_off(folder: Path) -> None:
    site = Site(check_static=(str(folder),), honour_range=False)
    plan, body = site.get(b"/a.css", {b"range": b"bytes=0-1"})
    assert (plan.status, body, plan.field(b"Accept-Ranges")) == (200, DATA, None)


def test_a_part_of_an_older_state_is_the_whole(site: Site) -> None:
    tag = site.get(b"/a.css")[0].field(b"ETag") or b""
    wanted = {b"range": b"bytes=0-1"}
    for value, status in (
        (tag, 206),
        (format_date(CHANGED), 206),
        (b'"x"', 200),
        (format_date(CHANGED + 1), 200),
    ):
        assert site.get(b"/a.css", {**wanted, b"if-range": value})[0].status == status


def test_a_date_that_is_young_vouches_for_no_part(site: Site, folder: Path) -> None:
    write(folder / "a.css", DATA, NOW - 30)
    wanted = {b"range": b"bytes=0-1", b"if-range": format_date(int(NOW - 30))}
    assert site.get(b"/a.css", wanted)[0].status == 200
    site.now += 60
    assert site.get(b"/a.css", wanted)[0].status == 206


def test_several_parts_are_one_body(site: Site) -> None:
    plan, body = site.get(b"/a.css", {b"range": b"bytes=500-501,0-0"})
    kind = plan.field(b"Content-Type") or b""
    boundary = kind.removeprefix(b"multipart/byteranges; boundary=")
    assert body == (
        b"--%b\r\nContent-Type: text/css\r\nContent-Range: bytes 500-501/2048\r\n\r\n%b\r\n"
        b"--%b\r\nContent-Type: text/css\r\nContent-Range: bytes 0-0/2048\r\n\r\n%b\r\n--%b--\r\n"
    ) % (boundary, DATA[500:502], boundary, DATA[:1], boundary)
    assert plan.field(b"Content-Length") == b"%d" % len(body)
    assert plan.status == 206
    assert plan.field(b"Content-Range") is None
    assert re.fullmatch(rb"[0-9A-Za-z-]{1,70}", boundary)


NUMBER = st.one_of(st.just(b""), st.integers(0, 2500).map(lambda number: b"%d" % number))
PART = re.compile(rb"--\S+\r\nContent-Range: bytes (\d+)-(\d+)/\d+\r\n\r\n")


@pytest.fixture(scope="module")
def sliced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Path]:
    """A site and its file, to be written."""
    folder = tmp_path_factory.mktemp("sliced")
    return Site(check_static=(str(folder),)), folder / "a"


@settings(deadline=None)
@given(
    specs=st.lists(st.tuples(NUMBER, NUMBER).map(b"-".join), min_size=1, max_size=6),
    size=st.integers(0, len(DATA)),
)
def test_what_is_sent_is_what_slicing_gives(
    sliced: tuple[Site, Path], specs: list[bytes], size: int
) -> None:
    site, file = sliced
    data = DATA[:size]
    write(file, data)
    plan, body = site.get(b"/a", {b"range": b"bytes=" + b",".join(specs)})
    assert plan.field(b"Content-Length") == b"%d" % len(body)
    where = plan.field(b"Content-Range")
    if plan.status == 200:
        assert body == data
    elif plan.status == 416:
        assert (body, where) == (b"", b"bytes */%d" % size)
    elif where is not None:
        assert body == data[cut(where)]
    else:
        while found := PART.match(body):
            part = data[int(found[1]) : int(found[2]) + 1]
            assert body[found.end() :].startswith(part + b"\r\n--")
            body = body[found.end() + len(part) + 2 :]
        assert re.fullmatch(rb"--\S+--\r\n", body)


def cut(where: bytes) -> slice:
    found = re.fullmatch(rb"bytes (\d+)-(\d+)/\d+", where)
    assert found
    return slice(int(found[1]), int(found[2]) + 1)


def test_a_file_of_any_size_takes_no_memory(folder: Path) -> None:
    size = 1 << 40  # a hole
    with (folder / "big").open("wb") as file:
        file.truncate(size)
    site = Site(check_static=(str(folder),))
    many = b",".join(b"%d-" % (size - 1000 * n) for n in range(1, MAX_RANGES))
    apart = b",".join(b"%d-%d" % (n * 10**6, n * 10**6 + 5 * 10**5) for n in range(MAX_RANGES))
    for value in (b"", b"bytes=5-", b"bytes=" + many, b"bytes=" + apart):
        found = site.finder.find_by_rule(os.fsencode(folder / "big"))
        assert isinstance(found, Found)
        plan = site.answerer.answer(found, Request(fields={b"range": value}), NOW)
        plan.close()
        assert len(plan.pieces) <= 2 * MAX_RANGES + 1
        assert sum(len(one) for one in plan.pieces if isinstance(one, bytes)) < 4096
        assert sum(one.length for one in plan.pieces if isinstance(one, Extent)) <= size


@pytest.fixture
def twins(folder: Path) -> Path:
    write(folder / "a.css.gz", b"gzip!")
    write(folder / "a.css.br", b"br")
    return folder


@pytest.mark.parametrize(
    ("accept", "coding", "body"),
    [
        (b"gzip", b"gzip", b"gzip!"),
        (b"gzip, br", b"br", b"br"),
        (b"gzip, br;q=0.5", b"gzip", b"gzip!"),
        (b"zstd, gzip;q=0.1", b"gzip", b"gzip!"),
        (b"gzip;q=0", None, DATA),
        (b"brotli", None, DATA),
        (b"zstd", None, DATA),
        (b"*", b"br", b"br"),
        (b"", None, DATA),
    ],
)
def test_a_twin_is_sent_to_whom_accepts_it(
    twins: Path, accept: bytes, coding: object, body: bytes
) -> None:
    site = Site(check_static=(str(twins),), static_gzip_all=True)
    plan, found = site.get(b"/a.css", {b"accept-encoding": accept})
    assert (plan.field(b"Content-Encoding"), found) == (coding, body)
    assert plan.field(b"Content-Type") == b"text/css"
    assert plan.field(b"Vary") == b"Accept-Encoding"
    assert plan.field(b"Content-Length") == b"%d" % len(body)


def test_a_twin_has_a_tag_of_its_own(twins: Path) -> None:
    write(twins / "a.css.gz", DATA)
    site = Site(check_static=(str(twins),), static_gzip_all=True)
    zipped = {b"accept-encoding": b"gzip"}
    tags = {site.get(b"/a.css", fields)[0].field(b"ETag") for fields in ({}, zipped)}
    assert len(tags) == 2
    tag = (site.get(b"/a.css", zipped)[0].field(b"ETag")) or b""
    known = site.get(b"/a.css", {**zipped, b"if-none-match": tag})[0]
    assert known.fields == ((b"ETag", tag), (b"Vary", b"Accept-Encoding"))
    assert site.get(b"/a.css", {b"if-none-match": tag})[0].status == 200


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({"static_gzip_ext": (".css",)}, True),
        ({"static_gzip_ext": (".js",)}, False),
        ({"static_gzip": (r"/a\.",)}, True),
        ({"static_gzip": (r"^a",)}, False),
        ({"static_gzip_dir": ("{}",)}, True),
        ({"static_gzip_dir": ("{}/a",)}, False),
        ({}, False),
    ],
)
def test_twins_are_looked_for_where_they_are_to_be(
    twins: Path, options: dict[str, Any], chosen: bool
) -> None:
    values: dict[str, Any] = {
        name: tuple(one.replace("{}", str(twins)) for one in each) for name, each in options.items()
    }
    site = Site(check_static=(str(twins),), **values)
    plan, _ = site.get(b"/a.css", {b"accept-encoding": b"gzip"})
    assert (plan.field(b"Content-Encoding") == b"gzip") is chosen
    assert (plan.field(b"Vary") is not None) is chosen


def test_a_twin_that_is_no_file_or_leads_out_is_not_sent(folder: Path, tmp_path: Path) -> None:
    served = folder / "served"
    write(served / "a.css", b"plain")
    (served / "a.css.br").mkdir()
    (served / "a.css.gz").symlink_to(folder / "a.css")
    site = Site(check_static=(str(served),), static_gzip_all=True)
    plan, body = site.get(b"/a.css", {b"accept-encoding": b"gzip, br"})
    assert (plan.field(b"Content-Encoding"), body) == (None, b"plain")


def test_the_twin_of_a_link_is_beside_what_it_leads_to(twins: Path) -> None:
    (twins / "sub").mkdir()
    (twins / "sub/b.css").symlink_to("../a.css")
    site = Site(check_static=(str(twins),), static_gzip_all=True)
    assert site.get(b"/sub/b.css", {b"accept-encoding": b"gzip"})[1] == b"gzip!"


@pytest.mark.parametrize(
    ("options", "until"),
    [
        ({"static_expires": (r"\.css$ 60",)}, int(NOW) + 60),
        ({"static_expires": (r"\.js 60", r"\.c 70", r"\.css 80")}, int(NOW) + 70),
        ({"static_expires_mtime": (r"\.css 60",)}, CHANGED + 60),
        ({"static_expires_uri": (r"^/a 60",)}, int(NOW) + 60),
        ({"static_expires_path_info_mtime": ("^/a 60",)}, CHANGED + 60),
        ({"static_expires_type": ("text/css=60",)}, int(NOW) + 60),
        ({"static_expires_type": ("text/*=60",)}, None),
        ({"static_expires_type": ("text/css=1",), "static_expires": ("a 2",)}, int(NOW) + 2),
        ({"static_expires_uri": ("a 1",), "static_expires_path_info": ("a 2",)}, int(NOW) + 2),
        ({"static_expires": (r"a b 60",)}, None),
        ({}, None),
    ],
)
def test_the_first_rule_says_how_long_to_keep_a_file(
    folder: Path, options: dict[str, Any], until: int | None
) -> None:
    plan, _ = Site(check_static=(str(folder),), **options).get(b"/a.css")
    age = None if until is None else b"max-age=%d" % max(until - int(NOW), 0)
    assert plan.field(b"Expires") == (None if until is None else format_date(until))
    assert plan.field(b"Cache-Control") == age


def test_304_says_again_how_long_to_keep_a_file(folder: Path) -> None:
    site = Site(check_static=(str(folder),), static_expires=("css 60",))
    plan, _ = site.get(b"/a.css", {b"if-none-match": b"*"})
    assert [name for name, _ in plan.fields] == [b"Expires", b"Cache-Control", b"ETag"]


@pytest.mark.parametrize(
    ("mode", "name"), [("x-sendfile", b"X-Sendfile"), ("nginx", b"X-Accel-Redirect")]
)
def test_a_front_server_is_told_the_name(folder: Path, mode: str, name: bytes) -> None:
    site = Site(check_static=(str(folder),), file_serve_mode=mode)
    plan, body = site.get(b"/a.css")
    assert (plan.status, plan.field(name), body) == (200, os.fsencode(folder / "a.css"), b"")
    assert plan.field(b"Last-Modified") == format_date(CHANGED)


def test_a_name_that_would_be_two_fields_is_not_told(folder: Path) -> None:
    write(folder / "a\r\nX: y", b"data")
    site = Site(check_static=(str(folder),), file_serve_mode="x-sendfile")
    plan, body = site.get(b"/a\r\nX: y")
    assert (plan.field(b"X-Sendfile"), body) == (None, b"data")


def test_every_plan_gives_its_descriptor_back(twins: Path) -> None:
    site = Site(check_static=(str(twins),), static_gzip_all=True)
    before = os.listdir("/proc/self/fd")
    for method in (b"GET", b"HEAD", b"POST"):
        for fields in (
            {},
            {b"accept-encoding": b"gzip"},
            {b"if-none-match": b"*"},
            {b"if-match": b'"x"'},
            {b"range": b"bytes=0-1,500-600"},
            {b"range": b"bytes=9999-"},
        ):
            site.get(b"/a.css", fields, method)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(
    ("fields", "method"),
    [
        ({}, b"HEAD"),
        ({}, b"POST"),
        ({b"if-none-match": b"*"}, b"GET"),
        ({b"if-match": b'"x"'}, b"GET"),
        ({b"range": b"bytes=9999-"}, b"GET"),
    ],
)
def test_only_a_body_keeps_the_file_open(
    site: Site, folder: Path, fields: dict[bytes, bytes], method: bytes
) -> None:
    found = site.finder.find_by_rule(os.fsencode(folder / "a.css"))
    assert isinstance(found, Found)
    site.answerer.answer(found, Request(method, fields=fields), NOW)
    assert found.file.descriptor == -1
