"""Types by extensions (spec part B1)."""

from __future__ import annotations

import pytest

from uwgate.files.mime import MimeTable


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"/a/b.css", b"text/css"),
        (b"b.min.js", b"text/javascript"),
        (b"B.HTML", b"text/html"),
        (b"/a.css/b", None),
        (b"README", None),
        (b"a.unknown", None),
        (b"a.", None),
        (b"", None),
        (b"a.\xff", None),
    ],
)
def test_the_last_extension_says_the_type(name: bytes, kind: object) -> None:
    assert MimeTable().type_of(name) == kind


def test_a_file_of_types_goes_over_what_is_built_in() -> None:
    table = MimeTable(["text/x-a  css one\n", "text/x-b one two"])
    assert [table.type_of(b"a." + end) for end in (b"css", b"one", b"two", b"html")] == [
        b"text/x-a",
        b"text/x-b",
        b"text/x-b",
        b"text/html",
    ]


def test_an_extension_counts_first_as_it_is_written() -> None:
    table = MimeTable(["text/x-source C\ntext/x-header c"])
    assert table.type_of(b"a.C") == b"text/x-source"
    assert table.type_of(b"a.c") == b"text/x-header"


@pytest.mark.parametrize(
    "line", ["# text/x-a new", "text new", "te\x7fxt/a new", "text/x\x00 new", "", "text/x-a"]
)
def test_what_is_no_type_is_passed_over(line: str) -> None:
    assert MimeTable([line]).type_of(b"a.new") is None


def test_a_comment_ends_a_line_and_one_letter_is_an_extension() -> None:
    table = MimeTable(["text/x-a a b # c"])
    assert [table.type_of(b"x." + end) for end in (b"a", b"b", b"c")] == [
        b"text/x-a",
        b"text/x-a",
        None,
    ]
