"""Random patterns match what the real PCRE2 matches, by every matcher."""

from __future__ import annotations

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from uwgate.routing.regexp.analysis import is_anchored
from uwgate.routing.regexp.automaton import Automaton
from uwgate.routing.regexp.grammar import parse
from uwgate.routing.regexp.pattern import Pattern
from uwgate.routing.regexp.reading import PatternError
from uwgate.routing.regexp.rendering import NotRenderedError

from . import pcre

pytestmark = pytest.mark.skipif(pcre.LIBRARY is None, reason="libpcre2-8 is not installed")

BYTES = [b"a", b"b", b"/", rb"\.", b"x", b".", rb"\d", rb"\w", b"[ab]", b"[^a]", b"[[:alpha:]]"]
PLACES = [b"^", b"$", rb"\b", rb"\A", rb"\z", b"(?i)", b"(?=a)", b"(?!b)", b"(?<=a)"]
REPEATS = [b"", b"", b"", b"*", b"+", b"?", b"*?", b"+?", b"{2}", b"{1,3}"]


def joined(parts: list[bytes]) -> bytes:
    return b"".join(parts)


repeated = st.builds(
    lambda one, repeat: one + repeat, st.sampled_from(BYTES), st.sampled_from(REPEATS)
)
simple = st.lists(repeated | st.sampled_from(PLACES), max_size=4).map(joined)


def deeper(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    # What is repeated begins with a byte: PCRE has its own idea of rounds that match nothing.
    group = st.builds(
        lambda head, one, other, repeat: b"(" + head + one + b"|" + head + other + b")" + repeat,
        st.sampled_from(BYTES),
        inner,
        inner,
        st.sampled_from(REPEATS),
    )
    return st.lists(inner | group, min_size=1, max_size=3).map(joined)


patterns = st.recursive(simple, deeper, max_leaves=5)
subjects = st.text("ab/.x1 A\n_", max_size=12).map(str.encode)


@settings(max_examples=150, deadline=None)
@given(patterns, st.lists(subjects, min_size=1, max_size=5))
def test_a_pattern_finds_what_pcre_finds(source: bytes, texts: list[bytes]) -> None:
    try:
        ours = Pattern(source)
    except PatternError:  # nothing bounds it
        reject()
    theirs = pcre.Pcre(source)
    for text in texts:
        groups = theirs.search(text, ours.groups)
        assert ours.search(text) == groups
        if groups is not None:
            known = text.lower() if ours.ignores_case else text
            assert not ours.literals or any(literal in known for literal in ours.literals)
            assert ours.prefixes is None or text.startswith(ours.prefixes)


@settings(max_examples=100, deadline=None)
@given(patterns, st.lists(subjects, min_size=1, max_size=5))
def test_the_automaton_finds_what_pcre_finds(source: bytes, texts: list[bytes]) -> None:
    parsed = parse(source)
    try:
        automaton = Automaton(parsed, anchored=is_anchored(parsed.node))
    except NotRenderedError:  # it looks around
        reject()
    theirs = pcre.Pcre(source)
    for text in texts:
        groups = theirs.search(text, parsed.groups)
        assert automaton.search(text) == (None if groups is None else list(groups))
