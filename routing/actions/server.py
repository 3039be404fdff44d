"""Actions that tell the server something: logs, alarms, signals, limits (spec section 6.1)."""

from __future__ import annotations

from collections.abc import Callable

from uwgate.routing.effects import (
    ChangeDirectory,
    Log,
    LogVariable,
    RaiseAlarm,
    RaiseSignal,
    SetHarakiri,
    SetProcessTitle,
)
from uwgate.routing.outside import FileTest
from uwgate.routing.results import Flow, Result
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop, no_argument, show

MAX_HARAKIRI = 86_400 * 365  # seconds


def _log(workshop: Workshop, text: bytes) -> Act:
    line = workshop.template(text)

    def act(scope: Scope) -> Result:
        scope.transaction.effects.append(Log(line.expand(scope)))
        return Flow.NEXT

    return act


def _log_variable(workshop: Workshop, text: bytes) -> Act:
    name, equals, value = text.partition(b"=")
    if not equals or not name:
        raise Mistake(f"{show(text)} is no name=text")
    template = workshop.template(value)

    def act(scope: Scope) -> Result:
        scope.transaction.effects.append(LogVariable(name, template.expand(scope)))
        return Flow.NEXT

    return act


def _do_not_log(workshop: Workshop, text: bytes) -> Act:
    del workshop
    no_argument(text)

    def act(scope: Scope) -> Result:
        scope.transaction.logged = False
        return Flow.NEXT

    return act


def _do_not_offload(workshop: Workshop, text: bytes) -> Act:
    del workshop
    no_argument(text)

    def act(scope: Scope) -> Result:
        scope.transaction.offload = False
        return Flow.NEXT

    return act


def literal_number(text: bytes, lowest: int, highest: int) -> int:
    """A number that stands in the rule.

    Raises:
        Mistake: it is none, or out of bounds.
    """
    if not text.isdigit() or len(text) > 18 or not lowest <= int(text) <= highest:
        raise Mistake(f"{show(text)} is no number from {lowest} to {highest}")
    return int(text)


def _harakiri(workshop: Workshop, text: bytes) -> Act:
    del workshop
    effect = SetHarakiri(literal_number(text, 1, MAX_HARAKIRI))

    def act(scope: Scope) -> Result:
        scope.transaction.effects.append(effect)
        return Flow.NEXT

    return act


def _signal(workshop: Workshop, text: bytes) -> Act:
    del workshop
    effect = RaiseSignal(literal_number(text, 0, 255))

    def act(scope: Scope) -> Result:
        scope.transaction.effects.append(effect)
        return Flow.NEXT

    return act


def _alarm(workshop: Workshop, text: bytes) -> Act:
    name, space, message = text.partition(b" ")
    if not space:
        raise Mistake(f"{show(text)} has no space between the alarm's name and its message")
    name_template, message_template = workshop.template(name), workshop.template(message)

    def act(scope: Scope) -> Result:
        effect = RaiseAlarm(name_template.expand(scope), message_template.expand(scope))
        scope.transaction.effects.append(effect)
        return Flow.NEXT

    return act


def _change_directory(workshop: Workshop, text: bytes) -> Act:
    path = workshop.template(text)

    def act(scope: Scope) -> Result:
        directory = path.expand(scope)
        if b"\0" in directory or not scope.outside.check_file(directory, FileTest.DIRECTORY):
            raise RuleError(f"{directory.decode('latin-1')!r} is no directory")
        scope.transaction.effects.append(ChangeDirectory(directory))
        return Flow.NEXT

    return act


def _set_title(workshop: Workshop, text: bytes) -> Act:
    title = workshop.template(text)

    def act(scope: Scope) -> Result:
        scope.transaction.effects.append(SetProcessTitle(title.expand(scope)))
        return Flow.NEXT

    return act


_Make = Callable[[Workshop, bytes], Act]


def _kind(name: str, argument: str, help: str, make: _Make) -> ActionKind:
    return ActionKind((name,), argument, help, make)


ACTIONS: tuple[ActionKind, ...] = (
    _kind("log", "text", "write a line of the log", _log),
    _kind("logvar", "name=text", "set a variable of the request's log line", _log_variable),
    _kind("donotlog", "", "write no log line for the request", _do_not_log),
    _kind("donotoffload", "", "let nobody else send this response", _do_not_offload),
    _kind("harakiri", "seconds", "end the request if it takes longer", _harakiri),
    _kind("signal", "number", "raise a uwsgi signal", _signal),
    _kind("alarm", "name message", "trigger an alarm", _alarm),
    _kind("chdir", "directory", "change the worker's directory", _change_directory),
    _kind("setprocname", "title", "set the title of the process", _set_title),
)
