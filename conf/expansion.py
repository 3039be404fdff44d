"""Which text each reference yields: environment, files, and first pairs of a name."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from uwgate.conf.errors import ConfigError
from uwgate.conf.placeholders import evaluate, expand, names_in, references
from uwgate.conf.registry import canonical
from uwgate.conf.source import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from uwgate.conf.pair import Pair

# Their values hold references of their own, which are resolved for each request.
LOG_FORMATS = frozenset({"log-format", "logformat", "log-encoder", "log-req-encoder"})
LOG_VARIABLES = frozenset(
    (
        # what the client sent
        "uri", "method", "user", "addr", "host", "proto", "uagent", "referer", "cl",
        # the answer
        "status", "rsize", "hsize", "size", "headers",
        # time
        "micros", "msecs", "secs", "time", "tmsecs", "tmicros", "ctime", "ltime", "ftime", "epoch",
        # the process and the packet
        "pid", "wid", "core", "switches", "vars", "pktsize", "modifier1", "modifier2",
        "vsz", "rss", "vszM", "rssM", "werr", "rerr", "ioerr",
    )
)  # fmt: skip


class References:
    """Resolves the references of values.

    ``first`` yields the first pair of a name: what ``%(name)`` means. ``used`` are the
    names that a reference was resolved with.
    """

    def __init__(self, environ: Mapping[str, str], first: Callable[[str], Pair | None]) -> None:
        self._environ = environ
        self._first = first
        self.used: set[str] = set()

    def expand(self, name: str, value: str, symbol: str) -> str:
        """The value of the option ``name`` with the references of one symbol resolved.

        Raises:
            ConfigError: they run in a circle, or a file cannot be read.
        """
        match symbol:
            case "$":
                return expand(value, "$", self._environ.get)
            case "@":
                return expand(value, "@", lambda inner: self._content(name, inner))
            case _:
                return expand(value, "%", lambda inner: self._placeholder(name, inner))

    def _placeholder(self, name: str, inner: str) -> str | None:
        if name in LOG_FORMATS and is_log_variable(inner):
            return None
        return evaluate(inner, self._value_of)

    def _content(self, name: str, inner: str) -> str:
        return read(self.expand(name, inner, "%")).removesuffix("\n")  # @(%(base)/version)

    def _value_of(self, name: str) -> str | None:
        found = self._first(name)
        if found is not None:
            self.used.add(found.name)
        return None if found is None else found.value


def mentioned(pair: Pair) -> set[str]:
    """The names that the value of a pair refers to."""
    names: set[str] = set()
    with contextlib.suppress(ConfigError):  # told when the value is expanded
        for inner in references(pair.value or ""):
            names.update(names_in(inner))
    if pair.name in LOG_FORMATS:
        names = {name for name in names if not is_log_variable(name)}
    return {canonical(name) for name in names}


def has_parentheses(value: str) -> bool:
    """Whether an expression in a value groups with parentheses, which uWSGI cannot."""
    with contextlib.suppress(ConfigError):
        return any(" " in inner and "(" in inner for inner in references(value))
    return False


def is_log_variable(name: str) -> bool:
    """Whether ``%(name)`` means something in a log format."""
    return name in LOG_VARIABLES or name.startswith(("var.", "metric."))
