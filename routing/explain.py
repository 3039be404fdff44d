"""Says, rule by rule, what happens to a request, and why.

``told`` wraps rules so that whatever runs them (``Chain.start``, a ``Conversation``) leaves a
``Tale`` of each chain behind. The rules do what they always do; only the short cut of the
index is not taken, because it leaves out rules that could not match anyway.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from uwgate.routing.chain import Chain, Run
from uwgate.routing.outside import Outside
from uwgate.routing.results import Ask, Break, Jump, Question, Reply, Result, Verdict
from uwgate.routing.rule import ConditionTest, Rule, StatusTest, SubjectTest
from uwgate.routing.rules import Rules
from uwgate.routing.transaction import RuleError, Scope, Transaction
from uwgate.routing.wording import (
    plain,
    show,
    show_effect,
    show_question,
    show_reply,
    show_result,
    show_verdict,
)
from uwgate.routing.workshop import ChainName


class Fate(enum.Enum):
    """What became of a rule."""

    ACTED = "yes"
    NO_MATCH = "no"
    SKIPPED = "skipped"  # jumped over
    NOT_REACHED = "not reached"  # the chain was over before


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a rule and what was replied."""

    question: Question
    reply: Reply


@dataclass(frozen=True, slots=True)
class Change:
    """Something that a rule changed: ``what`` names the kind, ``text`` says it in words.

    ``name`` and ``value`` are there for what has both (variables and headers).
    """

    what: str
    text: str
    name: str = ""
    value: str = ""


@dataclass(slots=True)
class Step:
    """One rule of a chain. ``why``: what its test saw, empty if it looks at nothing.

    ``result``: how the chain went on; ``problem``: why the rule could not do its work.
    """

    rule: Rule
    fate: Fate
    why: str = ""
    groups: tuple[bytes, ...] = ()
    changes: list[Change] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    result: str = ""
    problem: str = ""

    def lines(self) -> list[str]:
        """The rule in words: what it is, and below that what it did."""
        head = f"{self.rule.place}: {self.rule.text}"
        if self.fate in (Fate.SKIPPED, Fate.NOT_REACHED):
            return [f"{head}  [{self.fate.value}]"]
        return [head, *(f"    {line}" for line in self.details())]

    def details(self) -> list[str]:
        """What it saw and did."""
        lines: list[str] = []
        if self.why:
            lines.append(f"{self.why}: {'no' if self.fate is Fate.NO_MATCH else 'yes'}")
        if len(self.groups) > 1:
            lines.append(", ".join(f"${n}={show(text)}" for n, text in enumerate(self.groups)))
        lines += [
            f"asks {show_question(one.question)}: {show_reply(one.reply)}" for one in self.asked
        ]
        lines += [change.text for change in self.changes]
        if self.problem:
            lines.append(f"problem: {self.problem}")
        if self.result:
            lines.append(self.result)
        return lines


@dataclass(slots=True)
class Tale:
    """One run of a chain. ``verdict`` None: it waits for the answer to its last question."""

    chain: ChainName
    steps: list[Step] = field(default_factory=list)
    verdict: Verdict | None = None

    def lines(self) -> list[str]:
        """All of it in words."""
        lines = [line for step in self.steps for line in step.lines()]
        if self.verdict is not None:
            lines.append(f"=> {show_verdict(self.verdict)}")
        return lines


def told(rules: Rules) -> tuple[Rules, list[Tale]]:
    """The same rules, whose runs are written down in the list, in the order of their start."""
    tales: list[Tale] = []
    made = [
        _ToldChain(chain, tales)
        for chain in (rules.request, rules.response, rules.error, rules.final)
    ]
    return replace(rules, request=made[0], response=made[1], error=made[2], final=made[3]), tales


def explain(
    chain: Chain,
    transaction: Transaction,
    outside: Outside,
    answer: Callable[[Question], Reply],
) -> Tale:
    """Run one chain; the transaction changes as in a real run.

    ``answer`` replies to the rules' questions.
    """
    tales: list[Tale] = []
    run = _ToldChain(chain, tales).start(transaction, outside)
    while run.verdict is None:
        assert run.question is not None
        run.resume(answer(run.question))
    return tales[0]


class _ToldChain(Chain):
    """A chain whose runs leave tales."""

    __slots__ = ("_tales",)

    def __init__(self, chain: Chain, tales: list[Tale]) -> None:
        self.name = chain.name
        self.steps = chain.steps
        self.rules = chain.rules
        self.index = chain.index
        self._tales = tales

    def start(self, transaction: Transaction, outside: Outside) -> Run:
        tale = Tale(self.name)
        self._tales.append(tale)
        run = _Telling(self, transaction, outside, tale)
        run.begin()
        return run


class _Telling(Run):
    """A run that looks at every rule and writes down what each does."""

    __slots__ = ("_tale",)

    def __init__(
        self, chain: Chain, transaction: Transaction, outside: Outside, tale: Tale
    ) -> None:
        super().__init__(chain, transaction, outside)
        self._tale = tale

    def candidates(self) -> list[int]:
        """All of them: the index only leaves out what would not match."""
        return list(self.chain.rules)

    def find(self) -> Rule | None:
        """Look at one rule after the other, and say what its test saw."""
        scope = self.scope
        while self._next < len(self._candidates):
            self._at = self._candidates[self._next]
            self._next += 1
            rule = self.chain.rules[self._at]
            scope.groups = ()
            step = Step(rule, Fate.NO_MATCH, reason_of(rule, scope))
            self._tale.steps.append(step)
            if rule.check(scope):
                step.fate = Fate.ACTED
                step.groups = scope.groups
                return rule
        return None

    def act(self, rule: Rule) -> Result:
        """Run the action, and write down what it did."""
        step = self._tale.steps[-1]
        return self._watched(step, lambda: rule.act(self.scope))

    def _watched(self, step: Step, do: Callable[[], Result]) -> Result:
        transaction = self.scope.transaction
        before = _Picture(transaction)
        try:
            result = do()
        finally:
            step.changes += before.changes(transaction)
        if isinstance(result, Ask):
            then, question = result.then, result.question

            def watch(reply: Reply) -> Result:
                step.asked.append(Asked(question, reply))
                return self._watched(step, lambda: then(reply))

            return Ask(question, watch)
        step.result = show_result(result)
        return result

    def _follow(self, result: Result) -> bool:
        first = self._next
        goes_on = super()._follow(result)
        if goes_on and isinstance(result, Jump):
            self._pass_over(self._candidates[first : self._next], Fate.SKIPPED)
        elif self.verdict is not None:
            self._pass_over(self._candidates[self._next :], Fate.NOT_REACHED)
        self._tale.verdict = self.verdict
        return goes_on

    def _pass_over(self, positions: list[int], fate: Fate) -> None:
        self._tale.steps += [Step(self.chain.rules[one], fate) for one in positions]

    def _failed(self, error: RuleError) -> Break:
        step = self._tale.steps[-1]
        step.problem = str(error)
        step.fate = Fate.ACTED
        return super()._failed(error)

    def begin(self) -> None:
        """See ``Run``; a chain that runs off its end has a verdict as well."""
        super().begin()
        self._tale.verdict = self.verdict

    def resume(self, reply: Reply) -> None:
        """See ``Run``."""
        super().resume(reply)
        self._tale.verdict = self.verdict


class _Picture:
    """What a transaction was like before an action."""

    def __init__(self, transaction: Transaction) -> None:
        self._variables = dict(transaction.variables)
        self._status = (transaction.status, transaction.reason)
        self._headers = list(transaction.headers)
        self._added = len(transaction.added)
        self._removed = set(transaction.removed)
        self._body = len(transaction.body)
        self._transformations = len(transaction.transformations)
        self._effects = len(transaction.effects)
        self._modifiers = (transaction.modifier1, transaction.modifier2)
        self._switches = (transaction.headers_off, transaction.logged, transaction.offload)

    def changes(self, now: Transaction) -> list[Change]:
        """What is otherwise now."""
        made = [*self._changed_variables(now), *self._changed_response(now)]
        if (now.modifier1, now.modifier2) != self._modifiers:
            text = f"modifiers are now {now.modifier1}, {now.modifier2}"
            made.append(Change("modifiers", text))
        switches = (now.headers_off, now.logged, now.offload)
        texts = ("no headers are sent", "the request is not logged", "nothing is offloaded")
        for text, was, is_now in zip(texts, self._switches, switches, strict=True):
            if was != is_now:
                made.append(Change("switch", text))
        new = now.effects[self._effects :]
        return [*made, *(Change("effect", show_effect(effect)) for effect in new)]

    def _changed_variables(self, now: Transaction) -> list[Change]:
        return [
            Change("variable", f"{plain(name)} is now {show(value)}", plain(name), plain(value))
            for name, value in now.variables.items()
            if self._variables.get(name) != value
        ]

    def _changed_response(self, now: Transaction) -> list[Change]:
        made: list[Change] = []
        if (now.status, now.reason) != self._status:
            text = f"the status is now {now.status} {plain(now.reason)}".rstrip()
            made.append(Change("status", text, "", str(now.status)))
        for name, value in self._headers:
            if (name, value) not in now.headers:
                made.append(Change("header", f"without the header {plain(name)}", plain(name)))
        new = [pair for pair in now.headers if pair not in self._headers]
        for name, value in [*new, *now.added[self._added :]]:
            text = f"adds the header {plain(name)}: {plain(value)}"
            made.append(Change("header", text, plain(name), plain(value)))
        made += [
            Change("header", f"drops the header {plain(name)}", plain(name))
            for name in sorted(now.removed - self._removed)
        ]
        if sent := bytes(now.body[self._body :]):
            made.append(Change("body", f"sends {show(sent)}", "", plain(sent)))
        through = now.transformations[self._transformations :]
        return made + [
            Change("transformation", f"the body goes through {one.name}", one.name)
            for one in through
        ]


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
