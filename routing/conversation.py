"""One request and its response through all four chains, in the order that uWSGI keeps.

``request``, ``respond`` and ``finish`` are generators: they yield questions, are sent the
replies, and return a verdict. The order is that of spec/internal-routing.md section 1:

- the request's rules run once;
- the error chain runs for every status, before the head is known, but never for a status
  that it set itself;
- the response's rules run once, before the head goes out;
- the final rules run when the response is over.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

from uwgate.routing.chain import Chain, Run
from uwgate.routing.headers import HeaderRules
from uwgate.routing.outside import Outside
from uwgate.routing.results import Answer, Break, Continue, Question, Reply, Verdict
from uwgate.routing.rules import Rules
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import Header, Transaction
from uwgate.routing.transformations.stream import has_header, replace_header

Steps = Generator[Question, Reply, Verdict]

CONTINUE = Continue()


class Conversation:
    """The rules at work on one transaction."""

    def __init__(
        self,
        rules: Rules,
        transaction: Transaction,
        outside: Outside,
        headers: HeaderRules | None = None,
    ) -> None:
        self.rules = rules
        self.transaction = transaction
        self.outside = outside
        self.headers = headers or HeaderRules()
        self._responded = False
        self._begun: Run | None = None  # the request's rules
        self._settled: Answer | None = None  # what they have answered at once

    def begin(self) -> Verdict | None:
        """What is to become of the request, if that can be said without a question.

        None: ``request`` finds it out, and goes on from there.
        """
        chain = self.rules.request
        if not chain:
            return CONTINUE
        run = self._begun = chain.start(self.transaction, self.outside)
        verdict = run.verdict
        if isinstance(verdict, Answer) and not self.rules.error and not self.rules.response:
            self._settled = self._whole(self._adopt(verdict))
            return self._settled
        return None if isinstance(verdict, Answer | Break) else verdict

    def request(self) -> Steps:
        """What is to become of the request.

        An Answer has its own headers only; ``head`` has those of every response besides.
        """
        if self._settled is not None:
            return self._settled
        verdict = yield from self._run(self.rules.request, self._begun)
        if isinstance(verdict, Break) and verdict.reason is None:
            verdict = self._made() or verdict
        if isinstance(verdict, Answer):
            return (yield from self._respond(verdict, ours=True))
        return verdict

    def respond(self, status: int, reason: bytes, headers: list[Header]) -> Steps:
        """What is to become of the head of the application's or backend's response.

        Continue: ``transaction`` has the head as it is now, and the body follows. Answer: that
        is the response, and the body is thrown away. Break: there is no response at all.
        """
        answer = Answer(status, reason, tuple(headers))
        return (yield from self._respond(answer, ours=False))

    def finish(self) -> Steps:
        """Run the final rules; ``transaction.body`` is what they send behind the response."""
        self.transaction.body.clear()
        return (yield from self._run(self.rules.final))

    def head(self) -> list[Header]:
        """The headers of the response in their order on the wire (spec section 8)."""
        return [*self.transaction.headers, *self.more()]

    def more(self) -> tuple[Header, ...]:
        """Those among them that stand behind the response's own."""
        return (*self.headers.added, *self.transaction.added)

    def _run(self, chain: Chain, run: Run | None = None) -> Steps:
        """Run a chain; Continue at once if it has no rules. ``run``: it has begun."""
        if not chain:
            return CONTINUE
        if run is None:
            run = chain.start(self.transaction, self.outside)
        while run.verdict is None:
            assert run.question is not None
            run.resume((yield run.question))
        return run.verdict

    def _made(self) -> Answer | None:
        """The response that rules put together by clearheaders and send; None without one."""
        transaction = self.transaction
        if not transaction.body and not transaction.reason:
            return None
        status = transaction.status if transaction.reason else 200
        answer = Answer(status, transaction.reason or reason_of(200), tuple(transaction.headers))
        transaction.headers = []
        return answer

    def _respond(self, answer: Answer, *, ours: bool) -> Steps:
        """Settle a head; ``ours``: the answer is a rule's, with its body, and not a backend's."""
        settled = yield from self._settle(answer)
        if isinstance(settled, Break):
            return settled
        if not self._responded:
            self._responded = True
            verdict = yield from self._run(self.rules.response)
            match verdict:
                case Continue():
                    pass
                case Answer():
                    settled = yield from self._settle(verdict)
                    if isinstance(settled, Break):
                        return settled
                case Break(reason=None):
                    return self._without_body()
                case _:
                    return verdict
        if ours or settled is not answer:
            return self._whole(settled)
        return CONTINUE

    def _settle(self, answer: Answer) -> Generator[Question, Reply, Answer | Break]:
        """Take over a head, or the one that the error chain puts in its place."""
        transaction = self.transaction
        before = (transaction.status, transaction.reason)
        transaction.set_status(answer.status, answer.reason)
        verdict = yield from self._run(self.rules.error)
        match verdict:
            case Continue():
                pass
            case Answer():
                answer = verdict
            case _:
                transaction.set_status(*before)
                transaction.headers.clear()
                if isinstance(verdict, Break):
                    return verdict
                return Break("the error chain cannot hand a response over", 500)
        return self._adopt(answer)

    def _adopt(self, answer: Answer) -> Answer:
        """Take over a head that is settled."""
        transaction, headers = self.transaction, self.headers
        if headers.removed:
            transaction.removed |= headers.removed
        transaction.begin_response(answer.status, answer.reason, answer.headers)
        if headers.lent:
            headers.lend(transaction)
        return answer

    def _whole(self, answer: Answer) -> Answer:
        """An answer with the head as it is now, behind what rules sent."""
        transaction = self.transaction
        body = answer.body
        if transaction.body:
            body = bytes(transaction.body) + body
            transaction.body.clear()
            if has_header(transaction.headers, b"Content-Length"):
                replace_header(transaction.headers, b"Content-Length", b"%d" % len(body))
        status, reason, headers = transaction.status, transaction.reason, transaction.headers
        given = tuple(headers)
        if (status, reason, given, body) == (
            answer.status,
            answer.reason,
            answer.headers,
            answer.body,
        ):
            return answer
        return Answer(status, reason, given, body, close=answer.close)

    def _without_body(self) -> Answer:
        """The head as it is, and of the body only what rules sent (spec section 1)."""
        transaction = self.transaction
        replace_header(transaction.headers, b"Content-Length", None)
        return replace(self._whole(Answer(transaction.status, transaction.reason)), close=True)


def settle(steps: Steps, answer: Callable[[Question], Reply]) -> Verdict:
    """Run a generator to its end where questions can be answered at once."""
    try:
        question = next(steps)
        while True:
            question = steps.send(answer(question))
    except StopIteration as end:
        verdict: Verdict = end.value
        return verdict
