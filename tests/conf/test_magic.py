"""Magic variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.magic import djb33x, file_variables, replace_magic

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("letter", "value"),
    [
        ("o", "x.tar.ini:s"),
        ("s", "x.tar.ini"),
        ("e", "ini"),
        ("n", "x.tar"),
        ("x", "s"),
        ("9", ""),
    ],
)
def test_a_file_defines_its_variables(tmp_path: Path, letter: str, value: str) -> None:
    assert file_variables("x.tar.ini:s", f"{tmp_path}/x.tar.ini", "s")[letter] == value


def test_a_directory_ends_with_a_slash(tmp_path: Path) -> None:
    variables = file_variables("a.ini", f"{tmp_path}/a.ini", "")
    assert variables["d"] == f"{tmp_path}/"
    assert variables["p"] == f"{tmp_path}/a.ini"
    assert variables["c"] == tmp_path.name
    assert variables["0"] == tmp_path.parts[1]


def test_a_file_without_extension_has_a_name(tmp_path: Path) -> None:
    variables = file_variables("conf", f"{tmp_path}/conf", "")
    assert (variables["n"], variables["e"]) == ("conf", "")


def test_a_link_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "real.ini").write_text("")
    (tmp_path / "link.ini").symlink_to("real.ini")
    assert file_variables("link.ini", f"{tmp_path}/link.ini", "")["n"] == "link"


def test_what_is_no_file_has_only_its_name() -> None:
    variables = file_variables("exec://x.ini", None, "s")
    assert variables.pop("o") == "exec://x.ini"
    assert set(variables.values()) == {""}


def test_unknown_variables_are_reported_and_stay() -> None:
    unknown: list[str] = []
    text = replace_magic("%a %% %(x) %Z %", {"a": "1", "%": "%"}, unknown.append)
    assert text == "1 % %(x) %Z %"
    assert unknown == ["%Z", "%"]


@given(st.text(alphabet="%a(\n x", max_size=30))
def test_without_known_variables_nothing_changes(text: str) -> None:
    assert replace_magic(text, {}, lambda reference: None) == text


def test_the_hash_is_bernsteins() -> None:
    assert djb33x(b"") == 5381
    assert djb33x(b"a") == 5381 * 33 ^ ord("a")
