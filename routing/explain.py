"""Says, rule by rule, what would happen to a request, and why."""

from __future__ import annotations

from collections.abc import Callable

from uwgate.routing.chain import Chain, Run
from uwgate.routing.effects import Log
from uwgate.routing.outside import Outside
from uwgate.routing.results import (
    Answer,
    Ask,
    Break,
    Continue,
    Flow,
    Forward,
    Jump,
    Question,
    RawAnswer,
    Reply,
    Result,
    ServeFile,
    ServeStatic,
    Verdict,
)
from uwgate.routing.rule import ConditionTest, Rule, StatusTest, SubjectTest
from uwgate.routing.transaction import Scope, Transaction

MAX_SHOWN = 80  # bytes of a text


def explain(
    chain: Chain,
    transaction: Transaction,
    outside: Outside,
    answer: Callable[[Question], Reply],
) -> list[str]:
    """Run a chain and tell what each rule does; the transaction changes as in a real run.

    ``answer`` replies to the rules' questions. A rule that is not mentioned was jumped over.
    """
    run = _Telling(chain, transaction, outside)
    run.begin()
    while run.verdict is None:
        assert run.question is not None
        reply = answer(run.question)
        run.lines.append(f"    asked {show_value(run.question)}: {_show_reply(reply)}")
        run.resume(reply)
    run.lines += [f"    log: {one.text.decode('latin-1')}" for one in run.problems()]
    run.lines.append(f"=> {show_verdict(run.verdict)}")
    return run.lines


class _Telling(Run):
    """A run that looks at every rule and keeps a line about each."""

    __slots__ = ("_logged", "lines")

    def __init__(self, chain: Chain, transaction: Transaction, outside: Outside) -> None:
        super().__init__(chain, transaction, outside)
        self.lines: list[str] = []
        self._logged = len(transaction.effects)

    def candidates(self) -> list[int]:
        """All of them: the index only leaves out what would not match."""
        return list(self.chain.rules)

    def problems(self) -> list[Log]:
        """What went wrong so far."""
        new = self.scope.transaction.effects[self._logged :]
        return [effect for effect in new if isinstance(effect, Log) and effect.problem]

    def find(self) -> Rule | None:
        """Look at one rule after the other, and say what its test saw."""
        scope = self.scope
        while self._next < len(self._candidates):
            self._at = self._candidates[self._next]
            self._next += 1
            rule = self.chain.rules[self._at]
            scope.groups = ()
            self.lines.append(f"{rule.place}: {rule.text}")
            matched = rule.check(scope)
            if why := reason_of(rule, scope):
                self.lines.append(f"    {why}: {'yes' if matched else 'no'}")
            if matched:
                return rule
        return None

    def act(self, rule: Rule) -> Result:
        """Run the action, and say what it did."""
        scope = self.scope
        if len(scope.groups) > 1:
            groups = (f"${n}={show(text)}" for n, text in enumerate(scope.groups))
            self.lines.append(f"    {', '.join(groups)}")
        before = dict(scope.transaction.variables)
        result = rule.act(scope)
        for name, value in scope.transaction.variables.items():
            if before.get(name) != value:
                self.lines.append(f"    {name.decode('latin-1')} is now {show(value)}")
        self.lines.append(f"    {_show_result(result)}")
        return result


def reason_of(rule: Rule, scope: Scope) -> str:
    """What a rule's test looks at, with the request's values; empty if at nothing."""
    match rule.test:
        case SubjectTest(subject, pattern):
            text = subject.read(scope.transaction.variables)
            return f"{subject.names[0].decode()} is {show(text)}, wanted {show(pattern.source)}"
        case StatusTest(status):
            return f"the status is {scope.transaction.status}, wanted {status}"
        case ConditionTest(name, condition, negated):
            values = " and ".join(show(one.expand(scope)) for one in condition.operands)
            return f"{'not ' if negated else ''}{name} of {values}"
        case _:
            return ""


def show(text: bytes) -> str:
    """A text in quotes, cut if it is long."""
    cut = text[:MAX_SHOWN].decode("latin-1")
    return repr(cut) + ("..." if len(text) > MAX_SHOWN else "")


def show_verdict(verdict: Verdict) -> str:
    """A verdict in words."""
    match verdict:
        case Continue():
            return "the request goes on to the application"
        case Break(reason=None):
            return "the request ends without answer"
        case Break(reason, status):
            return f"the request ends, {status}: {reason}"
        case Answer(status, reason, headers, body):
            lines = [f"answer {status} {reason.decode('latin-1')}, {len(body)} bytes"]
            lines += [f"{name.decode()}: {value.decode('latin-1')}" for name, value in headers]
            return "; ".join(lines)
        case Forward(protocol, address):
            return f"handed to {protocol.value} {address.decode('latin-1')}"
        case ServeStatic(path) | ServeFile(path):
            return f"file {show(path)}"
        case RawAnswer(data):
            return f"a raw answer of {len(data)} bytes"


def show_value(question: Question) -> str:
    """A question by its name and what stands in it; secrets are left out of its repr."""
    text = repr(question)
    return text if len(text) <= 4 * MAX_SHOWN else text[: 4 * MAX_SHOWN] + "..."


def _show_reply(reply: Reply) -> str:
    if reply is None or isinstance(reply, bool):
        return {None: "nothing", True: "yes", False: "no"}[reply]
    return show(reply if isinstance(reply, bytes) else reply.value)


def _show_result(result: Result) -> str:
    match result:
        case Flow():
            return f"then {result.value}"
        case Jump(position, text):
            return f"go to {text.decode('latin-1')!r}, rule {position}"
        case Ask(question):
            return f"ask {show_value(question)}"
        case _:
            return show_verdict(result)
