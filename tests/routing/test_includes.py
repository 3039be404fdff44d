"""Reading pages with server-side includes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.routing.includes import Command, Mistaken, Piece, escape, read_page


def echo(name: bytes) -> Command:
    return Command(b"echo", {b"var": name})


@pytest.mark.parametrize(
    ("page", "pieces"),
    [
        (b"", []),
        (b"plain", [b"plain"]),
        (b'a<!--#echo var="X" -->b', [b"a", echo(b"X"), b"b"]),
        (b'<!--#echo var="X"--><!--# echo\n var="Y"\t-->', [echo(b"X"), echo(b"Y")]),
        (b'<<!--#echo var="X"-->', [b"<", echo(b"X")]),
        (b"<!-- a comment -->", [b"<!-- a comment -->"]),
        (b"<!--#printenv-->", [Command(b"printenv", {})]),
        (b'<!--#cache key="k" name="n"-->', [Command(b"cache", {b"key": b"k", b"name": b"n"})]),
        (b'<!--#echo var="a" var="b"-->', [echo(b"a")]),
        (b'<!--#echo var="a b - -- c"-->', [echo(b"a b - -- c")]),
        (b'<!--#echo var=""-->', [echo(b"")]),
        (b'a<!--#echo var="X"', [b'a<!--#echo var="X"']),
    ],
)
def test_a_page_falls_into_texts_and_commands(page: bytes, pieces: list[Piece]) -> None:
    assert list(read_page(page)) == pieces


@pytest.mark.parametrize(
    "text", [b"", b" ", b"echo var=x", b'echo var="a', b"echo var", b"echo" + b' a="b"' * 9]
)
def test_what_only_begins_like_a_command_is_a_mistake(text: bytes) -> None:
    assert list(read_page(b"<!--#" + text + b"-->")) == [Mistaken(text)]


@given(st.lists(st.sampled_from([b"<!--#", b"-->", b'echo var="', b'"', b" ", b"x", b"=", b"-"])))
def test_any_page_can_be_read_and_loses_no_text(parts: list[bytes]) -> None:
    page = b"".join(parts)
    at = 0
    for piece in read_page(page):
        if isinstance(piece, bytes):
            assert page.startswith(piece, at)
            at += len(piece)
        else:
            assert page.startswith(b"<!--#", at)
            at = page.index(b"-->", at + 5) + 3
    assert at == len(page)


def test_a_value_cannot_become_markup() -> None:
    assert escape(b"<a href=\"x\" id='y'>&") == b"&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;"
