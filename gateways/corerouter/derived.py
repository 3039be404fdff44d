"""Backends whose address is made of the key, or is always the same."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from uwgate.conf.address import Address, parse_backend
from uwgate.conf.errors import ConfigError
from uwgate.gateways.corerouter.mapper import Mapper
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.corerouter.template import Template

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts

MAX_KNOWN = 16_384  # addresses that are kept in their parsed form


@lru_cache(MAX_KNOWN)
def address_of(text: str) -> Address | None:
    """The address that a text means; None if it is none."""
    try:
        return parse_backend(text)
    except ConfigError:
        return None


class Derived(Mapper):
    """One address for each key; there is no other to try."""

    def __init__(self, template: Template, *, speaks_http: bool = False) -> None:
        self._template = template
        self._speaks_http = speaks_http

    def choose(self, attempts: Attempts, now: float) -> Target | Outcome:
        if attempts.tried:
            return Outcome.EXHAUSTED
        text = self._template.fill(attempts.asked.key)
        address = None if text is None else address_of(text)
        if address is None:
            return Outcome.NOBODY
        return Target(address, speaks_http=self._speaks_http)


class Fixed(Mapper):
    """The same address for everybody (``use-socket``)."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def choose(self, attempts: Attempts, now: float) -> Target | Outcome:
        return Outcome.EXHAUSTED if attempts.tried else self._target
