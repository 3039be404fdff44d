"""What rules want done (``routing.effects``), as far as a worker can."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from typing import TYPE_CHECKING

from uwgate.conf.procname import set_title
from uwgate.routing.effects import (
    CacheStore,
    ChangeDirectory,
    ChangeMetric,
    Effect,
    Log,
    LogVariable,
    RaiseAlarm,
    RaiseSignal,
    SetHarakiri,
    SetProcessTitle,
    StorePut,
    WriteFile,
)
from uwgate.workers.log import say
from uwgate.workers.rules.stores import StoreError, put

if TYPE_CHECKING:
    from uwgate.workers.rules.policy import Policy
    from uwgate.workers.slot import Slot

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
FILE_MODE = 0o644


def carry_out(effects: list[Effect], slot: Slot, policy: Policy) -> None:
    """Do them in order, and leave none. What fails is logged, and stops nobody."""
    for effect in effects:
        try:
            _do(effect, slot, policy)
        except (OSError, StoreError) as error:
            say(f"rules: {type(effect).__name__}: {error}")
    effects.clear()


def keep_copies(effects: list[Effect], slot: Slot, policy: Policy) -> None:
    """Do those that nobody has to be waited for: who asks again shall find the copy."""
    copies = [one for one in effects if _is_copy(one)]
    if copies:
        effects[:] = [one for one in effects if not _is_copy(one)]
        carry_out(copies, slot, policy)


def _is_copy(effect: Effect) -> bool:
    return isinstance(effect, WriteFile) or (
        isinstance(effect, CacheStore) and b"@" not in effect.name
    )


def _do(effect: Effect, slot: Slot, policy: Policy) -> None:
    match effect:
        case Log(text, problem):
            say(f"rules: {clean(text)}" if problem else clean(text))
        case LogVariable(name, value):
            slot.logvars[name.decode("latin-1")] = value
        case SetHarakiri(seconds):
            policy.harakiri.begin(slot.core, seconds)
        case ChangeDirectory(path):
            os.chdir(path)
        case SetProcessTitle(title):
            set_title(clean(title))
        case StorePut(store, address, key, value, expires):
            put(store, address, key, value, expires, policy.timeout)
        case WriteFile(path, data):
            _write(path, data)
        case CacheStore():
            if not policy.caches.store(effect):
                say(f"rules: {clean(effect.key)} could not be stored in the cache")
        case RaiseSignal(number):
            policy.worker.shared.signals.throw(number)
        case RaiseAlarm(name, text):
            alarms = policy.worker.api.alarms
            if alarms is None or not alarms.trigger(name.decode("utf-8", "surrogateescape"), text):
                policy.lack("rules: alarm: there is none of that name")
        case ChangeMetric():
            if not policy.world.change_metric(effect):
                say(f"rules: metric {clean(effect.name)}: not changed")


def clean(text: bytes) -> str:
    """A text for the log, in which nobody has line ends of their own."""
    shown = text.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", shown)


def _write(path: bytes, data: bytes) -> None:
    """Replace a file as a whole: nobody ever reads half of it."""
    folder, name = os.path.split(path)
    descriptor, draft = tempfile.mkstemp(prefix=b"." + name[:100], dir=folder or b".")
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), FILE_MODE)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
