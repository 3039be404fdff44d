"""Answers to what rules ask while they run (``routing.results.Question``).

Whatever takes time has a limit, of itself and of how many wait for it: nobody who sends many
requests makes the gateway do more than that.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Callable

import trio

from uwgate.caching.answers import CacheAnswers
from uwgate.conf.errors import NoNodeError
from uwgate.gateways.counters import Counters
from uwgate.gateways.routed import stores
from uwgate.gateways.routed.functions import FunctionCalls
from uwgate.routing import htpasswd
from uwgate.routing.results import (
    ApplyStylesheet,
    CacheAdd,
    CacheGet,
    CacheSum,
    CallFunction,
    CheckCredentials,
    CheckPassword,
    Expertise,
    FillPage,
    Question,
    Reply,
    StoreGet,
)

CHECKERS = 2  # passwords that are checked at a time: each keeps a processor busy
WAITING = 64  # requests that wait for their turn; more are refused
TIMEOUT = 10.0  # seconds for one password, waiting included
REMEMBERED = 1024  # passwords that were right
LIFETIME = 60.0  # seconds for which they are, if their file does not change
CACHE_THREADS = 8  # that write to caches, or ask those of others
EXPERT_THREADS = 64  # that wait for experts; these have fewer of their own
EXPERT_TIMEOUT = 12.0  # seconds for an expert's answer, waiting for a thread included
FINISHERS = 8  # threads in which transformations end that take long
_MISSING = (0, 0, 0)  # state of a file that is not there


class Passwords:
    """Looks into htpasswd files, in threads.

    A password that was right is right for a while without hashing it again; what is remembered
    is a keyed digest, and whose file has changed is forgotten.
    """

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        self._clock = clock
        self._limiter = trio.CapacityLimiter(CHECKERS)
        self._waiting = 0
        self._secret = os.urandom(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()

    async def check(self, question: CheckPassword) -> bool:
        """Whether it is the user's.

        Raises:
            NoNodeError: there are too many to check, or it takes too long.
        """
        state = _state(question.path)
        digest = self._digest(question, state)
        if self._right.get(digest, 0.0) > self._clock():
            return True
        if self._waiting >= WAITING:
            raise NoNodeError("too many passwords to check")
        self._waiting += 1
        try:
            with trio.fail_after(TIMEOUT):
                right = await trio.to_thread.run_sync(
                    _verify, question, limiter=self._limiter, abandon_on_cancel=True
                )
        except trio.TooSlowError:
            raise NoNodeError(f"no password was checked within {TIMEOUT:g} s") from None
        finally:
            self._waiting -= 1
        if right:
            self._right[digest] = self._clock() + LIFETIME
            if len(self._right) > REMEMBERED:
                self._right.popitem(last=False)
        return right

    def _digest(self, question: CheckPassword, state: tuple[int, int, int]) -> bytes:
        parts = (question.path, question.user, question.password, repr(state).encode())
        digest = hmac.new(self._secret, digestmod=hashlib.sha256)
        for part in parts:
            digest.update(b"%d:%b" % (len(part), part))
        return digest.digest()


class Questions:
    """Answers all questions but those for files. ``ask``: an expert's answer (experts/).

    ``finishers``: for transformations that ask experts.
    """

    def __init__(
        self,
        counters: Counters,
        functions: FunctionCalls,
        caches: CacheAnswers,
        ask: Callable[[Expertise], Reply],
    ) -> None:
        self._ask = ask
        self._threads = trio.CapacityLimiter(EXPERT_THREADS)
        self.finishers = trio.CapacityLimiter(FINISHERS)
        self._counters = counters
        self._functions = functions
        self._caches = caches
        self._cache_threads = trio.CapacityLimiter(CACHE_THREADS)
        self._passwords: Passwords | None = None

    def is_quick(self, question: Question) -> bool:
        """Whether ``answer_now`` has the reply."""
        return isinstance(question, CacheGet) and self._caches.is_quick(question)

    def answer_now(self, question: Question) -> Reply:
        """The reply to a question that is quick."""
        assert isinstance(question, CacheGet)
        return self._caches.answer(question)

    async def answer(self, question: Question) -> Reply:
        """The reply that the rule goes on with; what cannot be found out is None.

        Raises:
            NoNodeError: it cannot be answered now.
        """
        match question:
            case CheckPassword():
                if self._passwords is None:
                    self._passwords = Passwords()
                return await self._passwords.check(question)
            case CacheGet() if self._caches.is_quick(question):
                return self._caches.answer(question)
            case CacheGet() | CacheAdd() | CacheSum():
                # It ends by itself: other writers take a second at most, other instances no
                # longer than cache-timeout.
                return await trio.to_thread.run_sync(
                    self._caches.answer,
                    question,
                    abandon_on_cancel=True,
                    limiter=self._cache_threads,
                )
            case CheckCredentials() | ApplyStylesheet() | FillPage():
                return await self._ask_expert(question)
            case CallFunction():
                return await self._functions.decide(question)
            case StoreGet(store, address, key):
                try:
                    return await stores.get(store, address, key)
                except stores.StoreError as error:
                    self._counters.refuse("store", "%s: %s", store.value, error)
                    return None
            case _:
                what = type(question).__name__
                self._counters.refuse("unanswered", "%s: a gateway cannot find that out", what)
                return None

    async def _ask_expert(self, question: Expertise) -> Reply:
        if self._threads.statistics().tasks_waiting >= WAITING:
            raise NoNodeError("too many questions for experts")
        try:
            with trio.fail_after(EXPERT_TIMEOUT):
                return await trio.to_thread.run_sync(
                    self._ask, question, abandon_on_cancel=True, limiter=self._threads
                )
        except trio.TooSlowError:
            raise NoNodeError(f"no expert answered within {EXPERT_TIMEOUT:g} s") from None


def _verify(question: CheckPassword) -> bool:
    try:
        with open(question.path, "rb") as file:
            content = file.read(htpasswd.MAX_FILE + 1)
    except (OSError, ValueError):
        return False
    return htpasswd.verify(content, question.user, question.password)


def _state(path: bytes) -> tuple[int, int, int]:
    """What changes when a file does."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return _MISSING
    return found.st_mtime_ns, found.st_size, found.st_ino
