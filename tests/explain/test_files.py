"""Files that a request would get."""

from __future__ import annotations

from pathlib import Path

import pytest

from uwgate.conf.groups.static import StaticOptions
from uwgate.explain.files import Files
from uwgate.routing.results import ServeFile, ServeStatic


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "file.txt").write_text("five!")
    (root / "folder" / "index.html").write_text("<p>")
    (tmp_path / "outside").write_text("secret")
    (root / "link").symlink_to(tmp_path / "outside")
    return root


def test_a_file_that_is_there_is_served(root: Path) -> None:
    found = Files().look(ServeStatic(bytes(root / "file.txt")))
    assert (found.is_there, found.size) == (True, 5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"none", "there is no such file"),
        (b"\0", "no path of a file"),
        (b"../outside", ""),
        (b"link", ""),
    ],
)
def test_a_file_that_is_not_served_says_why(root: Path, name: bytes, reason: str) -> None:
    found = Files().look(ServeFile(bytes(root) + b"/" + name, root=bytes(root)))
    assert not found.is_there
    assert found.reason.startswith(reason)


def test_maps_have_files_for_requests(root: Path) -> None:
    files = Files(StaticOptions(static_map=(f"/s={root}",), static_index=("index.html",)))
    found = files.mapped({b"REQUEST_METHOD": b"GET", b"PATH_INFO": b"/s/folder/"})
    assert found is not None
    assert found.path == bytes(root / "folder" / "index.html")
    assert files.mapped({b"REQUEST_METHOD": b"GET", b"PATH_INFO": b"/other"}) is None
    assert Files().mapped({b"REQUEST_METHOD": b"GET", b"PATH_INFO": b"/s/file.txt"}) is None


def test_types_are_those_of_the_configuration(tmp_path: Path) -> None:
    table = tmp_path / "types"
    table.write_text("a/own own\n")
    files = Files(StaticOptions(mime_file=(str(table),)))
    assert files.type_of(b"/x.own") == b"a/own"
    assert files.type_of(b"/x.unknown") == b""
