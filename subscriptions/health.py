"""When a node is left alone, when a request may be repeated, and how much one node may get.

Pure state: the time is an argument, in seconds of any clock that does not jump.
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT = 1e-6  # ten times 0.2 is a little less than 2 when it is added up


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionPolicy:
    """When a node goes out, and for how long.

    ``failures`` bad answers in a row put it out for ``base`` seconds, the next time for twice
    as long, up to ``longest``. It begins anew when it was back for as long as it was out.
    Of ``n`` nodes of one key at most ``n * most`` may be out for bad answers; a node that
    nobody can connect to is out in any case. 0 ``failures`` switches ejection off.
    """

    failures: int = 5
    base: float = 5.0
    longest: float = 300.0
    most: float = 0.5

    def period(self, ejections: int) -> float:
        """How long the n-th ejection in a row lasts, from 1."""
        return min(self.longest, self.base * 2.0 ** min(ejections - 1, 40))

    def may_eject(self, out: int, count: int) -> bool:
        """Whether one more of ``count`` nodes may go when ``out`` are out already."""
        return out + 1 <= count * self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPolicy:
    """How many looks at a node in a row put it out, and how many take it back."""

    fall: int = 2
    rise: int = 1


@dataclass(slots=True)
class Health:
    """What one node has shown of late.

    ``out_until`` is None unless requests have put it out. ``trial``: it came back and has not
    yet answered well, so one more failure puts it out again. ``looks`` counts what somebody who
    looked after it saw: good looks in a row, failed ones as a negative number. ``fails_checks``:
    those have put it out, whatever it announces, until it rises.
    """

    row: int = 0
    ejections: int = 0
    out_until: float | None = None
    back_at: float = 0.0
    trial: bool = False
    looks: int = 0
    fails_checks: bool = False

    @property
    def is_out(self) -> bool:
        return self.fails_checks or self.out_until is not None

    def good(self, policy: EjectionPolicy, now: float) -> None:
        """It answered as it should."""
        self.row = 0
        self.trial = False
        if self.ejections and now - self.back_at >= policy.period(self.ejections):
            self.ejections = 0

    def bad(self, policy: EjectionPolicy) -> bool:
        """It answered badly. Returns whether it should go out now."""
        self.row += 1
        if self.is_out or not policy.failures:
            return False
        return self.trial or self.row >= policy.failures

    def eject(self, policy: EjectionPolicy, now: float) -> float:
        """Put it out; returns until when. Twice in one period counts once."""
        if self.out_until is None:
            self.ejections += 1
            self.out_until = now + policy.period(self.ejections)
        return self.out_until

    def looked(self, policy: CheckPolicy, *, good: bool) -> bool:
        """Somebody looked after it. Returns whether that has put it out or taken it back."""
        self.looks = max(self.looks, 0) + 1 if good else min(self.looks, 0) - 1
        enough = policy.rise if self.fails_checks else policy.fall
        if good is not self.fails_checks or abs(self.looks) < enough:
            return False
        self.fails_checks = not good
        return True

    def announced(self, now: float) -> bool:
        """It said that it is there. Returns whether it comes back at once.

        It is believed once: what was put out again since its last good time waits for the
        end of its period, or every announcement of a node behind a closed firewall would cost
        a request an attempt.
        """
        if self.out_until is None or self.ejections > 1:
            return False
        self._back(now)
        return not self.fails_checks

    def tick(self, now: float) -> bool:
        """Returns whether it comes back because its period is over."""
        if self.out_until is None or now < self.out_until:
            return False
        self._back(now)
        return not self.fails_checks

    def _back(self, now: float) -> None:
        self.row = 0
        self.out_until = None
        self.back_at = now
        self.trial = True


class RetryBudget:
    """How many requests may be sent to a second node.

    Every request pays in ``ratio``, a retry takes 1; besides, ``least`` retries a second
    are always possible. Savings last for ``window`` seconds' worth of ``least`` and at most
    ``most`` retries, so that a quiet hour does not pay for a storm.
    """

    def __init__(
        self, *, ratio: float = 0.2, least: float = 3.0, window: float = 10.0, most: float = 100.0
    ) -> None:
        self.ratio = ratio
        self.least = least
        self.savings = least * window  # of the time before the first request
        self.limit = max(most, self.savings)
        self.spent = 0
        self.refused = 0
        self._at: float | None = None

    def request(self) -> None:
        """A request came in."""
        savings = self.savings + self.ratio
        self.savings = savings if savings < self.limit else self.limit

    def retry(self, now: float) -> bool:
        """Whether one more attempt may be made; if so, it is paid for."""
        if self._at is not None and now > self._at:
            self.savings = min(self.limit, self.savings + (now - self._at) * self.least)
        self._at = now if self._at is None else max(now, self._at)
        if self.savings < 1.0 - EXACT:
            self.refused += 1
            return False
        self.savings = max(0.0, self.savings - 1.0)
        self.spent += 1
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """How much may be under way at one node, and how much may wait for a slot; 0: no limit.

    ``connections`` is per node, ``pending`` per key and counts requests for which every
    node was full.
    """

    connections: int = 0
    pending: int = 0

    def has_room(self, reference: int) -> bool:
        """Whether a node with that many requests may get one more."""
        return not self.connections or reference < self.connections

    def may_wait(self, waiting: int) -> bool:
        """Whether one more request may wait when ``waiting`` do already."""
        return not self.pending or waiting < self.pending
