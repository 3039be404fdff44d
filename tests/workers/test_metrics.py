"""Metrics in workers: the functions for applications, rules, and the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.workers.test_access_log import entry
from tests.workers.visits import Ruled
from uwgate.conf.access_log import AccessLog
from uwgate.conf.groups.log import LogOptions
from uwgate.conf.metric_file import Ledger, Metrics
from uwgate.conf.metrics import read_metrics
from uwgate.workers.metric_calls import MetricCalls


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    found = read_metrics(["a", "name=b,initial_value=100"])
    ledger = Ledger()
    yield Metrics(found, ledger.provide(found))
    ledger.close()


# Calls of a real uWSGI 2.0.31, what they returned, and the metric's value afterwards.
CALLS: list[tuple[str, tuple[Any, ...], object, int]] = [
    ("get", ("a",), 0, 0),
    ("inc", ("a",), True, 1),
    ("inc", ("a", 5), True, 5),
    ("inc", ("a", -2), True, -2),
    ("dec", ("a",), True, -1),
    ("dec", ("a", 10), True, -10),
    ("mul", ("a",), True, 0),
    ("set", ("a",), True, 1),
    ("set", ("a", -7), True, -7),
    ("div", ("a", 2), True, 0),
    ("div", ("a", 0), None, 0),
    ("set_max", ("a", 50), True, 50),
    ("set_max", ("a", -5), True, 0),
    ("set_min", ("a", 60), True, 0),
    ("set_min", ("a", -40), True, 0),
    ("inc", ("nope",), None, 0),
    ("get", ("nope",), 0, 0),
    ("set_min", ("nope", 0), None, 0),
]


@pytest.mark.parametrize(("name", "arguments", "result", "value"), CALLS)
def test_calls_return_what_uwsgi_returns(
    metrics: Metrics, name: str, arguments: tuple[Any, ...], result: object, value: int
) -> None:
    calls = MetricCalls()
    calls.metrics = metrics
    assert getattr(calls, f"metric_{name}")(*arguments) is result
    assert calls.metric_get("a") == value


@pytest.mark.parametrize(
    ("value", "result"), [(90, 100), (100, 100), (110, 150), (160, 160), (170, 170)]
)
def test_a_minimum_is_above_the_first_value(metrics: Metrics, value: int, result: int) -> None:
    calls = MetricCalls()
    calls.metrics = metrics
    metrics.change("b", "set", 100 if value <= 100 else 200)
    calls.metric_set_min("b", value)
    assert calls.metric_get("b") == (100 if value <= 100 else value)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a", "1"), TypeError),
        (("a", 1.5), TypeError),
        ((b"a",), TypeError),
        ((1,), TypeError),
        (("a", 1 << 63), OverflowError),
    ],
)
def test_what_is_no_name_or_number_is_an_error(
    metrics: Metrics, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    calls = MetricCalls()
    calls.metrics = metrics
    with pytest.raises(error):
        calls.metric_inc(*arguments)


def test_without_metrics_every_change_fails() -> None:
    assert MetricCalls().metric_inc("a") is None
    assert MetricCalls().metric_get("a") == 0


def test_rules_calculate_and_see_their_own_changes(metrics: Metrics) -> None:
    rules = (
        "route = ^/in(\\d) metricinc:a,$1",
        "route = ^/in addvar:TAG=${metric[a]}",
        "route = ^/in metricmul:a,2",
        "route-run = addvar:TAG2=${metric[a]}",
        "final-route-if = equal:${uwsgi[status]};200 metricdec:b",
    )
    ruled = Ruled(rules, metrics=metrics)
    assert b"\nTAG=3\nTAG2=6\n" in ruled.get("/in3").body
    assert b"\nTAG2=6\n" in ruled.get("/").body
    assert (metrics.get("a"), metrics.get("b")) == (6, 98)


def test_a_change_that_cannot_be_made_is_logged(
    metrics: Metrics, capfd: pytest.CaptureFixture[str]
) -> None:
    ruled = Ruled(["route = ^/a metricinc:a"], metrics=metrics)
    ruled.policy.world.change_metric = lambda change: False  # type: ignore[method-assign]
    assert ruled.get("/a").status == b"200 OK"
    assert "metric a: not changed" in capfd.readouterr().err


def test_log_lines_have_metrics(metrics: Metrics, capfd: pytest.CaptureFixture[str]) -> None:
    metrics.change("a", "inc", 3)
    options = LogOptions(log_format="%(metric.a) %(metric.b) %(metric.no)")
    AccessLog(options, 42, 3, metrics).log(entry())
    assert capfd.readouterr().err == "3 100 0\n"
