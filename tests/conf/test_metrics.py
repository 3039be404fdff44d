"""conf/metrics.py and conf/arithmetic.py: what metrics are, and how one calculates with them."""

from __future__ import annotations

import pytest

from uwgate.conf.arithmetic import MAXIMUM, MINIMUM, calculate
from uwgate.conf.errors import ConfigError
from uwgate.conf.metrics import Metric, read_metric, read_metrics


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("hits", Metric("hits")),
        ("a.b-c_9", Metric("a.b-c_9")),
        ("name=hits", Metric("hits")),
        (
            "name=t,type=gauge,initial_value=-5,oid=1.2.3",
            Metric("t", "gauge", -5, "1.2.3"),
        ),
        (f"name=t,type=absolute,initial_value={MINIMUM}", Metric("t", "absolute", MINIMUM)),
    ],
)
def test_a_metric_is_a_name_or_pairs(text: str, metric: Metric) -> None:
    assert read_metric(text) == metric


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected letters"),
        ("na me", "expected letters"),
        ("größe", "expected letters"),
        ("type=gauge", "expected letters"),
        ("name=x,type=foo", "type=foo: expected one of counter, gauge, absolute"),
        ("name=x,type=alias", "not offered yet"),
        ("name=x,alias=y", "not offered yet"),
        ("name=x,collector=file", "not offered yet"),
        ("name=x,arg1n=3", "not offered yet"),
        ("name=x,colour=red", "colour: expected one of name, type"),
        ("name=x,initial_value=abc", "expected a number"),
        (f"name=x,initial_value={MAXIMUM + 1}", "expected a number"),
        ("name=x,initial_value=٣", "expected a number"),
        ("name=x,oid=1.a", "expected digits"),
        ("name=x,name=y", "twice"),
    ],
)
def test_what_is_no_metric_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_metric(text)


def test_of_one_name_the_last_one_counts() -> None:
    found = read_metrics(["a", "b", "name=a,initial_value=2"])
    assert found == (Metric("a", initial=2), Metric("b"))


@pytest.mark.parametrize(
    ("operation", "value", "amount", "result"),
    [
        ("inc", 3, 4, 7),
        ("inc", MAXIMUM, 1, MINIMUM),
        ("dec", 3, 4, -1),
        ("dec", MINIMUM, 1, MAXIMUM),
        ("mul", MINIMUM, 2, 0),
        ("mul", -3, 4, -12),
        ("div", -21, 2, -10),
        ("div", 21, -2, -10),
        ("div", -7, -2, 3),
        ("div", MINIMUM, -1, MINIMUM),
        ("set", 3, -4, -4),
        ("set_max", 3, 4, 4),
        ("set_max", 4, 3, 4),
        ("set_min", 3, 4, 3),
    ],
)
def test_numbers_have_64_bits(operation: str, value: int, amount: int, result: int) -> None:
    assert calculate(operation, value, amount) == result


def test_nothing_is_divided_by_zero() -> None:
    with pytest.raises(ZeroDivisionError):
        calculate("div", 1, 0)
