"""Rules that are Python functions, called in threads (``route-python``).

A function has as long as its rule says, waiting for a thread included. One that takes longer
runs to its end and is not listened to; until then it keeps its thread, so functions that
hang make all others late, and the gateway none.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable

import trio

from uwgate.conf.groups.application import ApplicationOptions
from uwgate.conf.settings import Settings
from uwgate.gateways.counters import Counters
from uwgate.routing.functions import Functions
from uwgate.routing.libraries import load
from uwgate.routing.results import CallFunction, Decision, Failed
from uwgate.routing.ruleset import read_rule_set

THREADS = 4  # Python runs one of them at a time anyway; the others may wait for something
WAITING = 256  # requests that wait for their turn


class FunctionCalls:
    """Calls the functions of a gateway process, and counts what went wrong."""

    def __init__(
        self,
        functions: Functions,
        counters: Counters,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._functions = functions
        self._counters = counters
        self._clock = clock
        self._limiter = trio.CapacityLimiter(THREADS)
        self._waiting = 0

    async def decide(self, question: CallFunction) -> Decision | Failed:
        """What the function says, within the budget of its rule."""
        if self._waiting >= WAITING:
            return self._failed(question, Failed(f"{WAITING} requests wait for functions"))
        began = self._clock()
        reply: Decision | Failed | None = None
        self._waiting += 1
        try:
            with trio.move_on_after(question.budget):
                reply = await trio.to_thread.run_sync(
                    self._functions.call, question, limiter=self._limiter, abandon_on_cancel=True
                )
        finally:
            self._waiting -= 1
        settled = self._functions.settle(question, reply, self._clock() - began)
        return self._failed(question, settled) if isinstance(settled, Failed) else settled

    def _failed(self, question: CallFunction, failed: Failed) -> Failed:
        self._counters.refuse("function", "%s: %s", question.function, failed.reason)
        return failed


def load_functions(settings: Settings) -> Functions:
    """The functions that rules of a configuration call. What experts need is imported, too.

    Raises:
        ConfigError: a rule cannot be used, or a function or package of it cannot be imported.
    """
    functions = Functions()
    rule_set = read_rule_set(settings)
    if rule_set is not None:
        load(rule_set.actions)
    if rule_set is not None and rule_set.rules.functions:
        find_modules(settings.application)
        functions.load(sorted(rule_set.rules.functions))
    return functions


def find_modules(options: ApplicationOptions) -> None:
    """Let modules be imported from where the application's are.

    Those folders come last: nothing there takes the place of a module of Python's or ours.
    """
    folder = os.path.abspath(options.chdir or ".")
    patterns = [os.path.join(folder, pattern) for pattern in options.pythonpath]
    found = [one for pattern in patterns for one in sorted(glob.glob(pattern)) or [pattern]]
    sys.path += [one for one in [folder, *found] if one not in sys.path]
