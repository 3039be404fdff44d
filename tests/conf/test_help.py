"""Help, the report of a check, the reference page, the examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from uwgate.conf import check
from uwgate.conf.errors import ConfigError
from uwgate.conf.help import all_options, help_text
from uwgate.conf.loading import load
from uwgate.conf.reference import PAGE, page
from uwgate.conf.settings import GROUPS

if TYPE_CHECKING:
    from tests.conf.conftest import Configure

EXAMPLES = Path(check.__file__).parent / "examples"
COLOUR = re.compile(r"\033\[\d+m")


def test_the_short_help_names_every_group() -> None:
    text = help_text()
    assert all(f"  {group} " in text for group in GROUPS)


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_of_a_group_names_its_options(group: str) -> None:
    text = help_text(group)
    assert all(f"--{one.name}" in text for one in all_options() if one.group == group)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("topic", [None, "workers", "http-timeout", "socket", "emperor", "zzz"])
def test_help_keeps_to_the_width(topic: str | None, width: int) -> None:
    lines = help_text(topic, width=width).splitlines()
    too_wide = [line for line in lines if len(line) > width and line.count(" ") > 6]
    assert too_wide == []


def test_colours_are_only_used_when_asked_for() -> None:
    assert "\033" not in help_text("http")
    assert COLOUR.sub("", help_text("http", colours=True)) == help_text("http")


@pytest.mark.parametrize(
    ("topic", "part"),
    [
        ("processes", "-p, --processes N"),
        ("-p", "-p, --processes N"),
        ("--workers", "Also: workers"),
        ("harakiri", "not offered yet"),
        ("thunder-lock", "accepted, nothing to do: workers never race"),
        ("if-env", "Up to endif"),
        ("check", "--check"),
        ("keepalive", "--http-keepalive[=SECONDS]"),
        ("legion-node", "--legion-node TEXT"),
        ("legio-n", "Nothing is known about 'legio-n'. Nearest: legion"),
    ],
)
def test_help_finds_options_and_words(topic: str, part: str) -> None:
    assert part in help_text(topic, width=100)


def test_the_reference_page_is_fresh() -> None:
    stale = "docs/reference/options.md is stale: run python -m uwgate.conf.reference"
    assert PAGE.read_text(encoding="utf-8") == page(), stale


@pytest.mark.parametrize("name", ["app.ini", "front.ini", "site.ini"])
def test_the_examples_load_without_a_remark(name: str) -> None:
    loaded = load([str(EXAMPLES / name)], {})
    assert loaded.notes == ()
    assert loaded.settings != load([], {}).settings


@pytest.mark.parametrize("name", ["app.ini", "front.ini", "site.ini"])
def test_the_report_is_a_file_that_means_the_same(configure: Configure, name: str) -> None:
    original = load([str(EXAMPLES / name)], {}).settings
    copy = configure(check.effective_ini(original)).settings
    assert [getattr(copy, group) for group in GROUPS] == [
        getattr(original, group) for group in GROUPS
    ]


def test_odd_values_survive_the_report(configure: Configure) -> None:
    text = "[uwsgi]\nlog-format = 100%% %(uri) %%(x)\nlog-date = %%Y\numask = 022\nchmod-socket\n"
    text += "http-timeout = 1.5\ndisable-logging = 1\nneed-app = false\nenv = A=%%d\n"
    original = configure(text).settings
    copy = configure(check.effective_ini(original)).settings
    assert [getattr(copy, group) for group in GROUPS] == [
        getattr(original, group) for group in GROUPS
    ]


def test_a_report_ends_with_what_was_noticed(configure: Configure) -> None:
    loaded = configure("[uwsgi]\nmaster\nvaccum = 1\nprocesses = 2 ; two\nprint = hello\n")
    lines = check.report(loaded).splitlines()
    assert lines[:2] == ["[uwgate]", "processes = 2"]
    assert lines[-1] == "ok: 1 file read, 2 warnings"
    assert "note: accepted, nothing to do here: master" in lines
    assert "hello" in lines
    assert COLOUR.sub("", check.report(loaded, colours=True)) == check.report(loaded)


def test_an_error_report_has_a_line_for_each_problem(configure: Configure) -> None:
    with pytest.raises(ConfigError) as caught:
        configure("[uwsgi]\nvaccum = 1\nstats = :1\nprocesses = x\n")
    lines = check.report_error(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["warning", "error", "error"]
