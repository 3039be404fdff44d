"""References and arithmetic."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.errors import ConfigError
from uwgate.conf.placeholders import evaluate, expand, names_in, references

NAMES = {
    "lower": "n",
    "a": "A",
    "n": "4",
    "path": "/srv/%(a)",
    "start": "%(a)",
    "empty": "",
    "t": "4 apples",
}


def value_of(text: str) -> str:
    return expand(text, "%", lambda inner: evaluate(inner, NAMES.get))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("", ""),
        ("plain", "plain"),
        ("%(a)", "A"),
        ("x%(a)y%(n)z", "xAy4z"),
        ("%(path)/x", "/srv/A/x"),
        ("%(start)", "A"),
        ("%(empty)|", "|"),
        ("%(unknown)", "%(unknown)"),
        ("%()", "%()"),
        ("%(a", "%(a"),
        ("%(a) %(b", "A %(b"),
        ("%(a %(a)", "%(a A"),
        ("$(a) @(a)", "$(a) @(a)"),
        ("100% (a)", "100% (a)"),
        ("(%(a))", "(A)"),
        ("%(%(lower))", "4"),
        ("%(x%(n))", "%(x%(n))"),
        ("%((%(n) + 1) * 2)", "10"),
    ],
)
def test_names_are_replaced_and_unknown_ones_stay(text: str, expanded: str) -> None:
    assert value_of(text) == expanded


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("n + 1", "5"),
        ("n * 2 + 1", "9"),
        ("1 + n * 2", "10"),
        ("n - 9", "-5"),
        ("n / 0", "0"),
        ("9 / 2", "4"),
        ("0 - 9 / 2", "-4"),
        ("n ++", "5"),
        ("n --", "3"),
        ("n 1", "41"),
        ("n foo", "4"),
        ("foo + 1", "1"),
        ("t + 1", "5"),
        ("a + 1", "1"),
        ("2 * 1024 * 1024 * 1024", "2147483648"),
        ("9223372036854775807 + 1", "-9223372036854775808"),
        ("(n * 2) + 1", "9"),
        ("1 + (n * 2)", "9"),
        ("2 * (n + 1) * (3 - 1)", "20"),
        ("( n + 1 ) * 2", "10"),
    ],
)
def test_arithmetic_runs_from_left_to_right(expression: str, result: str) -> None:
    assert value_of(f"%({expression})") == result


def test_an_operator_without_blanks_is_part_of_a_name() -> None:
    assert value_of("%(n+1)") == "%(n+1)"


@pytest.mark.parametrize("names", [{"a": "%(a)"}, {"a": "x%(b)", "b": "-%(a)"}, {"a": "%(a)%(a)"}])
def test_a_circle_is_an_error(names: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="circle"):
        expand("%(a)", "%", names.get)


def test_a_doubling_chain_ends_before_the_memory_does() -> None:
    names = {f"n{number}": f"%(n{number + 1})" * 2 for number in range(12)} | {"n12": "x" * 1000}
    with pytest.raises(ConfigError, match="characters, limit"):
        expand("%(n0)", "%", names.get)


@pytest.mark.parametrize(
    "text", ["%(" * 2000 + "a" + ")" * 2000, "%(1 + " + "(" * 2000 + ")" * 2001, "%(a)" * 20000]
)
def test_absurd_nesting_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        value_of(text)


def test_a_doubling_chain_of_nothing_ends_soon() -> None:
    names = {f"n{number}": f"%(n{number + 1})" * 2 for number in range(30)} | {"n30": ""}
    with pytest.raises(ConfigError, match="more than 10000 references"):
        expand("%(n0)", "%", names.get)


def test_references_are_found_at_every_level() -> None:
    assert references("%(a)/%(b + (c)) $(d) %(e%(f))") == ["a", "b + (c)", "f", "e%(f)"]


@pytest.mark.parametrize(
    ("inner", "names"),
    [("base", ["base"]), ("n * 2", ["n", "*"]), ("(n * 2) + m", ["n", "*", "+", "m"])],
)
def test_names_in_expressions_are_found(inner: str, names: list[str]) -> None:
    assert names_in(inner) == names


texts = st.text(alphabet="%()ab n+*1$@", max_size=40)


@given(texts)
def test_any_text_is_expanded_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        value_of(text)


@given(texts)
def test_without_known_names_only_expressions_change(text: str) -> None:
    unchanged = expand(text, "%", lambda inner: None)
    assert unchanged == text


@given(st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31))
def test_sums_are_exact(left: int, right: int) -> None:
    assert value_of(f"%({left} + {right})") == str(left + right)
