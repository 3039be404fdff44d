"""One request on its way to a backend: whom to try, in which order, and how often.

Backends first, at most 1 + max-retries of them and as long as the retry budget lasts, then
the fallbacks in their order. Only who could not be connected is followed by somebody else:
what has been handed over is never repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from uwgate.conf.groups.corerouter import CorerouterOptions
from uwgate.gateways.corerouter.mapper import Mapper
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.target import Asked, Target
from uwgate.subscriptions.health import RetryBudget


class Router(Protocol):
    """Whose attempts they are: a ``Corerouter``, or something simpler.

    ``nothing`` is the mapper of fallbacks; ``needs_task``: ``prepare`` has to be awaited.
    """

    BUSY_PATIENCE: float
    options: CorerouterOptions
    clock: Callable[[], float]
    budget: RetryBudget
    mapper: Mapper
    nothing: Mapper
    fallbacks: list[Target]
    needs_task: bool

    def attempts(self, asked: Asked) -> Attempts:
        """Begin with a request."""
        ...

    def retry_after(self, asked: Asked, now: float) -> int:
        """Seconds until the next backend comes back, at least 1."""
        ...

    def log_failure(self, asked: Asked, target: Target, reason: str) -> None:
        """Count, and perhaps say, that a backend could not be connected."""
        ...


class Attempts:
    """Ask ``next`` for a backend, say what became of it, and in any case ``end``.

    ``outcome`` says why ``next`` returned None. ``target`` is the backend that is tried or in
    use, ``tried`` are all that ``next`` has returned, ``granted`` is what ``prepare`` has found.
    ``now`` is in seconds of the router's clock.
    """

    __slots__ = (
        "_answered",
        "_bad",
        "_ended",
        "_fallback",
        "_good_at",
        "_good_seconds",
        "_mapper",
        "_only_fallbacks",
        "_router",
        "_started",
        "asked",
        "granted",
        "outcome",
        "target",
        "tried",
    )

    def __init__(self, router: Router, asked: Asked) -> None:
        self.asked = asked
        self.outcome: Outcome | None = None
        self.target: Target | None = None
        self.tried: tuple[Target, ...] = ()
        self.granted: Target | None = None
        self._router = router
        self._mapper: Mapper = router.mapper
        self._fallback = 0  # how many of them were tried
        self._only_fallbacks = False  # nobody else may be tried any more
        self._started = 0.0
        self._answered = False
        self._bad = False
        self._good_at = 0.0  # when a good answer began that is to be counted in the end
        self._good_seconds = -1.0  # and how long it had taken; -1: there is none
        self._ended = False

    def skip_to_fallbacks(self) -> None:
        """Nobody but the fallbacks may have the request; before ``next``."""
        self._only_fallbacks = True

    async def prepare(self) -> None:
        """Wait for what ``next`` needs; before each ``next`` where ``needs_task`` says so.

        At most connect-timeout seconds. Cancelling it loses nothing, but ``end`` has to come.
        """
        router = self._router
        if self.granted is None and self._may_retry() and router.mapper.may_wait:
            await router.mapper.prepare(self, router.options.connect_timeout)

    def next(self, now: float) -> Target | None:
        """The next backend to connect to; None: nobody is left, and ``outcome`` says why.

        Raises:
            ValueError: the last one has not ``failed``.
        """
        if self.target is not None:
            raise ValueError(f"{self.target.name} has not failed")
        target = self._from_mapper(now) if self._may_retry() else None
        if target is None:
            if self.outcome is None:
                self.outcome = Outcome.EXHAUSTED
            fallbacks = self._router.fallbacks
            if self._fallback < len(fallbacks):
                target = fallbacks[self._fallback]
                self._fallback += 1
                self._only_fallbacks = True
                self._mapper = self._router.nothing
        if target is not None:
            self.tried += (target,)
        self.target = target
        self._started = now
        return target

    def _may_retry(self) -> bool:
        if self._only_fallbacks:
            return False
        return not self.tried or len(self.tried) <= self._router.options.max_retries

    def _from_mapper(self, now: float) -> Target | None:
        router = self._router
        if self.granted is not None:
            found: Target | Outcome = self.granted
            self.granted = None
        else:
            found = router.mapper.choose(self, now)
        if not isinstance(found, Target):
            self.outcome = found
            return None
        if self.tried and not router.budget.retry(now):
            router.mapper.release(found, now, 0, 0)
            self.outcome = Outcome.EXHAUSTED
            return None
        self.outcome = None
        return found

    def patience(self, now: float) -> float:
        """Seconds for which a full accept queue (EAGAIN of a UNIX socket) is worth waiting.

        All of connect-timeout if nobody else would be tried.
        """
        router = self._router
        others = self._fallback < len(router.fallbacks) or (
            self._may_retry() and router.mapper.has_other(self, now)
        )
        limit = router.options.connect_timeout
        return min(router.BUSY_PATIENCE, limit) if others else limit

    def failed(self, now: float, reason: str, *, busy: bool = False) -> None:
        """The target could not be connected; nothing of the request was handed over.

        ``busy``: it is there, but its accept queue is full, so it is not to be left alone.
        """
        target = self._current()
        self.target = None
        self._router.log_failure(self.asked, target, reason)
        if not busy:
            self._mapper.failed(target, now)
        self._mapper.release(target, now, 0, 0)

    def connected(self, now: float) -> None:
        """The target has taken the connection."""
        self._mapper.connected(self._current(), now)
        self._started = now

    def answered(self, now: float, *, good: bool) -> None:
        """The target began to answer well; or it broke off, timed out, or answered that it
        cannot (502, 503, 504), which may also come after a good beginning."""
        target = self._current()
        if not good:
            if not self._bad:
                self._bad = True
                self._mapper.answered_badly(target, now)
        elif not self._answered:
            seconds = now - self._started
            # Who has answered badly before may do so again before its answer is complete.
            if self._mapper.is_suspect(target):
                self._good_at = now
                self._good_seconds = seconds
            else:
                self._mapper.answered(target, now, seconds)
        self._answered = True

    def end(self, now: float, *, tx: int = 0, rx: int = 0) -> None:
        """The request has ended, whatever became of it; again is the same as once.

        ``tx`` and ``rx`` are bytes; as in uWSGI those from the backend, and those to it.
        """
        if self._ended:
            return
        self._ended = True
        if self.granted is not None:
            self._router.mapper.release(self.granted, now, 0, 0)
            self.granted = None
        target = self.target
        if target is None:
            return
        self.target = None
        if self._good_seconds >= 0.0 and not self._bad:
            self._mapper.answered(target, self._good_at, self._good_seconds)
        self._mapper.release(target, now, tx, rx)

    @property
    def refusal(self) -> str:
        """What is to be logged when ``next`` has returned None."""
        why = "nothing was tried" if self.outcome is None else self.outcome.value
        return f"{self.asked.name}: {why}"

    def retry_after(self, now: float) -> int:
        """Seconds until it makes sense to ask again, at least 1."""
        return self._router.retry_after(self.asked, now)

    def _current(self) -> Target:
        if self.target is None:
            raise ValueError("no backend is being tried")
        return self.target
