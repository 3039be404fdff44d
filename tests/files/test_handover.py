"""Files that an application names instead of sending a body."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uwgate.files.dates import format_date
from uwgate.files.finder import Refused
from uwgate.files.handover import Given, hand_over, names_file
from uwgate.files.plan import Field, Plan
from uwgate.files.request import Request

from .serving import CHANGED, NOW, Site, sent, write

REDIRECT = (b"X-Accel-Redirect", b"/files/a%20b.txt")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    write(tmp_path / "kept/a b.txt", b"0123456789")
    write(tmp_path / "other/x", b"SECRET")
    return Site(static_internal=(f"/files={tmp_path}/kept",), static_expires=(". 60",))


def ask(
    site: Site,
    *fields: Field,
    status: int = 200,
    method: bytes = b"GET",
    request: dict[bytes, bytes] | None = None,
) -> tuple[Plan, bytes]:
    plan = hand_over(
        Given(status, fields),
        Request(method, fields=request or {}),
        site.finder,
        site.answerer,
        NOW,
    )
    assert isinstance(plan, Plan), plan
    return sent(plan)


def test_an_answer_names_a_file_by_its_fields() -> None:
    assert names_file([(b"X-SENDFILE", b"/x")])
    assert names_file([(b"a", b"b"), (b"x-accel-redirect", b"/x")])
    assert not names_file([(b"X-Accel-Buffering", b"no")])


def test_a_location_is_mapped_and_its_file_sent(site: Site) -> None:
    plan, body = ask(site, REDIRECT)
    assert (plan.status, body) == (200, b"0123456789")
    assert plan.field(b"Content-Type") == b"text/plain"
    assert plan.field(b"X-Accel-Redirect") is None


def test_a_query_is_no_part_of_a_location(site: Site) -> None:
    assert ask(site, (REDIRECT[0], REDIRECT[1] + b"?x=/.."))[1] == b"0123456789"


def test_an_absolute_path_is_sent(site: Site, tmp_path: Path) -> None:
    assert ask(site, (b"X-Sendfile", os.fsencode(tmp_path / "kept/a b.txt")))[1] == b"0123456789"


def test_the_application_s_fields_go_before_ours(site: Site) -> None:
    plan, _ = ask(
        site,
        REDIRECT,
        (b"Content-Type", b"image/x-own"),
        (b"Content-Length", b"0"),
        (b"Content-Encoding", b"gzip"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"ETag", b'"own"'),
        (b"Cache-Control", b"private"),
        (b"X-Accel-Buffering", b"no"),
    )
    assert plan.fields == (
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"Cache-Control", b"private"),
        (b"Content-Type", b"image/x-own"),
        (b"Content-Length", b"10"),
        (b"Accept-Ranges", b"bytes"),
        (b"Last-Modified", format_date(CHANGED)),
        (b"ETag", b'"own"'),
    )


def test_conditions_are_compared_with_what_the_application_said(site: Site) -> None:
    tag, date = (b"ETag", b'"own"'), (b"Last-Modified", format_date(5000))
    known = ask(site, REDIRECT, tag, request={b"if-none-match": b'"own"'})
    assert (known[0].status, known[1]) == (304, b"")
    since = {b"if-modified-since": format_date(5000)}
    assert ask(site, REDIRECT, date, request=since)[0].status == 304
    assert ask(site, REDIRECT, request=since)[0].status == 200


@pytest.mark.parametrize("field", [(b"ETag", b"own"), (b"Last-Modified", b"today")])
def test_what_is_no_tag_or_date_is_not_sent_on(site: Site, field: Field) -> None:
    assert field not in ask(site, REDIRECT, field)[0].fields
    assert ask(site, REDIRECT, field)[0].fields == ask(site, REDIRECT)[0].fields


def test_a_part_is_sent_of_the_file(site: Site) -> None:
    plan, body = ask(site, REDIRECT, (b"Content-Type", b"x/y"), request={b"range": b"bytes=2-3"})
    assert (plan.status, body, plan.field(b"Content-Type")) == (206, b"23", b"x/y")


def test_an_answer_without_the_file_is_not_kept_as_if_it_were(site: Site) -> None:
    kept = (b"Cache-Control", b"max-age=9999")
    plan, _ = ask(site, REDIRECT, kept, request={b"range": b"bytes=99-"})
    assert (plan.status, plan.field(b"Cache-Control")) == (416, None)


@pytest.mark.parametrize(("status", "method"), [(404, b"GET"), (200, b"POST")])
def test_another_status_or_method_gets_the_whole_file(
    site: Site, status: int, method: bytes
) -> None:
    wanted = {b"range": b"bytes=0-0", b"if-none-match": b"*"}
    plan, body = ask(site, REDIRECT, status=status, method=method, request=wanted)
    assert (plan.status, body) == (status, b"0123456789")
    assert plan.field(b"Content-Length") == b"10"


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_gets_none(site: Site, status: int) -> None:
    plan, body = ask(site, REDIRECT, (b"X-A", b"b"), status=status)
    assert (plan.status, body, plan.fields) == (status, b"", ((b"X-A", b"b"),))


def test_head_gets_no_body(site: Site) -> None:
    for status in (200, 404):
        plan, body = ask(site, REDIRECT, status=status, method=b"HEAD")
        assert (body, plan.field(b"Content-Length")) == (b"", b"10")


@pytest.mark.parametrize(
    "fields",
    [
        [(b"X-Accel-Redirect", b"/files/none")],
        [(b"X-Accel-Redirect", b"/else/a")],
        [(b"X-Accel-Redirect", b"/files/%2e%2e/other/x")],
        [(b"X-Accel-Redirect", b"/files/a%00")],
        [(b"X-Accel-Redirect", b"")],
        [(b"X-Accel-Redirect", b"/" * 10000)],
        [(b"X-Accel-Redirect", b"/files/a\tb")],
        [(b"X-Sendfile", b"/etc/passwd")],
        [(b"X-Sendfile", b"kept/a b.txt")],
        [REDIRECT, (b"X-Sendfile", b"/x")],
    ],
)
def test_a_name_that_is_not_to_be_served_is_refused(site: Site, fields: list[Field]) -> None:
    refused = hand_over(Given(200, tuple(fields)), Request(), site.finder, site.answerer, NOW)
    assert isinstance(refused, Refused)
