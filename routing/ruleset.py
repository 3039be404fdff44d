"""What a configuration says about requests and responses, compiled: rules and headers.

The master does this to find mistakes, and each process that parses requests does it for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings
from uwgate.routing.conversation import Conversation
from uwgate.routing.headers import OPTIONS as HEADER_OPTIONS
from uwgate.routing.headers import HeaderRules, compile_headers
from uwgate.routing.outside import Outside
from uwgate.routing.rules import Rules, compile_rules
from uwgate.routing.transaction import Transaction


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The four chains, and what happens to the headers of every response."""

    rules: Rules
    headers: HeaderRules

    @property
    def actions(self) -> set[str]:
        """The names of all that rules want done."""
        rules = self.rules
        chains = (rules.request, rules.response, rules.error, rules.final)
        return {rule.action for chain in chains for rule in chain.rules.values()}

    def converse(self, transaction: Transaction, outside: Outside) -> Conversation:
        """Begin with a request."""
        return Conversation(self.rules, transaction, outside, self.headers)


def read_rule_set(settings: Settings) -> RuleSet | None:
    """The rules of a configuration; None if it has none, and requests need no look.

    Raises:
        ConfigError: what is wrong with any of them, one line each, with its place.
    """
    if not settings.rules:
        return None
    problems: list[str] = []
    headers = HeaderRules()
    try:
        headers = compile_headers(one for one in settings.rules if one[0] in HEADER_OPTIONS)
    except ConfigError as error:
        problems.append(str(error))
    try:
        rules = compile_rules(one for one in settings.rules if one[0] not in HEADER_OPTIONS)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return RuleSet(rules, headers)
