"""XSLT: what comes out, and what stylesheets and documents cannot have."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from uwgate.experts import stylesheets
from uwgate.experts.experts import Experts
from uwgate.experts.reading import UnreadableError
from uwgate.experts.stylesheets import StylesheetError, Stylesheets
from uwgate.routing.results import ApplyStylesheet, Failed

SHEET = """\
<!DOCTYPE x [<!ENTITY nbsp "&#160;">]>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" {more}>
<xsl:output method="text"/>{top}
<xsl:param name="p"/><xsl:template match="/">{body}</xsl:template></xsl:stylesheet>
"""
BOMB = """\
<xsl:template name="t"><xsl:param name="n"/><xsl:if test="$n &gt; 0">
<xsl:call-template name="t"><xsl:with-param name="n" select="$n - 1"/></xsl:call-template>
<xsl:call-template name="t"><xsl:with-param name="n" select="$n - 1"/></xsl:call-template>
</xsl:if></xsl:template>"""


@dataclass
class Folder:
    """Stylesheets and documents."""

    path: Path
    stylesheets: Stylesheets

    def write(self, name: str, body: str, top: str = "", more: str = "") -> None:
        self.put(name, SHEET.format(body=body, top=top, more=more))

    def put(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def wanted(self, sheet: str, document: str | None = None) -> ApplyStylesheet:
        path = os.fsencode(self.path / sheet)
        if document is None:
            return ApplyStylesheet(path, None, document=os.fsencode(self.path / "in/doc.xml"))
        return ApplyStylesheet(path, None, content=document.encode())

    def apply(self, sheet: str, document: str | None = None) -> str:
        return self.stylesheets.apply(self.wanted(sheet, document)).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    pytest.importorskip("lxml")
    found = Folder(tmp_path, Stylesheets())
    found.put("in/doc.xml", "<r><a>one</a></r>")
    found.put("in/more.xml", "<s>inside</s>")
    found.put("secret.xml", "<s>secret</s>")
    (tmp_path / "in/link.xml").symlink_to("../secret.xml")
    return found


def test_a_document_becomes_what_the_stylesheet_says(folder: Folder) -> None:
    folder.write("in/s.xsl", '<xsl:value-of select="//a"/>&nbsp;!')
    assert folder.apply("in/s.xsl") == "one\u00a0!"
    assert folder.apply("in/s.xsl", "<a>two &amp; three</a>") == "two & three\u00a0!"


@pytest.mark.parametrize("value", ["v", 'it\'s "quoted"', "1 + 1", "//a", "ü", ""])
def test_a_parameter_is_a_text_whatever_stands_in_it(folder: Folder, value: str) -> None:
    folder.write("in/s.xsl", '<xsl:value-of select="$p"/>')
    wanted = replace(folder.wanted("in/s.xsl"), params=((b"p", value.encode()),))
    assert folder.stylesheets.apply(wanted).decode() == value


def test_a_parameter_that_is_no_text_is_refused(folder: Folder) -> None:
    folder.write("in/s.xsl", "x")
    with pytest.raises(StylesheetError):
        folder.stylesheets.apply(replace(folder.wanted("in/s.xsl"), params=((b"p", b"\xff"),)))


def test_a_stylesheet_has_the_files_of_its_folder(folder: Folder) -> None:
    folder.write("in/s.xsl", "<xsl:call-template name='t'/>", '<xsl:include href="sub/t.xsl"/>')
    folder.put(
        "in/sub/t.xsl",
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        "<xsl:template name='t'><xsl:value-of select=\"document('../more.xml')\"/></xsl:template>"
        "</xsl:stylesheet>",
    )
    assert folder.apply("in/s.xsl") == "inside"


def test_a_folder_may_have_any_name(folder: Folder) -> None:
    for name in ("a b", "ü", "a%41", "#x"):
        folder.put(f"{name}/more.xml", f"<s>{name}</s>")
        folder.write(f"{name}/s.xsl", "<xsl:value-of select=\"document('more.xml')\"/>")
        assert folder.apply(f"{name}/s.xsl") == name


OUTSIDE = ["../secret.xml", "{folder}/secret.xml", "file://{folder}/secret.xml", "link.xml"]


@pytest.mark.parametrize("name", [*OUTSIDE, "http://127.0.0.1:1/x", "ftp://127.0.0.1:1/x"])
def test_no_stylesheet_reads_anything_else(folder: Folder, name: str) -> None:
    url = name.format(folder=folder.path)
    folder.write("in/s.xsl", f"<xsl:value-of select=\"document('{url}')\"/>")
    with pytest.raises(StylesheetError):
        folder.apply("in/s.xsl")
    folder.write("in/s.xsl", "", f'<xsl:include href="{url}"/>')
    with pytest.raises(StylesheetError):
        folder.apply("in/s.xsl")


def test_no_stylesheet_writes_a_file(folder: Folder) -> None:
    target = folder.path / "in/written"
    more = 'xmlns:e="http://exslt.org/common" extension-element-prefixes="e"'
    folder.write("in/s.xsl", f'<e:document href="{target}">x</e:document>', more=more)
    with pytest.raises(StylesheetError):
        folder.apply("in/s.xsl")
    assert not target.exists()


@pytest.mark.parametrize(
    "document",
    [
        "",
        "no xml",
        "<a>",
        '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file://{folder}/secret.xml">]><a>&x;</a>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "file://{folder}/secret.xml"> %x;]><a/>',
    ],
)
def test_a_document_that_is_broken_or_declares_entities_is_refused(
    folder: Folder, document: str
) -> None:
    folder.write("in/s.xsl", '<xsl:value-of select="."/>')
    with pytest.raises(StylesheetError):
        folder.apply("in/s.xsl", document.replace("{folder}", str(folder.path)))


def test_a_file_of_the_folder_brings_nothing_from_outside_along(folder: Folder) -> None:
    folder.put("in/x.xml", '<!DOCTYPE a [<!ENTITY x SYSTEM "../secret.xml">]><a>[&x;]</a>')
    folder.write("in/s.xsl", "<xsl:value-of select=\"document('x.xml')\"/>")
    try:
        found = folder.apply("in/s.xsl")
    except StylesheetError as error:  # what versions of libxml2 make of it differs
        found = str(error)
    assert "secret" not in found


def test_a_stylesheet_that_is_missing_or_broken_is_named(folder: Folder) -> None:
    with pytest.raises(UnreadableError, match=r"none\.xsl"):
        folder.apply("in/none.xsl")
    folder.put("in/s.xsl", "<a>")
    with pytest.raises(StylesheetError, match=r"in/s\.xsl"):
        folder.apply("in/s.xsl")


def test_a_stylesheet_is_read_again_when_it_or_what_it_includes_changes(folder: Folder) -> None:
    part = (
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        "<xsl:template name='t'>{}</xsl:template></xsl:stylesheet>"
    )
    folder.put("in/t.xsl", part.format("old"))
    folder.write("in/s.xsl", "<xsl:call-template name='t'/>", '<xsl:include href="t.xsl"/>')
    assert folder.apply("in/s.xsl") == "old"
    folder.put("in/t.xsl", part.format("newer"))
    assert folder.apply("in/s.xsl") == "newer"
    folder.write("in/s.xsl", "newest of all")
    assert folder.apply("in/s.xsl") == "newest of all"


def test_an_unchanged_stylesheet_is_compiled_once(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("in/s.xsl", "x")
    folder.apply("in/s.xsl")
    monkeypatch.delattr(Stylesheets, "_read")
    assert folder.apply("in/s.xsl") == "x"


def test_no_more_stylesheets_are_kept_than_the_limit(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stylesheets, "KEPT", 2)
    for name in "abc":
        folder.write(f"in/{name}.xsl", name)
        folder.apply(f"in/{name}.xsl")
    assert [Path(os.fsdecode(path)).stem for path in folder.stylesheets.kept] == ["b", "c"]


def test_what_comes_out_has_a_limit(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stylesheets, "MAX_SIZE", 500)
    folder.write("in/s.xsl", '<xsl:for-each select="//b">0123456789</xsl:for-each>')
    with pytest.raises(StylesheetError, match="600 bytes come out, limit 500"):
        folder.apply("in/s.xsl", f"<a>{'<b/>' * 60}</a>")


def test_a_stylesheet_without_an_end_is_an_error(folder: Folder) -> None:
    call = "<xsl:call-template name='t'/>"
    folder.write("in/s.xsl", call, f"<xsl:template name='t'>{call}{call}</xsl:template>")
    with pytest.raises(StylesheetError):
        folder.apply("in/s.xsl")


def test_a_stylesheet_that_takes_too_long_is_not_waited_for(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uwgate.experts.experts.DOCUMENTS_LIMIT", 0.2)
    first = "<xsl:call-template name='t'><xsl:with-param name='n' select='21'/></xsl:call-template>"
    folder.write("in/s.xsl", first, BOMB)
    found = Experts(lambda question: None, print).answer(folder.wanted("in/s.xsl"))
    assert found == Failed("documents: not done within 0.2 s", 503)
