"""What the options of subscription servers make of a table (gateways/corerouter/tables.py)."""

from __future__ import annotations

from typing import Any

import pytest

from uwgate.gateways.corerouter.tables import replica_options, table_options
from uwgate.subscriptions.health import Circuit, EjectionPolicy
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.table import TableOptions

from .routers import announce, begin, name, pool, start, table_of


def served(key: str, path: str = "/", **options: Any) -> str | None:
    """Whom a request for a name gets; the nodes are called as what they serve."""
    made = pool(**options)
    for one in ("b", ".split.example", "host.example", "host.example/shop"):
        announce(made, f"{one.strip('.').replace('/', '-')}:1", key=one)
    return name(begin(made, key, path=path).next(0.0))


@pytest.mark.parametrize(
    ("option", "value", "key", "path", "found"),
    [
        ("subscription_fallback_key", "b", "unknown", "/", "b:1"),
        ("subscription_fallback_key", None, "unknown", "/", None),
        ("subscription_dotsplit", True, "x.split.example", "/", "split.example:1"),
        ("subscription_dotsplit", False, "x.split.example", "/", None),
        ("subscription_strip_port", True, "host.example:80", "/", "host.example:1"),
        ("subscription_strip_port", False, "host.example:80", "/", None),
        ("subscription_mountpoints", 1, "host.example", "/shop/x", "host.example-shop:1"),
        ("subscription_mountpoints", 0, "host.example", "/shop/x", "host.example:1"),
    ],
)
def test_an_option_says_under_which_names_nodes_are_found(
    option: str, value: object, key: str, path: str, found: str | None
) -> None:
    assert served(key, path, **{option: value}) == found


@pytest.mark.parametrize(
    ("option", "second"), [("subscription_max_keys", "other"), ("subscription_max_nodes", "a")]
)
def test_what_is_beyond_a_bound_is_refused(option: str, second: str) -> None:
    options: dict[str, Any] = {option: 1}
    made = pool("one:1", **options)
    with pytest.raises(Refused) as refused:
        announce(made, "two:1", key=second)
    assert refused.value.reason is Refusal.FULL
    announce(made, "one:1")  # who is there stays
    assert name(begin(made).next(0.0)) == "one:1"


def test_the_algorithm_of_a_key_goes_before_that_of_the_kind_and_that_of_all() -> None:
    made = pool("x:1", key="a", subscription_algo="lrc", algo="p2c", algo_of=("b=chash",))
    announce(made, "x:1", key="b")
    assert [slot.algo for slot in table_of(made).slots.values()] == ["p2c", "chash"]
    made = pool("x:1", key="a", subscription_algo="lrc")
    assert table_of(made).slots["a"].algo == "lrc"


def test_only_the_registry_lets_nodes_expire() -> None:
    settings = start(subscription_tolerance=5.0, subscription_tolerance_inactive=7.0).settings
    registry, replica = table_options(settings, "http"), replica_options(settings, "http")
    assert (registry.tolerance, registry.tolerance_inactive) == (5.0, 7.0)
    assert (replica.tolerance, replica.tolerance_inactive) == (0.0, 0.0)


def test_the_defaults_of_the_options_are_those_of_the_table() -> None:
    assert table_options(start().settings, "http") == TableOptions()


def test_what_an_operator_may_say_of_bad_nodes_is_followed() -> None:
    settings = start(
        eject_failures=2, eject_time=3.0, eject_time_limit=4.0, eject_most=25,
        node_connections=6, node_pending=7, slow_start=8.0,
    ).settings  # fmt: skip
    found = table_options(settings, "http")
    assert found.ejection == EjectionPolicy(failures=2, base=3.0, longest=4.0, most=0.25)
    assert found.circuit == Circuit(connections=6, pending=7)
    assert found.slow_start == 8.0
