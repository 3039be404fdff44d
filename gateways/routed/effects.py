"""Does what rules want done besides answering (``routing.effects``)."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Sequence

import trio

from uwgate.caching.answers import CacheAnswers
from uwgate.conf.procname import set_title
from uwgate.gateways.counters import Counters
from uwgate.gateways.routed import stores
from uwgate.gateways.routed.errands import Errands
from uwgate.gateways.routed.outside import GatewayOutside
from uwgate.routing.effects import (
    CacheStore,
    ChangeMetric,
    Effect,
    Log,
    RaiseAlarm,
    RaiseSignal,
    SetProcessTitle,
    StorePut,
    WriteFile,
)

log = logging.getLogger("uwgate.route")

THREADS = 8  # that write to caches
AT_ONCE = 32  # copies for files and stores that are on their way; more are dropped


class Effects:
    """One for each gateway process. Copies are made in tasks of ``nursery``."""

    def __init__(
        self,
        counters: Counters,
        nursery: trio.Nursery,
        caches: CacheAnswers,
        outside: GatewayOutside,
        errands: Errands | None = None,
    ) -> None:
        self._errands = errands  # None: there are no workers
        self._counters = counters
        self._outside = outside
        self._caches = caches
        self._nursery = nursery
        self._running = 0
        self._threads = trio.CapacityLimiter(THREADS)

    def perform(self, effects: Sequence[Effect]) -> None:
        """Do all of them, in order; nothing is waited for."""
        for effect in effects:
            match effect:
                case Log(text, problem):
                    self._log(text, problem=problem)
                case SetProcessTitle(title):
                    set_title(title.decode(errors="replace"))
                case ChangeMetric():
                    if not self._outside.change_metric(effect):
                        name = _printable(effect.name)
                        self._counters.refuse("metric-kept", "metric %s: not changed", name)
                case RaiseSignal() | RaiseAlarm() if self._errands is not None:
                    self._errands.send(effect, trio.current_time())
                case StorePut() | WriteFile() | CacheStore():
                    self._copy(effect)
                case _:
                    # Told at the start, too (policy.py).
                    self._counters.count(f"no-{type(effect).__name__}")

    async def store(self, effect: CacheStore) -> None:
        """Put a value into a cache, in a thread: other writers may take their time."""
        store = self._caches.store
        if not await trio.to_thread.run_sync(
            store, effect, abandon_on_cancel=True, limiter=self._threads
        ):
            self._counters.refuse("not-cached", "%r: not stored", effect.key[:200])

    def _log(self, text: bytes, *, problem: bool) -> None:
        line = _printable(text)
        if problem:
            self._counters.refuse("rule-failed", "%s", line, level=logging.WARNING)
        else:
            log.info("%s", line)

    def _copy(self, effect: StorePut | WriteFile | CacheStore) -> None:
        if self._running >= AT_ONCE:
            self._counters.refuse("copy-dropped", "%s: too many at once", type(effect).__name__)
            return
        self._running += 1
        self._nursery.start_soon(self._make_copy, effect)

    async def _make_copy(self, effect: StorePut | WriteFile | CacheStore) -> None:
        """Never raises: a copy that cannot be made is none."""
        try:
            if isinstance(effect, CacheStore):
                await self.store(effect)
            elif isinstance(effect, WriteFile):
                await trio.to_thread.run_sync(_write, effect, abandon_on_cancel=True)
            else:
                one = effect
                await stores.put(one.store, one.address, one.key, one.value, one.expires)
        except (OSError, ValueError, stores.StoreError) as error:
            self._counters.refuse("copy-failed", "not kept: %s", error, level=logging.WARNING)
        finally:
            self._running -= 1


def _write(effect: WriteFile) -> None:
    """Write beside the file and rename: who reads it never sees half of it."""
    path = effect.path
    folder = os.path.dirname(path) or b"."
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(effect.data)
            os.fchmod(file.fileno(), 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _printable(text: bytes) -> str:
    """One line for the log, whatever a client has put into it."""
    decoded = text.decode(errors="replace")
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in decoded)
