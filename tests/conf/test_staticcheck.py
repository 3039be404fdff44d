"""Options of static files: mistakes stop the start, directories that are missing do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.pair import Severity

if TYPE_CHECKING:
    from tests.conf.conftest import Configure


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "static-map = /a=/\nstatic-map = /b\n",
            "app.ini:3: static-map: '/b': expected NAME=value",
        ),
        ("static-index = ../x\n", "app.ini:2: static-index = ../x: expected the name"),
        ("static-gzip = (\n", "app.ini:2: static-gzip = (: a pattern that cannot be used"),
        (
            "static-expires-type = a/b\n",
            "app.ini:2: static-expires-type: 'a/b': expected NAME=value",
        ),
        ("mimefile = /none\n", "app.ini:2: mime-file = /none: cannot be read"),
    ],
)
def test_a_mistake_is_told_with_its_line(configure: Configure, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(f"[uwsgi]\n{text}")
    assert reason in str(caught.value)


def test_a_directory_that_is_missing_is_a_warning(configure: Configure, tmp_path: Path) -> None:
    loaded = configure(
        f"[uwsgi]\ncheck-static = {tmp_path}\nstatic-map = /a={tmp_path}/none\n"
        f"static-safe = {tmp_path}/safe\n"
    )
    assert [note.severity for note in loaded.notes] == [Severity.WARNING] * 2
    assert [note.place and note.place.line for note in loaded.notes] == [3, 4]
    assert "/none: nothing is there now" in loaded.notes[0].text


def test_options_reach_the_settings(configure: Configure, tmp_path: Path) -> None:
    static = configure(
        f"[uwsgi]\nstatic-map2 = /a={tmp_path}\nstatic-expires-type = text/css=60\n"
        "honour-range = false\n"
    ).settings.static
    assert static.static_map2 == (f"/a={tmp_path}",)
    assert static.static_expires_type == ("text/css=60",)
    assert not static.honour_range


def test_relative_paths_are_below_chdir(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    text = f"[uwsgi]\nchdir = {tmp_path}\nstatic-map = /a=files\ncheck-static = none\n"
    notes = configure(text).notes
    assert [note.place and note.place.line for note in notes] == [4]
