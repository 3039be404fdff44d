"""Runs the rules of a chain over a request, one after the other.

A jump goes forward only, so a chain never takes more steps than it has rules.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from uwgate.routing.effects import Log
from uwgate.routing.index import Index
from uwgate.routing.outside import Outside
from uwgate.routing.results import (
    Answer,
    Ask,
    Break,
    Continue,
    Flow,
    Jump,
    Question,
    Reply,
    Result,
    Verdict,
)
from uwgate.routing.rule import Label, Rule
from uwgate.routing.transaction import RuleError, Scope, Transaction
from uwgate.routing.workshop import ChainName

CONTINUE = Continue()
BREAK = Break()


class Chain:
    """Rules and labels in order. A chain without rules is false."""

    __slots__ = ("index", "name", "rules", "steps")

    def __init__(self, name: ChainName, steps: Sequence[Rule | Label]) -> None:
        self.name = name
        self.steps = tuple(steps)
        self.rules = {step.position: step for step in self.steps if isinstance(step, Rule)}
        self.index = Index((rule.position, rule.test.filter) for rule in self.rules.values())

    def __bool__(self) -> bool:
        return bool(self.rules)

    def start(self, transaction: Transaction, outside: Outside) -> Run:
        """Run the rules up to the end or to the first question."""
        run = Run(self, transaction, outside)
        run.begin()
        return run


class Run:
    """A chain at work on one request.

    Either ``verdict`` is there and the run is over, or ``question`` has to be answered with
    ``resume``. A question whose answer is never given is simply forgotten.
    """

    __slots__ = ("_asked", "_at", "_candidates", "_next", "chain", "question", "scope", "verdict")

    def __init__(self, chain: Chain, transaction: Transaction, outside: Outside) -> None:
        self.chain = chain
        self.scope = Scope(transaction, outside)
        self.verdict: Verdict | None = None
        self.question: Question | None = None
        self._asked: Ask | None = None
        self._at = -1  # position of the rule that ran last
        self._candidates: list[int] = []
        self._next = 0  # index into the candidates

    def begin(self) -> None:
        """Take the first steps."""
        transaction = self.scope.transaction
        transaction.touched.clear()
        self._candidates = self.candidates()
        self._go(Flow.NEXT)

    def resume(self, reply: Reply) -> None:
        """Go on with the answer to ``question``.

        Raises:
            ValueError: there is no question.
        """
        asked = self._asked
        if asked is None:
            raise ValueError("nothing was asked")
        self._asked = self.question = None
        try:
            result = asked.then(reply)
        except RuleError as error:
            result = self._failed(error)
        self._go(result)

    def candidates(self) -> list[int]:
        """The positions of rules that are worth a look, in order."""
        return self.chain.index.candidates(self.scope.transaction.variables)

    def find(self) -> Rule | None:
        """The next rule whose test is true; None at the end of the chain.

        Raises:
            RuleError: a test cannot be made.
        """
        scope = self.scope
        rules = self.chain.rules
        candidates = self._candidates
        for place in range(self._next, len(candidates)):
            rule = rules[candidates[place]]
            scope.groups = ()
            try:
                if not rule.check(scope):
                    continue
            except RuleError:
                self._at = rule.position
                raise
            self._at = rule.position
            self._next = place + 1
            return rule
        return None

    def act(self, rule: Rule) -> Result:
        """Run the action of a rule that matches."""
        return rule.act(self.scope)

    def _go(self, result: Result) -> None:
        """Follow a result, and then rule after rule, to a verdict or a question."""
        transaction = self.scope.transaction
        names = self.chain.index.names
        while True:
            if result is not Flow.NEXT and not self._follow(result):
                return
            if transaction.touched:
                if not names.isdisjoint(transaction.touched):
                    self._candidates = self.candidates()
                    self._next = bisect_left(self._candidates, self._at + 1)
                transaction.touched.clear()
            try:
                rule = self.find()
                if rule is None:
                    self.verdict = CONTINUE
                    return
                result = self.act(rule)
            except RuleError as error:
                result = self._failed(error)

    def _follow(self, result: Result) -> bool:
        """Do what a result says; whether the chain goes on."""
        match result:
            case Answer():  # first, as the most frequent
                self.scope.transaction.routed += 1
                self.verdict = result
            case Flow.CONTINUE:
                self.verdict = CONTINUE
            case Flow.BREAK:
                self.scope.transaction.routed += 1
                self.verdict = BREAK
            case Jump(position, text):
                if position > self._at:
                    self._at = position - 1  # what the candidates are looked up from
                    self._next = bisect_left(self._candidates, position)
                    return True
                self.verdict = self._failed(
                    RuleError(f"goto {text.decode('latin-1')!r}: can only jump forward")
                )
            case Ask(question):
                self._asked = result
                self.question = question
            case Break() | Continue():
                self.verdict = result
            case Flow():
                return True
            case _:
                self.scope.transaction.routed += 1
                self.verdict = result
        return False

    def _failed(self, error: RuleError) -> Break:
        rule = self.chain.rules[self._at]
        text = f"{rule.place}: {rule.text}: {error}"
        problem = Log(text.encode(errors="surrogateescape"), problem=True)
        self.scope.transaction.effects.append(problem)
        return Break(str(error), error.status)
