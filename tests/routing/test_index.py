"""The index leaves out no rule that matches."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from uwgate.routing.outside import Outside
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Scope, Transaction

WORDS = ["/", "/a", "a", "b", "ab", "/ab", ".", "A"]
TESTS = [
    "route = ^{} last:",
    "route = {}$ last:",
    "route = (?i){} last:",
    "route = ^(x|{})b? last:",
    "route = (q|{}) last:",
    "route-host = {} last:",
    "route-if = equal:${{PATH_INFO}};{} last:",
    "route-if = startswith:${{PATH_INFO}};{} last:",
    "route-if = endswith:${{HTTP_HOST}};{} last:",
    "route-if = contains:${{HTTP_HOST}};{} last:",
    "route-if = regexp:${{PATH_INFO}};{} last:",
    "route-if-not = equal:${{PATH_INFO}};{} last:",
    "route-if-not = startswith:${{PATH_INFO}};{} last:",
    "route-if-not = contains:${{HTTP_HOST}};{} last:",
    "route-if-not = regexp:${{PATH_INFO}};{} last:",
]
rules = st.lists(
    st.builds(lambda test, word: test.format(word), st.sampled_from(TESTS), st.sampled_from(WORDS)),
    max_size=12,
)
values = st.text("/abAxq.", max_size=6).map(str.encode)


@settings(max_examples=100, deadline=None)
@given(rules, values, values, st.booleans())
def test_every_rule_that_matches_is_a_candidate(
    lines: list[str], path: bytes, host: bytes, named: bool
) -> None:
    pairs = [line.split(" = ", 1) for line in lines]
    chain = compile_rules((key, value, "x") for key, value in pairs).request
    variables = {b"PATH_INFO": path, b"HTTP_HOST" if named else b"SERVER_NAME": host}
    scope = Scope(Transaction(variables), Outside())
    matching = [rule.position for rule in chain.rules.values() if rule.check(scope)]
    candidates = chain.index.candidates(variables)
    assert set(matching) <= set(candidates)
    assert candidates == sorted(set(candidates))
