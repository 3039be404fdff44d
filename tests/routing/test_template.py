"""Texts with groups and variables in them (spec/internal-routing.md section 4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.routing.outside import Outside
from uwgate.routing.template import read_template
from uwgate.routing.transaction import Scope, Transaction
from uwgate.routing.variables import resolver

VARIABLES = {b"A": b"1", b"COOKIE": b"x", b"HTTP_COOKIE": b"n=cookie", b"EVIL": b"${A}$1"}


def expand(text: bytes, *, groups: tuple[bytes, ...] = (), action: bool = True) -> bytes:
    scope = Scope(Transaction(dict(VARIABLES)), Outside(), groups)
    return read_template(text, resolver, groups=action).expand(scope)


CASES = [
    (b"plain", b"plain"),
    (b"[$1][$2][$9]", b"[one][two][]"),
    (b"$0", b"whole"),
    (b"$10", b"one0"),
    (b"$x$$1$$${A}$", b"$x$$1$$1"),
    (b"${A}-${NOPE}-", b"1--"),
    (b"${A", b"${A"),
    (b"$${A}", b"$${A}"),
    (b"a$", b"a"),
    (b"${a$}", b""),
    (b"${cookie[$2n]}", b""),
    (b"${cookie[$3]}", b"cookie"),
    (b"${$4}", b"1"),
    (b"${EVIL}", b"${A}$1"),
    (b"$5", b"${A}"),
]
GROUPS = (b"whole", b"one", b"two", b"n", b"A", b"${A}")


@pytest.mark.parametrize(("text", "expanded"), CASES)
def test_groups_and_variables_are_filled_in(text: bytes, expanded: bytes) -> None:
    assert expand(text, groups=GROUPS) == expanded


def test_a_condition_knows_no_groups_and_keeps_a_dollar_at_the_end() -> None:
    assert expand(b"$1${A}$", groups=GROUPS, action=False) == b"$11$"


def test_a_group_that_spells_a_function_calls_none() -> None:
    assert expand(b"${$1}", groups=(b"", b"cookie[n]")) == b""


@given(st.binary(max_size=40))
def test_what_a_request_brings_is_never_read_again(text: bytes) -> None:
    assert expand(b"<$1>", groups=(b"", text)) == b"<" + text + b">"


@given(st.text("$${}[]A1n", max_size=30).map(str.encode))
def test_no_text_of_a_body_fails(text: bytes) -> None:
    # A body that template: fills in is anybody's: unknown functions have to be left alone there.
    expand(text.replace(b"[", b"("), groups=GROUPS)


def test_many_openings_without_an_end_cost_no_search_each() -> None:
    text = b"${" * 200_000
    assert expand(text) == text
