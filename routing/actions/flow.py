"""Actions that steer the chain (spec/internal-routing.md section 6.1)."""

from __future__ import annotations

import re
from collections.abc import Callable

from uwgate.routing.results import Answer, Flow, Jump, Result
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import RuleError
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop, no_argument, show

_STATUS = re.compile(rb"([2-9][0-9]{2})(?: (.*))?", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
PLAIN = (b"Content-Type", b"text/plain")
CLOSE = (b"Connection", b"close")


def fixed(result: Result) -> Callable[[Workshop, bytes], Act]:
    """Maker of an action without argument that always says the same."""

    def make(workshop: Workshop, text: bytes) -> Act:
        del workshop
        no_argument(text)
        return lambda scope: result

    return make


def read_status(text: bytes) -> tuple[int, bytes]:
    """A status and the reason behind it, which may be empty.

    Raises:
        Mistake: it is no status of a final response.
    """
    match = _STATUS.fullmatch(text)
    if match is None or _CONTROL.search(text):
        raise Mistake(f"{show(text)} is no status: expected 200 to 999 and perhaps a reason")
    return int(match[1]), match[2] or b""


def _break(workshop: Workshop, text: bytes) -> Act:
    del workshop
    if not text:
        return lambda scope: Flow.BREAK
    status, reason = read_status(text)
    answer = Answer(status, reason or reason_of(status), (CLOSE, PLAIN), close=True)
    return lambda scope: answer


def answer_of(text: bytes) -> Answer:
    """What ``return:NNN`` answers.

    Raises:
        Mistake: see read_status.
    """
    status, extra = read_status(text)
    body = reason_of(status)
    reason = extra + b" " + body if extra else body
    return Answer(status, reason, (PLAIN, (b"Content-Length", b"%d" % len(body))), body)


def _return(workshop: Workshop, text: bytes) -> Act:
    del workshop
    answer = answer_of(text)
    return lambda scope: answer


def jump_to(workshop: Workshop, label: bytes, literal: bytes) -> Jump:
    """A jump to a label or, where there is none of that name, to a number of a rule.

    Raises:
        RuleError: neither exists.
    """
    position = workshop.labels.get(label)
    if position is None and literal.isdigit() and len(literal) < 10:
        position = int(literal)
    if position is None:
        raise RuleError(f"goto {label.decode('latin-1')!r}: there is no such label")
    return Jump(position, label)


def _goto(workshop: Workshop, text: bytes) -> Act:
    label = workshop.template(text)
    constant = label.constant
    if constant is None:
        return lambda scope: jump_to(workshop, label.expand(scope), text)
    try:
        jump = jump_to(workshop, constant, text)
    except RuleError as error:
        raise Mistake(str(error)) from error
    if jump.position <= workshop.position:
        raise Mistake(f"{show(text)} stands before this rule: can only jump forward")
    if jump.position >= workshop.length:
        raise Mistake(f"there is no rule {jump.position}: the last one is {workshop.length - 1}")
    return lambda scope: jump


def _last() -> Callable[[Workshop, bytes], Act]:
    return fixed(Flow.CONTINUE)


ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(("continue", "last"), "", "leave the chain, go on with the request", _last()),
    ActionKind(("goon",), "", "the same, by its old name", _last(), ours=True),
    ActionKind(
        ("break",), "[NNN[ reason]]", "end the request, with this status or without answer", _break
    ),
    ActionKind(
        ("return", "break-with-status"), "NNN", "answer with the status and its reason", _return
    ),
    ActionKind(("goto",), "label", "go on behind a label further down", _goto),
)
