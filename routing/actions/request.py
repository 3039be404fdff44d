"""Actions that change the request (spec/internal-routing.md sections 6.2 and 6.4)."""

from __future__ import annotations

import re
from collections.abc import Callable

from uwgate.routing.actions.server import literal_number
from uwgate.routing.conditions import number
from uwgate.routing.results import Flow, Result
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop, no_argument, show

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BYTES = {b"%02x" % byte: bytes([byte]) for byte in range(256)}


def _add_variable(workshop: Workshop, text: bytes) -> Act:
    name, equals, value = text.partition(b"=")
    if not equals or not name:
        raise Mistake(f"{show(text)} is no NAME=text")
    return _setter(workshop, name, value)


def _setter(
    workshop: Workshop,
    name: bytes,
    text: bytes,
    change: Callable[[bytes], bytes] = lambda value: value,
) -> Act:
    template = workshop.template(text)

    def act(scope: Scope) -> Result:
        scope.transaction.set(name, change(template.expand(scope)))
        return Flow.NEXT

    return act


def _sets(
    name: bytes, change: Callable[[bytes], bytes] = lambda value: value
) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        return _setter(workshop, name, text, change)

    return make


def _user(value: bytes) -> bytes:
    return value.partition(b":")[0]


def _fix_path(workshop: Workshop, text: bytes) -> Act:
    del workshop
    no_argument(text)

    def act(scope: Scope) -> Result:
        get = scope.transaction.get
        scope.transaction.set(b"PATH_INFO", get(b"PATH_INFO").removeprefix(get(b"SCRIPT_NAME")))
        return Flow.NEXT

    return act


def _modifier1(workshop: Workshop, text: bytes) -> Act:
    del workshop
    value = literal_number(text, 0, 255)

    def act(scope: Scope) -> Result:
        scope.transaction.modifier1 = value
        return Flow.NEXT

    return act


def _modifier2(workshop: Workshop, text: bytes) -> Act:
    del workshop
    value = literal_number(text, 0, 255)

    def act(scope: Scope) -> Result:
        scope.transaction.modifier2 = value
        return Flow.NEXT

    return act


def divided(left: int, right: int) -> int:
    """The quotient without its fraction, 0 for a division by zero."""
    if right == 0:
        return 0
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def within_64_bits(value: int) -> int:
    """The number, or the nearest one of 64 bits with a sign."""
    return max(-(1 << 63), min(value, (1 << 63) - 1))


def _calculates(compute: Callable[[int, int], int]) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        name, comma, operand = text.partition(b",")
        if not name:
            raise Mistake("expected VAR or VAR,number")
        amount = workshop.template(operand if comma else b"1")

        def act(scope: Scope) -> Result:
            transaction = scope.transaction
            if name not in transaction.variables:
                raise RuleError(f"there is no variable {name.decode('latin-1')}")
            value = compute(number(transaction.get(name)), number(amount.expand(scope)))
            transaction.set(name, b"%d" % within_64_bits(value))
            return Flow.NEXT

        return act

    return make


def unescape(text: bytes) -> bytes:
    """Percent-decode; what is no escape stays as it is."""
    if b"%" not in text:
        return text
    return _ESCAPE.sub(lambda match: _BYTES[match[1].lower()], text)


def decode_path(text: bytes) -> bytes:
    """A path with its escapes decoded and its ``.`` and ``..`` resolved, also escaped ones.

    It never leads above its root, as a path of a client never does either.
    """
    path = unescape(text)
    if b"/." not in path and not path.startswith(b"."):
        return path
    kept: list[bytes] = []
    first, *segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
    is_dot = first in (b".", b"..")
    if segments[-1:] in ([b"."], [b".."]) or (is_dot and not segments):
        kept.append(b"")
    return b"/".join([b"" if is_dot else first, *kept])


def _rewrites(flow: Flow) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        template = workshop.template(text)

        def act(scope: Scope) -> Result:
            transaction = scope.transaction
            path, mark, query = template.expand(scope).partition(b"?")
            if mark:
                old = transaction.get(b"QUERY_STRING")
                transaction.set(b"QUERY_STRING", query + b"&" + old if old else query)
            transaction.set(b"PATH_INFO", decode_path(path))
            return flow

        return act

    return make


ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(("addvar",), "NAME=text", "set a variable of the request", _add_variable),
    ActionKind(("setapp",), "text", "set UWSGI_APPID", _sets(b"UWSGI_APPID")),
    ActionKind(("setuser",), "text", "set REMOTE_USER, up to a `:`", _sets(b"REMOTE_USER", _user)),
    ActionKind(("sethome",), "text", "set UWSGI_HOME", _sets(b"UWSGI_HOME")),
    ActionKind(("setfile",), "text", "set UWSGI_FILE", _sets(b"UWSGI_FILE")),
    ActionKind(("setscriptname",), "text", "set SCRIPT_NAME", _sets(b"SCRIPT_NAME")),
    ActionKind(("setmethod",), "text", "set REQUEST_METHOD", _sets(b"REQUEST_METHOD")),
    ActionKind(("seturi",), "text", "set REQUEST_URI", _sets(b"REQUEST_URI")),
    ActionKind(("setremoteaddr",), "text", "set REMOTE_ADDR", _sets(b"REMOTE_ADDR")),
    ActionKind(("setpathinfo",), "text", "set PATH_INFO, as it is", _sets(b"PATH_INFO")),
    ActionKind(("fixpathinfo",), "", "take SCRIPT_NAME from the front of PATH_INFO", _fix_path),
    ActionKind(("setdocroot",), "text", "set DOCUMENT_ROOT", _sets(b"DOCUMENT_ROOT")),
    ActionKind(("setscheme",), "text", "set UWSGI_SCHEME", _sets(b"UWSGI_SCHEME")),
    ActionKind(("setmodifier1",), "number", "set the first modifier", _modifier1),
    ActionKind(("setmodifier2",), "number", "set the second modifier", _modifier2),
    ActionKind(("+",), "VAR[,n]", "add to a variable", _calculates(lambda a, b: a + b)),
    ActionKind(("-",), "VAR[,n]", "subtract from a variable", _calculates(lambda a, b: a - b)),
    ActionKind(("*",), "VAR[,n]", "multiply a variable", _calculates(lambda a, b: a * b)),
    ActionKind(("/",), "VAR[,n]", "divide a variable; by zero gives 0", _calculates(divided)),
    ActionKind(
        ("rewrite",), "path[?query]", "set PATH_INFO; put before QUERY_STRING", _rewrites(Flow.NEXT)
    ),
    ActionKind(("rewrite-last",), "path[?query]", "the same, and `last`", _rewrites(Flow.CONTINUE)),
)
