"""One rule of a chain, compiled; how the value of an option is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from uwgate.routing.regexp.pattern import Pattern, SubjectTooLongError
from uwgate.routing.template import Template
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.workshop import Act, Check, Condition, Filter, Mistake, filter_of, show

_SECRET = re.compile(r"\b((?:basicauth|ldapauth|radius)(?:-next)?:).*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Subject:
    """What the regular expression of a rule looks at: the first of the variables that is there."""

    suffix: str  # of the option's name
    names: tuple[bytes, ...]

    def read(self, variables: dict[bytes, bytes]) -> bytes:
        """The text; empty if none of the variables is there."""
        if len(self.names) == 1:
            return variables.get(self.names[0], b"")
        for name in self.names:
            if value := variables.get(name):
                return value
        return b""


SUBJECTS: dict[str, Subject] = {
    subject.suffix: subject
    for subject in (
        Subject("", (b"PATH_INFO",)),
        Subject("-host", (b"HTTP_HOST", b"SERVER_NAME")),
        Subject("-uri", (b"REQUEST_URI",)),
        Subject("-qs", (b"QUERY_STRING",)),
        Subject("-remote-addr", (b"REMOTE_ADDR",)),
        Subject("-remote-user", (b"REMOTE_USER",)),
        Subject("-user-agent", (b"HTTP_USER_AGENT",)),
        Subject("-referer", (b"HTTP_REFERER",)),
    )
}


@dataclass(frozen=True, slots=True)
class SubjectTest:
    """``route``, ``route-host`` and so on: a regular expression."""

    subject: Subject
    pattern: Pattern

    @property
    def check(self) -> Check:
        """Searches, and puts the groups into the scope.

        What it returns raises RuleError for a subject that is too long for the pattern.
        """
        read, search = self.subject.read, self.pattern.search
        short, match_short = self.pattern.short, self.pattern.match_short

        def check(scope: Scope) -> bool:
            text = read(scope.transaction.variables)
            if len(text) <= short:  # no detours: most rules do not match
                match = match_short(text)
                if match is None:
                    return False
                scope.groups = (match[0], *match.groups(b""))
                return True
            try:
                groups = search(text)
            except SubjectTooLongError as error:
                raise RuleError(str(error), 414) from error
            if groups is None:
                return False
            scope.groups = groups
            return True

        return check

    @property
    def filter(self) -> Filter | None:
        """What is true of every subject that matches."""
        return filter_of(self.subject.names, self.pattern)


@dataclass(frozen=True, slots=True)
class StatusTest:
    """``response-route-status`` and its like: the status is this number."""

    status: int

    filter = None

    def check(self, scope: Scope) -> bool:
        """Compare."""
        return scope.transaction.status == self.status


@dataclass(frozen=True, slots=True)
class ConditionTest:
    """``route-if`` and, negated, ``route-if-not``."""

    name: str
    condition: Condition
    negated: bool

    @property
    def check(self) -> Check:
        """Asks the condition; a negated one leaves no groups."""
        check = self.condition.check
        if not self.negated:
            return check

        def negated(scope: Scope) -> bool:
            if check(scope):
                scope.groups = ()
                return False
            return True

        return negated

    @property
    def operands(self) -> tuple[Template, ...]:
        """What the condition looks at."""
        return self.condition.operands

    @property
    def filter(self) -> Filter | None:
        """What tells that the test is false; for a negated one only if it is exact."""
        found = self.condition.filter
        if not self.negated or found is None:
            return found
        return replace(found, negated=True) if found.exact else None


@dataclass(frozen=True, slots=True)
class AlwaysTest:
    """``route-run``."""

    filter = None

    def check(self, scope: Scope) -> bool:
        """True."""
        del scope
        return True


Test = SubjectTest | StatusTest | ConditionTest | AlwaysTest


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. ``position`` counts rules and labels of its chain from 0."""

    position: int
    option: str
    value: str
    place: str
    test: Test
    action: str
    check: Check  # whether the action is to run
    act: Act

    @property
    def text(self) -> str:
        """The rule as it stands in the configuration, without passwords."""
        return f"{self.option} = {without_secrets(self.value)}"


def without_secrets(value: str) -> str:
    """The value of a rule without the arguments of actions that have passwords there."""
    return _SECRET.sub(r"\1(hidden)", value)


@dataclass(frozen=True, slots=True)
class Label:
    """A place to go to."""

    position: int
    name: bytes


def split_test(value: bytes) -> tuple[bytes, bytes]:
    """What stands before the first space, and the action behind it.

    Raises:
        Mistake: there is no space.
    """
    test, space, action = value.partition(b" ")
    if not space or not action.strip():
        raise Mistake("expected a test, a space and an action such as 'last:'")
    return test, action


def split_name(text: bytes, what: str) -> tuple[str, bytes]:
    """The name before the first colon, and the argument behind it.

    Raises:
        Mistake: there is no colon.
    """
    name, colon, argument = text.partition(b":")
    if not colon:
        raise Mistake(f"{what} {show(text)} has no ':' behind its name")
    return name.decode(errors="surrogateescape"), argument
