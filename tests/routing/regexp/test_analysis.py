"""What a search may cost, and what every match contains."""

from __future__ import annotations

from math import inf

import pytest

from uwgate.routing.regexp.analysis import cost_of, is_anchored, literals_of, prefixes_of
from uwgate.routing.regexp.grammar import parse

DEGREES = [
    (rb"^/old/(\d+)$", 1),
    (rb"^https?://([^/]+)/(.*)$", 1),
    (rb"^([a-z]+/)*$", 1),
    (rb"\.php$", 1),
    (rb"[a-z]+x", 2),
    (rb"^/(.*)/(.*)$", 2),
    (rb"^/(.*)/(.*)/(.*)$", 3),
    (rb"^(\d{1,3}\.){3}\d{1,3}$", 1),
    (rb"^(a+)+$", inf),
    (rb"^(a|a)*$", inf),
    (rb"^(a|ab|b)*c", inf),
    (rb"^(a*)*$", inf),
    (rb"^(aa?)*$", inf),
    (rb"^(\w+\s?)*$", inf),
    (rb"^" + b"a?" * 40 + b"a" * 40, inf),
    (rb"^(a*){10}$", inf),
    (rb"^(?=(a+)+b)", inf),
    (rb"^(x+x+)+y", inf),
    (rb"^a++b", 1),
    (rb"^(a)\1", 1),
]


@pytest.mark.parametrize(("source", "degree"), DEGREES)
def test_the_degree_of_a_pattern_is_never_too_low(source: bytes, degree: float) -> None:
    assert cost_of(parse(source)).degree == degree


@pytest.mark.parametrize(
    ("source", "anchored"),
    [
        (b"^a", True),
        (b"(^a|^b)", True),
        (b"(^a|b)", False),
        (rb"\b^a", True),
        (b"a^", False),
        (b"(?m)^a", False),
        (b"(?:^)a", True),
        (b"(^)?a", False),
    ],
)
def test_a_pattern_is_anchored_if_all_its_ways_are(source: bytes, anchored: bool) -> None:
    assert is_anchored(parse(source).node) is anchored


@pytest.mark.parametrize(
    ("source", "prefixes"),
    [
        (b"^/admin/.*", {b"/admin/"}),
        (b"^/(admin|login)", {b"/admin", b"/login"}),
        (b"^/(a|b)c", {b"/ac", b"/bc"}),
        (b"^/(a|b+)c", {b"/a", b"/b"}),
        (b"(?i)^/a", {b"/A", b"/a"}),
        (rb"^/\d", {b"/"}),
        (b"^a?b", {b""}),
        (b"^(/x)+y", {b"/x"}),
        (b"^/ab{2}", {b"/ab"}),
    ],
)
def test_one_of_the_prefixes_begins_every_match(source: bytes, prefixes: set[bytes]) -> None:
    assert set(prefixes_of(parse(source).node)) == prefixes


@pytest.mark.parametrize(
    ("source", "literals"),
    [
        (rb"\.php$", {b".php"}),
        (rb"(googlebot|bingbot)", {b"googlebot", b"bingbot"}),
        (rb"a.*longer", {b"longer"}),
        (rb"(a|b)", {b"a", b"b"}),
        (rb"(a|.)", set()),
        (rb"(abc)+d", {b"abc"}),
        (rb"(?!abc)", set()),
        (rb"[ab]c", {b"c"}),
    ],
)
def test_one_of_the_literals_is_in_every_match(source: bytes, literals: set[bytes]) -> None:
    assert set(literals_of(parse(source).node)) == literals


def test_small_letters_stand_for_both_cases() -> None:
    assert literals_of(parse(b"(?i)Bot9").node, folded=True) == (b"bot9",)
