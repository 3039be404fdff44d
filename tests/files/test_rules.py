"""The options are read once, and every mistake is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from uwgate.conf.catalog import catalog
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.static import StaticOptions
from uwgate.conf.option import options_of
from uwgate.files import rules as module
from uwgate.files.disk import RealDisk
from uwgate.files.mapping import Mapping
from uwgate.files.rules import StaticRules, read_rules


def read(**values: Any) -> StaticRules:
    return read_rules(StaticOptions(**values), RealDisk())


def test_mappings_stand_in_the_order_in_which_they_are_tried() -> None:
    found = read(
        static_map2=("/c=/3",), static_map=("/b/=/2", "/=/w"), check_static=("/1",)
    ).mappings
    assert found == (
        Mapping(b"", b"/1", whole=True),
        Mapping(b"/b", b"/2"),
        Mapping(b"", b"/w"),
        Mapping(b"/c", b"/3", whole=True),
    )


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("static_map", "/x", "static-map = /x: expected /prefix=directory"),
        ("static_map", "x=/y", "expected /prefix=directory"),
        ("static_map2", "/x=", "static-map2 = /x=: expected /prefix=directory"),
        ("static_internal", "/../x=/y", "a prefix that leads up"),
        ("check_static", "", "expected a path"),
        ("check_static", "/a\0b", "a NUL byte"),
        ("static_skip_ext", "", "expected a text"),
        ("static_index", "../x", "expected the name of a file"),
        ("static_index", "/", "expected the name of a file"),
        ("static_gzip", "(", "a pattern that cannot be used"),
        ("static_expires", r"\.css", "expected pattern seconds"),
        ("static_expires", r"\.css soon", "expected pattern seconds"),
        ("static_expires_uri_mtime", "( 5", "a pattern that cannot be used"),
        ("static_expires_type", "text/css 5", "expected type=seconds"),
        ("static_expires_type_mtime", "text/css=" + "9" * 5000, "more than"),
        ("static_expires", "x 4000000000", "more than"),
        ("mime_file", "/none", "mime-file = /none: cannot be read"),
        ("mime_file", "", "expected a path"),
    ],
)
def test_a_mistake_names_the_option_and_the_value(option: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**{option: (value,)})
    assert reason in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read(static_map=("x", "/a=/b", "y"), file_serve_mode="apache")
    assert len(str(caught.value).splitlines()) == 3


def test_a_table_of_types_has_a_longest_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TABLE", 10)
    (tmp_path / "types").write_text("text/x-long long\n")
    with pytest.raises(ConfigError, match="more than 10 bytes"):
        read(mime_file=(str(tmp_path / "types"),))


def test_a_file_of_types_is_read(tmp_path: Path) -> None:
    (tmp_path / "types").write_bytes(b"text/x-new new\xff new\n")
    assert read(mime_file=(str(tmp_path / "types"),)).types.type_of(b"a.new") == b"text/x-new"


def test_bytes_that_are_no_text_survive() -> None:
    assert read(check_static=("/\udce9",)).mappings[0].root == b"/\xe9"


def test_options_of_our_own_are_marked() -> None:
    for one in options_of(StaticOptions, "static").values():
        assert one.ours is (one.name not in catalog())


def test_all_of_the_original_s_options_are_there() -> None:
    known = {
        name
        for one in options_of(StaticOptions, "static").values()
        for name in (one.name, *one.aliases)
    }
    assert {name for name in catalog() if name.startswith(("static-", "check-static"))} <= known
    assert {"mime-file", "mimefile", "honour-range", "file-serve-mode"} <= known
