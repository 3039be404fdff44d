"""No pattern makes a search take long."""

from __future__ import annotations

import importlib.util

import pytest

from uwgate.routing.regexp.analysis import is_anchored
from uwgate.routing.regexp.automaton import Automaton
from uwgate.routing.regexp.grammar import parse
from uwgate.routing.regexp.pattern import Pattern, SubjectTooLongError
from uwgate.routing.regexp.reading import PatternError

EXPLOSIVE = [
    rb"^(a+)+$",
    rb"^(a|a)*$",
    rb"^(a|aa)+$",
    rb"(x+x+)+y",
    rb"^(([a-z])+.)+[A-Z]([a-z])+$",
]


@pytest.mark.parametrize("source", EXPLOSIVE)
@pytest.mark.parametrize("with_re2", [True, False])
def test_an_exponential_pattern_ends(source: bytes, with_re2: bool) -> None:
    pattern = Pattern(source, with_re2=with_re2)
    assert pattern.search(b"a" * 500 + b"\n!") is None
    assert pattern.search(b"x" * 500 + b"\n!") is None


@pytest.mark.parametrize("with_re2", [True, False])
def test_a_cubic_pattern_ends_on_a_long_subject(with_re2: bool) -> None:
    pattern = Pattern(rb"^/(.*)/(.*)/(.*)$", with_re2=with_re2)
    assert pattern.search(b"/" * 3000 + b"\n\n") is None


@pytest.mark.parametrize("length", [3, 30, 300, 3000])
def test_all_matchers_give_the_same_groups(length: int) -> None:
    subject = b"/a" * length
    groups = Pattern(rb"^/(.*)/(.*)/(.*)$", with_re2=False).search(subject)
    assert groups == (subject, subject[1:-4], b"a", b"a")
    assert groups == Pattern(rb"^/(.*)/(.*)/(.*)$").search(subject)


@pytest.mark.skipif(importlib.util.find_spec("re2") is None, reason="google-re2 is not installed")
def test_re2_agrees_with_the_automaton() -> None:
    source = rb"^(?i:(a|b)+?)(.*)x$"
    subject = b"aB" * 400 + b"x"
    parsed = parse(source)
    automaton = Automaton(parsed, anchored=is_anchored(parsed.node))
    found = automaton.search(subject)
    assert found is not None
    assert Pattern(source).search(subject) == tuple(found)


def test_a_pattern_that_nothing_bounds_is_refused() -> None:
    with pytest.raises(PatternError, match="may try without end"):
        Pattern(rb"^(a+)+\1$")


def test_a_pattern_that_only_backtracking_can_match_has_a_longest_subject() -> None:
    pattern = Pattern(rb"(\w)\1x")
    assert pattern.search(b"aax") == (b"aax", b"a")
    assert pattern.limit is not None
    with pytest.raises(SubjectTooLongError, match=f"limit {pattern.limit}"):
        pattern.search(b"a" * (pattern.limit + 1))


def test_a_big_automaton_has_a_longest_subject() -> None:
    pattern = Pattern(rb"^((a|a){700})+$", with_re2=False)
    assert pattern.limit is not None
    with pytest.raises(SubjectTooLongError, match=f"limit {pattern.limit}"):
        pattern.search(b"a" * (pattern.limit + 1))


def test_a_linear_pattern_has_no_longest_subject() -> None:
    assert Pattern(rb"^/([^/]*)/(.*)$").limit is None


def test_a_program_that_would_be_too_big_is_refused_if_it_would_need_to_run() -> None:
    with pytest.raises(PatternError, match="more than 5000 steps"):
        Pattern(rb"^((a|a){1000}){1000}$")
