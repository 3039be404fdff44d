"""The promise that a node of a sealed legion gives: to one candidate at a time."""

from __future__ import annotations

from uwgate.subscriptions.legion.statement import Grant, Statement


class Voter:
    """To whom this node is promised, and until when.

    It promises nothing before ``quiet_until``: promises of its earlier life, which it does not
    know of any more, have ended by then. ``granted`` is the highest term it ever promised
    itself in; another candidate must have a higher one.
    """

    def __init__(self, tolerance: float, *, quiet_until: float, granted: int) -> None:
        self.quiet_until = quiet_until
        self.granted = granted
        self.promise: Grant | None = None
        self.until = 0.0  # when the promise ends
        self._tolerance = tolerance

    def consider(self, asks: Statement, now: float) -> None:
        """Give a promise to a candidate that we want, or renew it, if we are free to."""
        if now < self.quiet_until:
            return
        if self.promise is None:
            if asks.claim <= self.granted:
                return
        elif (self.promise.candidate, self.promise.term) != (asks.sender, asks.claim):
            return
        self.give(Grant(asks.sender, asks.claim, asks.sequence), now)

    def give(self, grant: Grant, now: float) -> None:
        """Be promised, from now."""
        self.granted = grant.term
        self.promise = grant
        self.until = now + self._tolerance

    def hear(self, said: Statement) -> None:
        """A candidate that has stopped for good frees those that are promised to it."""
        if self.promise is not None and (said.dead or said.freed >= self.promise.term):
            self.free(said.sender)

    def free(self, candidate: bytes) -> None:
        """End the promise, if this candidate has it."""
        if self.promise is not None and self.promise.candidate == candidate:
            self.promise = None

    def expire(self, now: float) -> None:
        """End the promise, if its time is over."""
        if self.promise is not None and now >= self.until:
            self.promise = None

    def is_promised_to(self, candidate: bytes) -> bool:
        """Whether it is this candidate's."""
        return self.promise is not None and self.promise.candidate == candidate
