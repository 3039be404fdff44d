"""What every way to find backends is; by itself, the one of a gateway without any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.target import Asked, Target

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts


class Mapper:
    """Finds backends, and is told what became of them.

    ``now`` is in seconds of ``time.monotonic``. Every target that ``choose`` returns is released
    once.
    """

    may_wait = False  # ``prepare`` has to be awaited before ``choose``

    async def prepare(self, attempts: Attempts, limit: float) -> None:
        """What may take time before the next ``choose``: at most ``limit`` seconds."""

    def choose(self, attempts: Attempts, now: float) -> Target | Outcome:
        """The next backend for a request, another one than those that it has tried."""
        return Outcome.NOBODY

    def has_other(self, attempts: Attempts, now: float) -> bool:
        """Whether ``choose`` would find one more."""
        return False

    def connected(self, target: Target, now: float) -> None:
        """A connection was made."""

    def failed(self, target: Target, now: float) -> None:
        """No connection could be made."""

    def answered(self, target: Target, now: float, seconds: float) -> None:
        """It answered well, ``seconds`` after it was connected."""

    def answered_badly(self, target: Target, now: float) -> None:
        """It broke off, took too long, or answered that it cannot."""

    def is_suspect(self, target: Target) -> bool:
        """Whether it has to show a whole good answer before it counts as well."""
        return False

    def release(self, target: Target, now: float, tx: int, rx: int) -> None:
        """The request has ended, whatever became of it; bytes from the backend, and to it."""

    def returns_at(self, asked: Asked, now: float) -> float | None:
        """When the first of those that are left alone now comes back; None: nobody is."""
        return None
