"""The four chains of a configuration, compiled once from its options.

Every mistake is an error with its place: all of them at once, one line each.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from uwgate.conf.errors import ConfigError
from uwgate.routing.catalog import ACTION_KINDS, CONDITION_KINDS, NOT_OFFERED
from uwgate.routing.chain import Chain
from uwgate.routing.rule import (
    SUBJECTS,
    AlwaysTest,
    ConditionTest,
    Label,
    Rule,
    StatusTest,
    SubjectTest,
    Test,
    split_name,
    split_test,
    without_secrets,
)
from uwgate.routing.transaction import RuleError
from uwgate.routing.workshop import Act, ActionKind, ChainName, ConditionKind, Mistake, Workshop

Kind = TypeVar("Kind", ActionKind, ConditionKind)

MAX_RULES = 10_000  # of one chain

Triple = tuple[str, str, object]  # option name, value, place

_TESTS = (*SUBJECTS, "-if", "-if-not", "-run", "-python", "-label")

# By option name: the chain, and what stands behind "route".
OPTIONS: dict[str, tuple[ChainName, str]] = {
    f"{chain.value}route{suffix}": (chain, suffix)
    for chain in ChainName
    for suffix in (*_TESTS, "-status")
    if not (chain is ChainName.REQUEST and suffix == "-status")  # there is no status yet
}


@dataclass(frozen=True, slots=True)
class Rules:
    """The chains; those without rules are false.

    ``functions`` are the Python functions that rules call, as module:function.
    """

    request: Chain
    response: Chain
    error: Chain
    final: Chain
    functions: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.request or self.response or self.error or self.final)


def compile_rules(triples: Iterable[Triple]) -> Rules:
    """Make chains of ``route*`` options, in the order of the configuration.

    Raises:
        ConfigError: an option or its value cannot be used.
    """
    lines: dict[ChainName, list[_Line]] = {chain: [] for chain in ChainName}
    problems: list[str] = []
    for option, value, place in triples:
        if option not in OPTIONS:
            problems.append(f"{place}: {option} is no option of routing")
            continue
        chain, suffix = OPTIONS[option]
        lines[chain].append(_Line(option, suffix, value, str(place)))
    functions: set[str] = set()
    chains = {name: _chain(name, lines[name], problems, functions) for name in ChainName}
    if problems:
        raise ConfigError("\n".join(problems))
    return Rules(
        chains[ChainName.REQUEST],
        chains[ChainName.RESPONSE],
        chains[ChainName.ERROR],
        chains[ChainName.FINAL],
        frozenset(functions),
    )


def compile_action(text: str) -> Act:
    """One action by itself, such as ``addheader:X: y``: what ``uwsgi.route`` runs.

    Raises:
        ConfigError: it cannot be used.
    """
    workshop = Workshop(ChainName.REQUEST, 0, {}, 0)
    try:
        return _action(workshop, _as_bytes(text))[1]
    except (Mistake, RuleError) as mistake:
        raise ConfigError(f"{text}: {mistake}") from mistake


@dataclass(frozen=True, slots=True)
class _Line:
    option: str
    suffix: str
    value: str
    place: str

    def as_bytes(self) -> bytes:
        """The value as bytes.

        Raises:
            Mistake: it has half a character.
        """
        return _as_bytes(self.value)


def _as_bytes(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise Mistake(f"no text: {error.reason}") from error


def _chain(name: ChainName, lines: list[_Line], problems: list[str], functions: set[str]) -> Chain:
    if len(lines) > MAX_RULES:
        last = lines[MAX_RULES]
        problems.append(f"{last.place}: more than {MAX_RULES} rules in one chain")
        return Chain(name, ())
    labels: dict[bytes, int] = {}
    for position, line in enumerate(lines):
        if line.suffix == "-label":
            with contextlib.suppress(Mistake):  # told below
                labels.setdefault(line.as_bytes(), position)
    return Chain(name, list(_steps(name, lines, labels, problems, functions)))


def _steps(
    name: ChainName,
    lines: list[_Line],
    labels: Mapping[bytes, int],
    problems: list[str],
    functions: set[str],
) -> Iterator[Rule | Label]:
    for position, line in enumerate(lines):
        workshop = Workshop(name, position, labels, len(lines), functions)
        try:
            yield _step(workshop, line)
        except (Mistake, RuleError) as mistake:  # a RuleError: a header that cannot be sent
            value = without_secrets(line.value)
            problems.append(f"{line.place}: {line.option} = {value}: {mistake}")


def _step(workshop: Workshop, line: _Line) -> Rule | Label:
    value = line.as_bytes()
    if line.suffix == "-label":
        if not value:
            raise Mistake("expected a name")
        return Label(workshop.position, value)
    test, action_text = _test(workshop, line.suffix, value)
    action, act = _action(workshop, action_text)
    return Rule(
        workshop.position, line.option, line.value, line.place, test, action, test.check, act
    )


def _test(workshop: Workshop, suffix: str, value: bytes) -> tuple[Test, bytes]:
    """The test of a rule, and the text of its action."""
    if suffix == "-run":
        return AlwaysTest(), value
    if suffix == "-python":
        return AlwaysTest(), b"python:" + value
    text, action = split_test(value)
    if suffix == "-status":
        if not text.isdigit() or len(text) > 3:
            raise Mistake(f"{text.decode(errors='surrogateescape')!r} is no status")
        return StatusTest(int(text)), action
    if suffix in ("-if", "-if-not"):
        return _condition(workshop, text, negated=suffix == "-if-not"), action
    return SubjectTest(SUBJECTS[suffix], workshop.pattern(text)), action


def _condition(workshop: Workshop, text: bytes, *, negated: bool) -> ConditionTest:
    name, argument = split_name(text, "the condition")
    kind = _find(name, CONDITION_KINDS, "condition")
    return ConditionTest(name, kind.make(workshop, argument), negated)


def _action(workshop: Workshop, text: bytes) -> tuple[str, Act]:
    name, argument = split_name(text, "the action")
    kind = _find(name, ACTION_KINDS, "action")
    return name, kind.make(workshop, argument)


def _find(name: str, kinds: Mapping[str, Kind], what: str) -> Kind:
    kind = kinds.get(name)
    if kind is not None:
        return kind
    if what == "action" and name in NOT_OFFERED:
        raise Mistake(f"the action {name!r} is not offered: {NOT_OFFERED[name]}")
    near = difflib.get_close_matches(name, kinds, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise Mistake(f"unknown {what} {name!r}{hint}")
