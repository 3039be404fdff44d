"""Pages with server-side includes, on a real disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from uwgate.experts import pages
from uwgate.experts.pages import PageError, Pages
from uwgate.experts.reading import UnreadableError
from uwgate.routing.results import Cached, CacheGet, FillPage


@dataclass
class Site:
    """A folder with pages, and the cache behind them."""

    folder: Path
    cache: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def fill(self, name: str, root: str | None = "www", **variables: str) -> str:
        def look_up(question: CacheGet) -> Cached | None:
            value = self.cache.get((question.name, question.key))
            return None if value is None else Cached(value)

        values = {key.encode(): value.encode() for key, value in variables.items()}
        where = None if root is None else os.fsencode(self.folder / root)
        question = FillPage(os.fsencode(self.folder / name), where, values)
        return Pages(look_up, self.said.append).fill(question).decode()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(tmp_path)
    found.write("www/part.html", '<i><!--#echo var="A"--></i>')
    found.write("www/deep/part.html", "deep")
    found.write("secret.html", "secret")
    return found


def test_a_variable_is_written_as_text(site: Site) -> None:
    site.write("www/p", '[<!--#echo var="A"-->|<!--#echo var="B"-->|<!--#echo-->]')
    assert site.fill("www/p", A="<x>") == "[&lt;x&gt;||]"


def test_a_page_can_want_a_variable_as_it_is(site: Site) -> None:
    site.write("www/p", '<!--#echo var="A" encoding="none"-->')
    assert site.fill("www/p", A="<x>") == "<x>"


def test_all_variables_stand_in_lines(site: Site) -> None:
    site.write("www/p", "<!--#printenv-->")
    assert site.fill("www/p", A="1", B="<") == "A=1\nB=&lt;\n"


def test_what_a_cache_has_is_markup(site: Site) -> None:
    site.cache = {(b"", b"k"): b"<b>", (b"other", b"k"): b"<i>"}
    site.write("www/p", '<!--#cache key="k"--><!--#cache name="other" key="k"--><!--#cache-->')
    assert site.fill("www/p") == "<b><i>"


@pytest.mark.parametrize("name", ["part.html", "deep/../part.html", "{folder}/www/part.html"])
def test_a_file_comes_in_as_it_is(site: Site, name: str) -> None:
    site.write("www/p", f'<!--#include file="{name.format(folder=site.folder)}"-->')
    assert site.fill("www/p", A="a") == '<i><!--#echo var="A"--></i>'


def test_a_file_is_looked_for_beside_the_page_and_then_in_the_root(site: Site) -> None:
    site.write("www/deep/p", '<!--#include file="part.html"-->')
    site.write("www/low/p", '<!--#include file="deep/part.html"-->')
    assert site.fill("www/deep/p") == "deep"
    assert site.fill("www/low/p") == "deep"


@pytest.mark.parametrize(
    "name", ["../secret.html", "{folder}/secret.html", "link.html", "links/secret.html", ""]
)
def test_nothing_comes_from_outside_the_root(site: Site, name: str) -> None:
    (site.folder / "www/link.html").symlink_to("../secret.html")
    (site.folder / "www/links").symlink_to("..")
    site.write("www/p", f'[<!--#include file="{name.format(folder=site.folder)}"-->]')
    assert site.fill("www/p") == "[]"
    assert len(site.said) == 1


def test_the_root_of_a_page_is_its_own_folder_if_nothing_else_is_said(site: Site) -> None:
    site.write("www/deep/p", '<!--#include file="part.html"--><!--#include file="../part.html"-->')
    assert site.fill("www/deep/p", root=None) == "deep"


@pytest.mark.parametrize("name", ["none", "deep", "pipe", "../secret.html"])
def test_a_page_that_is_none_is_not_read(site: Site, name: str) -> None:
    os.mkfifo(site.folder / "www/pipe")
    with pytest.raises(UnreadableError):
        site.fill(f"www/{name}")


def test_a_mistake_says_nothing_to_the_client_and_something_to_the_log(site: Site) -> None:
    site.write("www/p", 'a<!--#exec cmd="id"-->b<!--#echo var=x-->c<!--#include file="none"-->d')
    assert site.fill("www/p") == "abcd"
    assert "unknown command 'exec'" in site.said[0]
    assert "'echo var=x' is no command" in site.said[1]
    assert "No such file" in site.said[2]


def test_a_page_with_too_many_commands_is_refused(site: Site) -> None:
    site.write("www/p", "<!--#echo-->" * (pages.MAX_COMMANDS + 1))
    with pytest.raises(PageError, match="commands"):
        site.fill("www/p")


def test_a_page_that_becomes_too_long_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_OUTPUT", 50)
    site.write("www/p", '<!--#include file="part.html"-->' * 2)
    with pytest.raises(PageError, match="50 bytes"):
        site.fill("www/p")


def test_a_file_that_is_too_long_is_not_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_PAGE", 10)
    site.write("www/p", "x" * 11)
    with pytest.raises(UnreadableError, match="more than 10 bytes"):
        site.fill("www/p")
