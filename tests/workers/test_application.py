"""What the options may name as an application, and what is said when they cannot."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from uwgate.conf.groups.application import ApplicationOptions
from uwgate.workers.application import LoadError, load_applications, prepare_interpreter
from uwgate.workers.mounts import Mounts

SOURCE = """
def application(environ, start): return [b"application"]
def other(environ, start): return [b"other"]
class Site:
    def app(self, environ, start): return [b"attribute"]
site = Site()
def factory(): return other
def broken(): raise ValueError("cannot build")
number = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module, as current directory and in sys.path."""
    (tmp_path / "some_site.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "argv", ["x"])
    monkeypatch.delitem(sys.modules, "some_site", raising=False)
    return tmp_path


def load(uwsgi: Any = None, **options: Any) -> Mounts:
    return load_applications(ApplicationOptions(**options), uwsgi or types.ModuleType("uwsgi"))


def answer(mounts: Mounts, path: str = "/", script: str = "") -> tuple[bytes, str, str] | None:
    environ = {"PATH_INFO": path, "SCRIPT_NAME": script}
    found = mounts.find(environ)
    if found is None:
        return None
    return found.call(environ, None)[0], environ["SCRIPT_NAME"], environ["PATH_INFO"]


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"module": "some_site"}, b"application"),
        ({"module": "some_site:other"}, b"other"),
        ({"module": "some_site", "callable": "other"}, b"other"),
        ({"module": "some_site:site.app"}, b"attribute"),
        ({"module": "some_site:factory()"}, b"other"),
        ({"wsgi_file": "some_site.py"}, b"application"),
        ({"wsgi_file": "some_site.py", "callable": "other"}, b"other"),
    ],
)
def test_an_application_is_found(options: dict[str, str], body: bytes) -> None:
    assert answer(load(**options)) == (body, "", "/")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"module": "no_such_site"}, "No module named 'no_such_site'"),
        ({"module": "some_site:aplication"}, "some_site has no 'aplication'; there is application"),
        ({"module": "some_site:number"}, "some_site:number is not callable but int"),
        ({"module": "some_site:broken()"}, "ValueError: cannot build"),
        ({"wsgi_file": "missing.py"}, "wsgi-file = missing.py: No such file"),
        ({"wsgi_file": "."}, "wsgi-file = .: is a directory"),
        ({"mount": ("/x",)}, "mount = /x: not of the form"),
        ({}, "no application: set module or wsgi-file"),
    ],
)
def test_what_cannot_be_loaded_is_explained(options: dict[str, Any], text: str) -> None:
    with pytest.raises(LoadError, match=text.replace("(", r"\(").replace(")", r"\)")):
        load(**options)


def test_a_syntax_error_shows_its_place(folder: Path) -> None:
    (folder / "bad.py").write_text("def (:\n")
    with pytest.raises(LoadError) as caught:
        load(wsgi_file="bad.py")
    assert 'File "bad.py", line 1' in str(caught.value)
    assert "uwgate/workers" not in str(caught.value)


def test_a_file_is_a_module_by_the_name_that_uwsgi_gives_it(folder: Path) -> None:
    (folder / "named.py").write_text("def application(e, s): return [__name__.encode()]")
    assert answer(load(wsgi_file="named.py")) == (b"uwsgi_file_named", "", "/")


@pytest.mark.parametrize(
    ("path", "script", "expected"),
    [
        ("/a/x", "", (b"other", "/a", "/x")),
        ("/a", "", (b"other", "/a", "")),
        ("/ab", "", (b"application", "", "/ab")),
        ("/a/b/c", "", (b"attribute", "/a/b", "/c")),
        ("/x", "/a", (b"other", "/a", "/x")),
        ("/", "", (b"application", "", "/")),
    ],
)
def test_the_longest_mount_point_wins(path: str, script: str, expected: object) -> None:
    mount = ("/a/=some_site:other", "/a/b=some_site.py:site.app")
    assert answer(load(module="some_site", mount=mount), path, script) == expected


def test_without_a_default_the_first_mount_serves_the_rest() -> None:
    assert answer(load(mount=("/a=some_site:other",)), "/x") == (b"other", "", "/x")


def test_no_default_app_leaves_the_rest_unserved() -> None:
    assert answer(load(mount=("/a=some_site:other",), no_default_app=True), "/x") is None


@pytest.mark.parametrize("key", ["'/z'", "b'/z'"])
@pytest.mark.parametrize("value", ["other", "'other'", "b'other'"])
def test_a_dict_of_applications_wins(folder: Path, key: str, value: str) -> None:
    (folder / "table.py").write_text(SOURCE + f"\napplications = {{{key}: {value}}}\n")
    assert answer(load(wsgi_file="table.py"), "/z/1") == (b"other", "/z", "/1")


def test_modules_are_imported_first(folder: Path) -> None:
    (folder / "first_of_all.py").write_text("import sys; sys.first_of_all = True")
    load(py_import=("first_of_all",), module="some_site")
    assert sys.first_of_all  # type: ignore[attr-defined]


def test_the_interpreter_is_prepared_as_uwsgi_does(folder: Path) -> None:
    for name in ("p1", "p2"):
        (folder / name).mkdir()
    prepare_interpreter(ApplicationOptions(pythonpath=("other", "p?"), pyargv="a 'b c'"))
    assert sys.path[:4] == ["p2", "p1", "other", "."]
    assert sys.argv == ["uwsgi", "a", "b c"]
