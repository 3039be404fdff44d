"""Every name has one place."""

from __future__ import annotations

import re

import pytest

from uwgate.conf.catalog import catalog
from uwgate.conf.families import ACCEPTED, NO_SUBSTITUTE, NOT_OFFERED
from uwgate.conf.help import WORD_HELP
from uwgate.conf.registry import COMMANDS, LANGUAGE, Standing, find, known, nearest, registry

# The options that most files use (ini-usage section 1), without emperor, stats and
# harakiri, which have work of their own.
MOST_USED = [
    "master",
    "processes",
    "module",
    "chdir",
    "socket",
    "vacuum",
    "uid",
    "gid",
    "threads",
    "http",
    "buffer-size",
    "enable-threads",
    "chmod-socket",
    "wsgi-file",
    "pidfile",
    "die-on-term",
    "max-requests",
    "callable",
    "logto",
    "plugins",
    "env",
    "pythonpath",
    "http-socket",
    "workers",
    "daemonize",
    "auto-procname",
    "virtualenv",
    "lazy-apps",
    "disable-logging",
    "memory-report",
    "single-interpreter",
    "ini",
    "strict",
    "plugin",
    "log-maxsize",
    "post-buffering",
    "procname-prefix-spaced",
    "reload-on-rss",
    "home",
    "http-timeout",
    "need-app",
    "thunder-lock",
    "endif",
    "mount",
    "static-map",
]


def test_all_names_of_uwsgi_are_known() -> None:
    assert len(catalog()) == 1254
    assert [name for name in catalog() if find(name) is None] == []


@pytest.mark.parametrize("name", catalog())
def test_a_name_is_in_exactly_one_class(name: str) -> None:
    entry = known(name)
    works = entry.option is not None or entry.word is not None
    accepted = entry.name in ACCEPTED
    assert [works, accepted].count(True) <= 1
    expected = Standing.WORKS if works else Standing.ACCEPTED if accepted else Standing.NOT_OFFERED
    assert entry.standing is expected


@pytest.mark.parametrize("name", MOST_USED)
def test_the_most_used_options_do_what_they_say(name: str) -> None:
    assert known(name).standing is not Standing.NOT_OFFERED


@pytest.mark.parametrize("name", ["emperor", "stats", "harakiri", "touch-reload"])
def test_what_is_not_offered_says_what_to_use_instead(name: str) -> None:
    assert known(name).standing is Standing.NOT_OFFERED
    assert known(name).reason not in ("", NO_SUBSTITUTE)


def test_our_own_options_are_marked() -> None:
    ours = [one.name for one in registry().values() if one.fact is None]
    assert all(known(name).option is None or known(name).option.ours for name in ours)  # type: ignore[union-attr]  # None is asked first


def test_every_word_has_an_explanation() -> None:
    words = {*LANGUAGE.values(), *COMMANDS.values(), "toml", "check"}
    assert words == set(WORD_HELP)


def test_no_family_is_without_members() -> None:
    names = [one.name for one in registry().values() if one.standing is Standing.NOT_OFFERED]
    empty = [
        pattern.pattern
        for pattern, _ in NOT_OFFERED
        if not any(pattern.fullmatch(name) for name in names)
    ]
    assert empty == []


def test_no_accepted_name_is_invented() -> None:
    assert [name for name in ACCEPTED if name not in catalog()] == []


def test_underscores_equal_hyphens() -> None:
    assert find("wsgi_file") is find("wsgi-file")
    assert find("pivot_root") is find("pivot-root")


def test_aliases_share_an_option() -> None:
    assert known("workers").option == known("processes").option
    assert known("venv").option == known("home").option


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("vaccum", "vacuum"),
        ("vaccuum", "vacuum"),
        ("harakari", "harakiri"),
        ("deamonize", "daemonize"),
        ("lasy-apps", "lazy-apps"),
        ("no-orphan", "no-orphans"),
        ("process", "processes"),
        ("proc-name-prefix", "procname-prefix"),
        ("py-callos-afterfork", "py-call-osafterfork"),
        ("log-backupcount", "log-backupname"),
        ("vassals-set x", "vassals-set"),
    ],
)
def test_real_typing_errors_find_the_name_that_was_meant(typed: str, meant: str) -> None:
    assert nearest(typed) == meant


@pytest.mark.parametrize("typed", ["base", "www", "django", "site", "app_name"])
def test_variables_look_like_no_option(typed: str) -> None:
    assert nearest(typed) is None


def test_kinds_of_the_catalog_have_no_blanks() -> None:
    assert all(re.fullmatch(r"[a-z0-9:_-]+", fact.kind) for fact in catalog().values())
