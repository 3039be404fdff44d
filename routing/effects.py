"""What rules want done besides their verdict: in order, without waiting for it."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.routing.results import Store, Sum


@dataclass(frozen=True, slots=True)
class Log:
    """Write a line of the server's log. ``problem``: a rule could not do what it was to do."""

    text: bytes
    problem: bool = False


@dataclass(frozen=True, slots=True)
class LogVariable:
    """A value for ``%(name)`` in ``log-format``."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class SetHarakiri:
    """End the request after so many seconds from now."""

    seconds: int


@dataclass(frozen=True, slots=True)
class RaiseSignal:
    """Raise a uwsgi signal, 0 to 255."""

    number: int


@dataclass(frozen=True, slots=True)
class RaiseAlarm:
    """Trigger an alarm; an unknown name is nothing."""

    name: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class ChangeDirectory:
    """Change the working directory of the worker, for this and later requests."""

    path: bytes


@dataclass(frozen=True, slots=True)
class SetProcessTitle:
    """The title of the process that serves the request."""

    title: bytes


@dataclass(frozen=True, slots=True)
class ChangeMetric:
    """Calculate with a metric that exists."""

    name: bytes
    sum: Sum
    amount: int


@dataclass(frozen=True, slots=True)
class CacheStore:
    """Put a value into a cache, over what is there. ``expires`` in seconds, 0: never."""

    name: bytes
    key: bytes
    value: bytes
    expires: int


@dataclass(frozen=True, slots=True)
class StorePut:
    """Put a value into a store. ``expires`` in seconds, 0: never."""

    store: Store
    address: bytes
    key: bytes
    value: bytes
    expires: int


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a whole file, mode 0644, replacing what is there."""

    path: bytes
    data: bytes


Effect = (
    Log
    | LogVariable
    | SetHarakiri
    | RaiseSignal
    | RaiseAlarm
    | ChangeDirectory
    | SetProcessTitle
    | ChangeMetric
    | CacheStore
    | StorePut
    | WriteFile
)
