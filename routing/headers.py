"""Headers that every response gets, loses or lends to the rules, whatever rule runs.

``add-header``, ``rem-header``, ``collect-header`` and ``pull-header``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from uwgate.conf.errors import ConfigError
from uwgate.routing.actions.response import read_header
from uwgate.routing.transaction import MAX_VALUE, Header, RuleError, Transaction

OPTIONS = (
    "add-header",
    "rem-header",
    "del-header",
    "collect-header",
    "response-header-collect",
    "pull-header",
)


@dataclass(frozen=True, slots=True)
class Lent:
    """A header whose value goes into a variable; ``pulled``: and nowhere else."""

    header: bytes  # lower case
    variable: bytes
    pulled: bool


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """What happens to headers of every response. Names of ``removed`` are lower case."""

    added: tuple[Header, ...] = ()
    removed: frozenset[bytes] = frozenset()
    lent: tuple[Lent, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.lent)

    def lend(self, transaction: Transaction) -> None:
        """Put headers of the response into variables; of repeated ones the last.

        What is too long for a variable is not lent.
        """
        if not self.lent:
            return
        values = {name.lower(): value for name, value in transaction.headers}
        for one in self.lent:
            value = values.get(one.header)
            if value is not None and len(value) <= MAX_VALUE:
                transaction.set(one.variable, value)
        pulled = {one.header for one in self.lent if one.pulled}
        if pulled:
            transaction.headers = [
                pair for pair in transaction.headers if pair[0].lower() not in pulled
            ]


def compile_headers(triples: Iterable[tuple[str, str, object]]) -> HeaderRules:
    """Read these options: (name, value, place).

    Raises:
        ConfigError: a value cannot be used.
    """
    added: list[Header] = []
    removed: set[bytes] = set()
    lent: list[Lent] = []
    problems: list[str] = []
    for option, value, place in triples:
        text = value.encode(errors="surrogateescape")
        try:
            match option:
                case "add-header":
                    added.append(read_header(text))
                case "rem-header" | "del-header":
                    removed.add(text.strip().lower())
                case _:
                    header, _, variable = text.partition(b" ")
                    variable = variable.strip()
                    if not variable or not header:
                        raise RuleError("expected a header, a space and a variable")
                    lent.append(Lent(header.lower(), variable, option == "pull-header"))
        except RuleError as error:
            problems.append(f"{place}: {option} = {value}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return HeaderRules(tuple(added), frozenset(removed), tuple(lent))
