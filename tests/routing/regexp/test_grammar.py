"""PCRE's syntax: what is understood, and what is refused by name."""

from __future__ import annotations

import pytest

from uwgate.routing.regexp.grammar import MAX_DEPTH, MAX_PATTERN, parse
from uwgate.routing.regexp.pattern import Pattern
from uwgate.routing.regexp.reading import PatternError

MATCHES = [
    (rb"(?i)^/ab", b"/AB", (b"/AB",)),
    (rb"(?i)[^a]", b"aA", None),
    (rb"a(?i)b|C", b"c", (b"c",)),
    (rb"(?i:a)b", b"Ab", (b"Ab",)),
    (rb"(?i:a)b", b"aB", None),
    (rb"(?x) a b # comment", b"ab", (b"ab",)),
    (rb"(?s)a.b", b"a\nb", (b"a\nb",)),
    (rb"a.b", b"a\nb", None),
    (rb"(?m)^b$", b"a\nb\nc", (b"b",)),
    (rb"(?U)a+", b"aaa", (b"a",)),
    (rb"(?U)a+?", b"aaa", (b"aaa",)),
    (rb"(?n)(a)(?<b>b)", b"ab", (b"ab", b"b")),
    (rb"\Qa.b\E+", b"a.bbb", (b"a.bbb",)),
    (rb"[]a]+", b"]a", (b"]a",)),
    (rb"[a\-z]+", b"-z", (b"-z",)),
    (rb"[\d-]+", b"1-2", (b"1-2",)),
    (rb"[[:^digit:]_]+", b"12ab_3", (b"ab_",)),
    (rb"\x41\x{42}\103\o{104}", b"ABCD", (b"ABCD",)),
    (rb"\cA\e\t", b"\x01\x1b\t", (b"\x01\x1b\t",)),
    (rb"a{,2}", b"a{,2}", (b"a{,2}",)),
    (rb"a{2,3}", b"aaaa", (b"aaa",)),
    (rb"(\w)\1", b"abb", (b"bb", b"b")),
    (rb"(?<x>a)\k<x>(?P=x)\g{x}\g{-1}", b"aaaaa", (b"aaaaa", b"a")),
    (rb"a(?#comment)b", b"ab", (b"ab",)),
    (rb"a$", b"a\n", (b"a",)),
    (rb"a\z", b"a\n", None),
    (rb"\R", b"\r\n", (b"\r\n",)),
    (rb"\h+\N", b" \tx", (b" \tx",)),
    (rb"(?:(a)|b)+", b"ab", (b"ab", b"a")),
    (rb"\B", b"", (b"",)),
    (rb"", b"x", (b"",)),
    (rb"^(?>a+)b", b"aab", (b"aab",)),
    (rb"^(?>a+)ab", b"aab", None),
    (rb"^a++b$", b"aab", (b"aab",)),
    (rb"a{2,}?", b"aaa", (b"aa",)),
    (rb"(?<!a)b(?!c)", b"abcbd", (b"b",)),
    (rb"[^\x00-\xff]", b"a", None),
    (rb"[\s\S]\z", b"a\n", (b"\n",)),
    (rb"[a-\d]+", b"a-1", (b"a-1",)),
    (rb"[\b]", b"\x08", (b"\x08",)),
    (rb"(?:x){1}", b"x", (b"x",)),
    (rb"^?a", b"a", (b"a",)),
    (rb"(?=a)+a", b"a", (b"a",)),
    (rb"\Qa\E\E?b", b"b", (b"b",)),
]


@pytest.mark.parametrize(("source", "subject", "groups"), MATCHES, ids=lambda value: repr(value))
def test_a_pattern_matches_as_in_pcre(
    source: bytes, subject: bytes, groups: tuple[bytes, ...] | None
) -> None:
    assert Pattern(source).search(subject) == groups


REFUSED = [
    (rb"(?R)", "recursion"),
    (rb"(a)(?1)", "recursion"),
    (rb"(*SKIP)a", "a verb"),
    (rb"(?(1)a|b)", "a conditional group"),
    (rb"(?|(a)|(b))", "a branch reset"),
    (rb"a\Kb", r"\K"),
    (rb"\p{L}", "a Unicode property"),
    (rb"(?C1)a", "a callout"),
    (rb"(", "a ( without its )"),
    (rb")", "a ) without its ("),
    (rb"[a", "a [ without its ]"),
    (rb"*a", "a quantifier without anything to repeat"),
    (rb"a{3,2}", "wrong order"),
    (rb"a{70000}", "more repeats than 65535"),
    (rb"[z-a]", "a range in the wrong order"),
    (rb"[[:nope:]]", "no class named nope"),
    (rb"\1(a)", "which has not ended here"),
    (rb"(a\1)", "which has not ended here"),
    (rb"(?i)(a)\1", "under (?i)"),
    (rb"\k<n>", "there is no group named n"),
    (rb"(?<n>a)(?<n>b)", "a second group named n"),
    (rb"\y", r"\y is not understood"),
    (rb"\x{100}", "more than one byte"),
    (rb"a\\"[:-1], "the pattern ends too early"),
    (rb"(?<=a+)b", "look-behind requires fixed-width pattern"),
    (rb"(?#", "a comment"),
    (rb"(?<9>a)", "a group that is not understood"),
    (rb"[[.a.]]", "collating elements"),
    (rb"[\N]", r"\N in a class"),
    (b"\\c\xe9", r"\c wants a printable letter"),
    (rb"(?J)a", "(?J)"),
    (rb"[\Q]", r"\Q in a class"),
]


@pytest.mark.parametrize(("source", "reason"), REFUSED, ids=lambda value: repr(value))
def test_what_is_not_understood_is_refused_by_name(source: bytes, reason: str) -> None:
    with pytest.raises(PatternError, match="of the pattern") as caught:
        Pattern(source)
    assert reason in str(caught.value)


def test_a_mistake_says_where_it_stands() -> None:
    with pytest.raises(PatternError) as caught:
        parse(b"abc[d")
    assert caught.value.position == 3


def test_a_pattern_has_a_longest_length() -> None:
    with pytest.raises(PatternError, match=f"limit {MAX_PATTERN}"):
        parse(b"a" * (MAX_PATTERN + 1))


def test_groups_are_nested_to_a_depth_only() -> None:
    parse(b"(" * MAX_DEPTH + b")" * MAX_DEPTH)
    with pytest.raises(PatternError, match="nested deeper"):
        parse(b"(" * 5000 + b")" * 5000)
