"""Backends that a function of the operator names (``use-code-string``; spec/gateways.md section 3).

The function is Python and gets the key as bytes; it returns ``ADDRESS`` or
``ADDRESS,MODIFIER1`` as bytes or str (uWSGI takes bytes only), nothing for a key that it does not
know. It runs in a thread of its own, one call at a time, since functions that were written
for uWSGI's gateways expect nothing else.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from uwgate.conf.codestring import CodeString
from uwgate.conf.errors import ConfigError
from uwgate.gateways.corerouter.derived import address_of
from uwgate.gateways.corerouter.mapper import Mapper
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.counters import Counters

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts

log = logging.getLogger("uwgate.corerouter")

MODULE = "uwgate_code_string"  # the name under which the file is loaded
MAX_MESSAGES = 100  # errors that are told apart; further ones are only counted
MAX_CALLS = 1000  # requests that wait for the function at a time

Call = Callable[[bytes], object]


def load(code: CodeString, folder: str | None = None) -> Call:
    """The function; relative files are in ``folder``.

    Raises:
        ConfigError: the file cannot be loaded, or has no such function.
    """
    path = os.path.join(folder or "", code.file)
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever an operator's file raises
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error
    function = getattr(module, code.function, None)
    if not callable(function):
        raise ConfigError(f"{path}: there is no function {code.function}")
    call: Call = function
    return call


class Function(Mapper):
    """See the module. After a backend that failed the function is asked again."""

    may_wait = True

    def __init__(self, function: Call, counters: Counters, *, speaks_http: bool = False) -> None:
        self._function = function
        self._counters = counters
        self._speaks_http = speaks_http
        self._limiter = trio.CapacityLimiter(1)
        self._calls = 0
        self._said: set[str] = set()

    async def prepare(self, attempts: Attempts, limit: float) -> None:
        if self._calls >= MAX_CALLS:
            self._complain(f"more than {MAX_CALLS} requests wait for it")
            return
        self._calls += 1
        try:
            with trio.fail_after(limit):
                result = await trio.to_thread.run_sync(
                    self._function,
                    attempts.asked.key.encode(errors="surrogateescape"),
                    # It runs to its end and its result is thrown away. Until then it
                    # keeps the limiter, so there is never more than one thread.
                    abandon_on_cancel=True,
                    limiter=self._limiter,
                )
        except trio.TooSlowError:
            self._complain(f"no result within {limit:g} s")
        except Exception as error:  # whatever an operator's function raises
            self._complain(f"{type(error).__name__}: {error}")
        else:
            attempts.granted = self._target(result)
        finally:
            self._calls -= 1

    def choose(self, attempts: Attempts, now: float) -> Target | Outcome:
        return Outcome.EXHAUSTED if attempts.tried else Outcome.NOBODY

    def _target(self, result: object) -> Target | None:
        if not result:
            return None
        if isinstance(result, bytes):
            result = result.decode(errors="surrogateescape")
        if not isinstance(result, str):
            self._complain(f"it returned {type(result).__name__}, expected bytes or str")
            return None
        text, comma, modifier = result.rpartition(",")
        if not comma:
            text, modifier = result, ""
        address = address_of(text)
        is_modifier = modifier.isascii() and modifier.isdigit() and int(modifier) <= 255
        if address is None or (comma and not is_modifier):
            self._complain(f"it returned {result!r}, expected ADDRESS or ADDRESS,MODIFIER1")
            return None
        modifier1 = int(modifier) if comma else None
        return Target(address, modifier1, 0 if comma else None, self._speaks_http)

    def _complain(self, text: str) -> None:
        """Count, and say once for each text."""
        self._counters.count("code-string")
        if text not in self._said and len(self._said) < MAX_MESSAGES:
            self._said.add(text)
            log.error("use-code-string: %s; this is said once", text)
