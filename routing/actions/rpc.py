"""Actions that call functions (spec/internal-routing.md section 6.9)."""

from __future__ import annotations

from collections.abc import Callable

from uwgate.routing.actions.flow import CLOSE, PLAIN, jump_to, read_status
from uwgate.routing.results import Answer, Ask, CallRpc, Flow, RawAnswer, Reply, Result
from uwgate.routing.statuses import reason_of
from uwgate.routing.template import Template
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop

MAX_ARGUMENTS = 255

_Then = Callable[[Scope, bytes], Result]
_Call = tuple[bytes, bytes | None, tuple[Template, ...]]


def _read(workshop: Workshop, text: bytes) -> _Call:
    """Function, address and arguments; split at spaces before anything is filled in."""
    words = [word for word in text.split(b" ") if word]
    if not words:
        raise Mistake("expected function[@address] and perhaps arguments")
    if len(words) - 1 > MAX_ARGUMENTS:
        raise Mistake(f"{len(words) - 1} arguments, limit {MAX_ARGUMENTS}")
    function, at, address = words[0].partition(b"@")
    templates = tuple(workshop.template(word) for word in words[1:])
    return function, address if at else None, templates


def _ask(scope: Scope, call: _Call, then: Callable[[Reply], Result]) -> Ask:
    function, address, templates = call
    arguments = tuple(template.expand(scope) for template in templates)
    return Ask(CallRpc(function, arguments, address), then)


def _calls(then: _Then) -> Callable[[Workshop, bytes], Act]:
    """Maker of an action that goes on with the result; no result counts as an empty one."""

    def make(workshop: Workshop, text: bytes) -> Act:
        call = _read(workshop, text)

        def act(scope: Scope) -> Result:
            return _ask(
                scope, call, lambda reply: then(scope, reply if isinstance(reply, bytes) else b"")
            )

        return act

    return make


def _answer(scope: Scope, result: bytes) -> Result:
    del scope
    if not result:
        raise RuleError("the function gave nothing", 502)
    return Answer(200, reason_of(200), ((b"Content-Length", b"%d" % len(result)),), result)


def _append(scope: Scope, result: bytes) -> Result:
    transaction = scope.transaction
    if not transaction.headers_sent and not transaction.body:
        transaction.begin_response(200, reason_of(200), [CLOSE])
    transaction.send(result)
    return Flow.NEXT


def _raw(scope: Scope, result: bytes) -> Result:
    del scope
    return RawAnswer(result) if result else Flow.NEXT


def _steer(workshop: Workshop, text: bytes) -> Act:
    """``rpcret``: the function's result says how to go on."""
    call = _read(workshop, text)

    def then(reply: Reply) -> Result:
        if not isinstance(reply, bytes):
            raise RuleError("there is no such function, or it failed", 502)
        word, _, rest = reply.partition(b" ")
        match word:
            case b"next":
                return Flow.NEXT
            case b"goto":
                return jump_to(workshop, rest, rest)
            case b"break":
                return _broken(rest)
            case _:
                return Flow.CONTINUE

    return lambda scope: _ask(scope, call, then)


def _broken(text: bytes) -> Result:
    if not text:
        return Flow.BREAK
    try:
        status, reason = read_status(text)
    except Mistake as error:
        raise RuleError(str(error), 502) from error
    return Answer(status, reason or reason_of(status), (CLOSE, PLAIN), close=True)


def _variable(workshop: Workshop, text: bytes) -> Act:
    name, _, rest = text.partition(b" ")
    if not name:
        raise Mistake("expected VAR function and perhaps arguments")
    call = _read(workshop, rest)

    def act(scope: Scope) -> Result:
        def then(reply: Reply) -> Result:
            scope.transaction.set(name, reply if isinstance(reply, bytes) else b"")
            return Flow.NEXT

        return _ask(scope, call, then)

    return act


_ARGUMENT = "function[@address] arguments"

ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(("rpc", "call"), _ARGUMENT, "answer with a function's result", _calls(_answer)),
    ActionKind(
        ("rpcret",),
        _ARGUMENT,
        "go on as the result says: next, continue, break[ NNN], goto label",
        _steer,
    ),
    ActionKind(("rpcblob", "rpcnext"), _ARGUMENT, "put the result into the body", _calls(_append)),
    ActionKind(("rpcraw",), _ARGUMENT, "the result is a whole HTTP response", _calls(_raw)),
    ActionKind(("rpcvar",), f"VAR {_ARGUMENT}", "set a variable to the result", _variable),
)
