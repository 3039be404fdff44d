"""A chain that runs, and may stop at a question until somebody has found out the answer."""

from __future__ import annotations

from uwgate.routing.conversation import Steps
from uwgate.routing.results import Question, Reply, Verdict


class Course:
    """``verdict`` is there when the chain is over; until then there may be a ``question``."""

    __slots__ = ("_steps", "question", "verdict")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.question: Question | None = None
        self.verdict: Verdict | None = None

    def start(self) -> Verdict | None:
        """Run to the end or to the first question; once is enough."""
        if self.question is None and self.verdict is None:
            try:
                self.question = next(self._steps)
            except StopIteration as end:
                self.verdict = end.value
        return self.verdict

    def answer(self, reply: Reply) -> None:
        """Go on with the answer to the question."""
        try:
            self.question = self._steps.send(reply)
        except StopIteration as end:
            self.question = None
            self.verdict = end.value
