"""Actions that choose an item by a key, and those on metrics (spec section 6.9)."""

from __future__ import annotations

from collections.abc import Callable

from uwgate.routing.conditions import number
from uwgate.routing.effects import ChangeMetric
from uwgate.routing.hashes import djb33x, murmur2
from uwgate.routing.keyval import read_pairs
from uwgate.routing.results import Flow, Result, Sum
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop, show

_Algorithm = Callable[[Scope, bytes, int], int]

ALGORITHMS: dict[str, _Algorithm] = {
    "djb33x": lambda scope, key, count: djb33x(key),
    "murmur2": lambda scope, key, count: murmur2(key),
    "rand": lambda scope, key, count: scope.outside.choose(count),
    "random": lambda scope, key, count: scope.outside.choose(count),
    "rr": lambda scope, key, count: scope.outside.turn(max(number(key), 0)),
}


def _hash(workshop: Workshop, text: bytes) -> Act:
    pairs = read_pairs(text, ("key", "var", "items", "algo"), required=("key", "var", "items"))
    key, variable = workshop.template(pairs["key"]), pairs["var"]
    items = [item for item in pairs["items"].split(b";") if item]
    name = pairs.get("algo", b"djb33x").decode("latin-1")
    if not items:
        raise Mistake("there are no items")
    if name not in ALGORITHMS:
        raise Mistake(f"unknown algo {name!r}: expected one of {', '.join(ALGORITHMS)}")
    algorithm = ALGORITHMS[name]

    def act(scope: Scope) -> Result:
        value = algorithm(scope, key.expand(scope), len(items))
        scope.transaction.set(variable, items[value % len(items)])
        return Flow.NEXT

    return act


def _metric(sum: Sum) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        name_text, comma, amount_text = text.partition(b",")
        if not name_text:
            raise Mistake(f"{show(text)}: expected name[,number]")
        name = workshop.template(name_text)
        amount = workshop.template(amount_text if comma else b"1")

        def act(scope: Scope) -> Result:
            metric = name.expand(scope)
            if scope.outside.metric(metric) is None:
                raise RuleError(f"there is no metric {metric.decode('latin-1')!r}")
            effect = ChangeMetric(metric, sum, number(amount.expand(scope)))
            if sum is Sum.DIVIDE and not effect.amount:
                raise RuleError(f"{metric.decode('latin-1')!r} is divided by 0")
            scope.transaction.effects.append(effect)
            return Flow.NEXT

        return act

    return make


_METRIC = "name[,number]"

ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(
        ("hash",),
        "key=...,var=NAME,items=a;b;c[,algo=]",
        "set a variable to one of the items, the same one for the same key",
        _hash,
    ),
    ActionKind(("metricinc",), _METRIC, "add to a metric", _metric(Sum.ADD)),
    ActionKind(("metricdec",), _METRIC, "subtract from a metric", _metric(Sum.SUBTRACT)),
    ActionKind(("metricmul",), _METRIC, "multiply a metric", _metric(Sum.MULTIPLY)),
    ActionKind(("metricdiv",), _METRIC, "divide a metric", _metric(Sum.DIVIDE)),
    ActionKind(("metricset",), _METRIC, "set a metric", _metric(Sum.SET)),
)
