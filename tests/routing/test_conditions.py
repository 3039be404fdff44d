"""When conditions are true (spec/internal-routing.md section 5)."""

from __future__ import annotations

import pytest

from uwgate.routing.outside import FileTest, Outside
from uwgate.routing.results import Break, Continue
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Transaction


class World(Outside):
    """One file of each kind, named after the condition that is true of it."""

    def check_file(self, path: bytes, test: FileTest) -> bool:
        return path == b"/" + test.value.encode()

    def is_lord(self, legion: bytes) -> bool:
        return legion == b"ours"

    def in_cache(self, name: bytes, key: bytes) -> bool:
        return (name, key) == (b"c", b"k/p")


VARIABLES = {
    b"PATH_INFO": b"/p",
    b"A": b"abc",
    b"N": b"-12 apples",
    b"FOUR": b"10.1.2.3",
    b"SIX": b"2001:db8::1",
    b"MAPPED": b"::ffff:10.1.2.3",
    b"LONG": b"a" * 9000 + b"x",
}

CASES = [
    ("exists:/exists", True),
    ("exists:/isfile", False),
    ("isfile:/isfile", True),
    ("isdir:/isdir", True),
    ("islink:/islink", True),
    ("isexec:/isexec", True),
    ("isexec:${NOPE}", False),
    ("equal:${A};abc", True),
    ("isequal:abc;${A}", True),
    ("eq:${A};ab", False),
    ("==:a;b;a;b", False),
    ("startswith:${A};ab", True),
    ("startswith:${A};", True),
    ("startswith:ab;${A}", False),
    ("endswith:${A};bc", True),
    ("contains:${A};b", True),
    ("contains:${A};", False),
    ("contain:${A};${A}", True),
    ("regexp:${A};^.b", True),
    ("re:x${A};^b", False),
    ("empty:${NOPE}", True),
    ("empty:${NOPE}x", False),
    ("ishigher:2;10", False),
    (">:-1;-5", True),
    ("islower:${N};-11", True),
    ("<:x;1", True),
    ("ishigherequal:5x;5", True),
    (">=:4;5", False),
    ("islowerequal:;0", True),
    ("<=:1;0", False),
    ("ipv4in:${FOUR};10.0.0.0/8", True),
    ("ipv4in:${FOUR};10.1.2.99/24", True),
    ("ipv4in:${FOUR};10.1.2.3", True),
    ("ipv4in:${FOUR};10.1.2.4", False),
    ("ipv4in:${MAPPED};10.0.0.0/8", True),
    ("ipv4in:${SIX};0.0.0.0/0", False),
    ("ipv4in:${LONG};0.0.0.0/0", False),
    ("ipv4in:${FOUR};${A}", False),
    ("ipv6in:${SIX};2001:db8::/32", True),
    ("ipv6in:${SIX};${SIX}", True),
    ("ipv6in:${FOUR};::/0", False),
    ("lord:ours", True),
    ("lord:theirs", False),
    ("incache:key=k${PATH_INFO},name=c", True),
    ("incache:key=k", False),
]


def verdict(option: str, condition: str) -> object:
    """What becomes of a request that is broken off if the rule acts."""
    chain = compile_rules([(option, f"{condition} break:", "x")]).request
    return chain.start(Transaction(dict(VARIABLES)), World()).verdict


@pytest.mark.parametrize(("condition", "true"), CASES)
def test_a_condition_is_true_or_false(condition: str, true: bool) -> None:
    assert verdict("route-if", condition) == (Break() if true else Continue())
    assert verdict("route-if-not", condition) == (Continue() if true else Break())


def test_a_path_with_a_nul_is_no_file() -> None:
    chain = compile_rules([("route-if", "exists:${A} break:", "x")]).request
    assert chain.start(Transaction({b"A": b"/exists\0"}), World()).verdict == Continue()


def test_a_text_that_a_pattern_cannot_take_ends_the_request() -> None:
    broken = verdict("route-if", r"regexp:${LONG};(\w)\1x")
    assert isinstance(broken, Break)
    assert broken.status == 414
