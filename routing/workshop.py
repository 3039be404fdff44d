"""What makers of conditions and actions need while a rule is compiled."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from uwgate.routing.regexp.pattern import Pattern, compiled
from uwgate.routing.regexp.reading import PatternError
from uwgate.routing.results import Result
from uwgate.routing.template import Template, read_template
from uwgate.routing.transaction import Scope
from uwgate.routing.variables import UnknownVariableError, resolver

Act = Callable[[Scope], Result]
Check = Callable[[Scope], bool]


class ChainName(enum.Enum):
    """When rules run; the value is what stands before ``route`` in their options."""

    REQUEST = ""
    RESPONSE = "response-"
    ERROR = "error-"
    FINAL = "final-"


class Mistake(Exception):  # becomes a ConfigError with its place
    """The argument of a rule cannot be used; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a rule stands: its chain, its position in it, and the positions of labels.

    Of labels with the same name the first counts. ``functions`` collects the names of the
    Python functions that rules call.
    """

    chain: ChainName
    position: int
    labels: Mapping[bytes, int]
    length: int  # rules and labels of the chain
    functions: set[str] = field(default_factory=set)

    def template(self, text: bytes) -> Template:
        """A text with groups and variables.

        Raises:
            Mistake: it names a function that does not exist.
        """
        return _template(text, groups=True)

    def operand(self, text: bytes) -> Template:
        """A text with variables, as conditions have them: ``$1`` is two letters there.

        Raises:
            Mistake: see ``template``.
        """
        return _template(text, groups=False)

    def pattern(self, text: bytes) -> Pattern:
        """A regular expression.

        Raises:
            Mistake: it is broken or not understood.
        """
        try:
            return compiled(text)
        except PatternError as error:
            raise Mistake(f"bad regular expression {show(text)}: {error}") from error


def _template(text: bytes, *, groups: bool) -> Template:
    try:
        return read_template(text, resolver, groups=groups)
    except UnknownVariableError as error:
        raise Mistake(str(error)) from error


def show(text: bytes) -> str:
    """A text of a rule in quotes, as the operator wrote it."""
    return repr(text.decode(errors="surrogateescape"))


class How(enum.Enum):
    """How a filter compares."""

    EQUAL = "is"
    PREFIX = "starts with"
    SUFFIX = "ends with"
    PART = "contains"
    FOLDED_PART = "in small letters contains"


@dataclass(frozen=True, slots=True)
class Filter:
    """What has to be true of a variable before a rule needs to be looked at.

    ``names``: the first of these variables that is there and not empty; it has to compare
    with one of ``texts``, none of which is empty. ``exact``: the rule's test is true whenever
    the filter is. ``negated``: the rule wants it to be false.
    """

    names: tuple[bytes, ...]
    how: How
    texts: tuple[bytes, ...]
    exact: bool = False
    negated: bool = False


def filter_of(names: tuple[bytes, ...], pattern: Pattern) -> Filter | None:
    """What has to be true of a variable in which a pattern can be found; None: nothing known."""
    prefixes, literals = pattern.prefixes or (), pattern.literals
    prefix, literal = (min(map(len, texts), default=0) for texts in (prefixes, literals))
    # Looking a prefix up is cheaper, but one that every path has ("/") tells nothing.
    if prefix > 2 or (prefix and prefix >= literal):
        return Filter(names, How.PREFIX, prefixes)
    if literal:
        return Filter(names, How.FOLDED_PART if pattern.ignores_case else How.PART, literals)
    return None


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition. ``operands`` are what it looks at, for those who ask why."""

    check: Check
    operands: tuple[Template, ...] = ()
    filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class ConditionKind:
    """A condition: its names, its argument in words, what it means, and who makes it."""

    names: tuple[str, ...]
    argument: str
    help: str
    make: Callable[[Workshop, bytes], Condition]


@dataclass(frozen=True, slots=True)
class ActionKind:
    """An action: its names, its argument in words, what it does, and who makes it.

    ``ours``: uWSGI 2.0.31 does not have it.
    """

    names: tuple[str, ...]
    argument: str
    help: str
    make: Callable[[Workshop, bytes], Act]
    ours: bool = False


def no_argument(text: bytes) -> None:
    """Raises: Mistake: there is an argument where none belongs."""
    if text:
        raise Mistake(f"takes no argument, got {show(text)}")
