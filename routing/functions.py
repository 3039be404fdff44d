"""Rules written as Python functions: what they may say, and who calls them.

A function is called with a ``view.Request`` and returns None (go on with the next rule), an
``Answer``, a ``Change``, or a number, which is a status. Users import these names from
``uwgate.rules``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from uwgate.conf.errors import ConfigError
from uwgate.routing import results
from uwgate.routing.actions.response import read_header
from uwgate.routing.results import CallFunction, Decision, Failed
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import MAX_BODY, Header
from uwgate.routing.view import Request, bytes_of

_NO_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the request at once. ``reason`` empty: the usual one of the status."""

    status: int = 200
    body: str | bytes = b""
    headers: Iterable[tuple[str, str]] | Mapping[str, str] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Change the request, and go on; ``last``: not with the next rule, but behind the chain.

    ``variables`` are set as ``addvar`` does it; ``path`` and ``query`` are PATH_INFO and
    QUERY_STRING, None: as they are. ``headers`` are added to the response.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    query: str | None = None
    headers: Iterable[tuple[str, str]] | Mapping[str, str] = ()
    last: bool = False


Function = Callable[[Request], object]


@dataclass(slots=True)
class Counts:
    """What became of the calls of one function; ``seconds`` is what all of them took."""

    calls: int = 0
    failures: int = 0
    overruns: int = 0
    seconds: float = 0.0


class Functions:
    """The functions that a process has loaded, and what is counted of each.

    ``call`` may run in any thread; all else belongs to the one that made this.
    """

    def __init__(self) -> None:
        self._functions: dict[str, Function] = {}
        self.counts: dict[str, Counts] = {}

    def load(self, names: Iterable[str]) -> None:
        """Import functions.

        Raises:
            ConfigError: one cannot be imported; all of them, one line each.
        """
        problems: list[str] = []
        for name in names:
            module, _, attribute = name.partition(":")
            try:
                found = getattr(importlib.import_module(module), attribute)
            except Exception as error:  # whatever a module does while it is imported
                problems.append(f"route-python = {name}: {type(error).__name__}: {error}")
                continue
            if callable(found):
                self._functions[name] = found
                self.counts.setdefault(name, Counts())
            else:
                problems.append(f"route-python = {name}: cannot be called")
        if problems:
            raise ConfigError("\n".join(problems))

    def call(self, question: CallFunction) -> Decision | Failed:
        """Call the function of a question, however long it takes."""
        function = self._functions.get(question.function)
        if function is None:
            return Failed("it is not loaded")
        try:
            return decide(function(question.request))
        except (Exception, SystemExit) as error:  # foreign code: nothing of it gets further
            return Failed(f"{type(error).__name__}: {error}")

    def settle(
        self, question: CallFunction, reply: Decision | Failed | None, seconds: float
    ) -> Decision | Failed:
        """Count a call that took so long; what counts as its reply.

        ``reply`` None: nobody waits for it any more. What comes too late counts for nothing.
        """
        counts = self.counts.setdefault(question.function, Counts())
        counts.calls += 1
        counts.seconds += seconds
        if reply is None or seconds > question.budget:
            counts.overruns += 1
            return Failed(f"took {seconds:.3f} s, budget {question.budget:g} s")
        if isinstance(reply, Failed):
            counts.failures += 1
        return reply


def decide(said: object) -> Decision:
    """What a function returned, checked.

    Raises:
        TypeError, ValueError: it is nothing that a function may return.
        RuleError: a header cannot be sent.
    """
    match said:
        case None:
            return Decision()
        case bool():
            raise TypeError(f"returned {said!r}: expected None, a status, Answer or Change")
        case int():
            return decide(Answer(said))
        case Answer():
            return Decision(answer=_answer(said))
        case Change():
            variables = {**said.variables}
            if said.path is not None:
                variables["PATH_INFO"] = said.path
            if said.query is not None:
                variables["QUERY_STRING"] = said.query
            return Decision(
                variables=tuple(
                    (bytes_of(name), bytes_of(value)) for name, value in variables.items()
                ),
                headers=_headers(said.headers),
                last=said.last,
            )
        case _:
            kind = type(said).__name__
            raise TypeError(f"returned a {kind}: expected None, a status, Answer or Change")


def _answer(said: Answer) -> results.Answer:
    if not isinstance(said.status, int) or not 200 <= said.status <= 999:
        raise ValueError(f"{said.status!r} is no status: expected 200 to 999")
    reason = bytes_of(said.reason) or reason_of(said.status)
    if any(byte < 32 or byte == 127 for byte in reason):
        raise ValueError(f"a reason has no control characters: {said.reason!r}")
    body = said.body if isinstance(said.body, bytes) else bytes_of(said.body)
    if len(body) > MAX_BODY:
        raise ValueError(f"a body of {len(body)} bytes, limit {MAX_BODY}")
    headers = _headers(said.headers)
    names = {name.lower() for name, _ in headers}
    if b"transfer-encoding" in names:
        raise ValueError("Transfer-Encoding is not a function's business")
    if b"content-length" not in names and said.status not in _NO_BODY:
        headers += ((b"Content-Length", b"%d" % len(body)),)
    return results.Answer(said.status, reason, headers, body)


def _headers(given: Iterable[tuple[str, str]] | Mapping[str, str]) -> tuple[Header, ...]:
    pairs = given.items() if isinstance(given, Mapping) else given
    return tuple(read_header(bytes_of(f"{name}: {value}")) for name, value in pairs)
