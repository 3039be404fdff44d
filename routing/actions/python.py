"""Rules that are Python functions: ``route-python`` and its action ``python``."""

from __future__ import annotations

import re

from uwgate.routing.actions.flow import read_status
from uwgate.routing.effects import Log
from uwgate.routing.keyval import read_pairs
from uwgate.routing.results import Ask, CallFunction, Decision, Failed, Flow, Reply, Result
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.view import Request
from uwgate.routing.workshop import Act, ActionKind, ChainName, Mistake, Workshop, show

BUDGET = 0.1  # seconds, where a rule does not say
MAX_BUDGET = 60.0  # seconds

_FUNCTION = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_SECONDS = re.compile(rb"[0-9]{1,4}(?:\.[0-9]{1,6})?")


def _python(workshop: Workshop, text: bytes) -> Act:
    name, _, rest = text.partition(b",")
    if not _FUNCTION.fullmatch(name):
        raise Mistake(f"{show(text)}: expected module:function")
    pairs = read_pairs(rest, ("budget", "failure"))
    budget = _seconds(pairs.get("budget", b"%g" % BUDGET))
    failure = _failure(pairs.get("failure", b"500"))
    function = name.decode("ascii")
    workshop.functions.add(function)
    responding = workshop.chain is not ChainName.REQUEST

    def act(scope: Scope) -> Result:
        def then(reply: Reply) -> Result:
            if isinstance(reply, Decision):
                return _follow(scope, reply)
            reason = reply.reason if isinstance(reply, Failed) else "nobody calls functions here"
            problem = f"python:{function}: {reason}"
            if failure is not None:
                raise RuleError(problem, failure)
            line = problem.encode(errors="surrogateescape")
            scope.transaction.effects.append(Log(line, problem=True))
            return Flow.NEXT

        view = Request(scope.transaction, responding=responding)
        return Ask(CallFunction(function, view, budget), then)

    return act


def _follow(scope: Scope, decision: Decision) -> Result:
    if decision.answer is not None:
        return decision.answer
    for name, value in decision.variables:
        scope.transaction.set(name, value)
    scope.transaction.added += decision.headers
    return Flow.CONTINUE if decision.last else Flow.NEXT


def _seconds(text: bytes) -> float:
    budget = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not 0 < budget <= MAX_BUDGET:
        raise Mistake(f"budget={text.decode(errors='replace')}: expected seconds up to 60")
    return budget


def _failure(text: bytes) -> int | None:
    """The status for the client; None: the chain goes on."""
    if text == b"goon":
        return None
    status, reason = read_status(text)
    if reason or status < 400:
        raise Mistake(f"failure={text.decode(errors='replace')}: expected goon or 400 to 999")
    return status


ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(
        ("python",),
        "module:function[,budget=seconds][,failure=goon or a status]",
        "let a Python function decide",
        _python,
        ours=True,
    ),
)
