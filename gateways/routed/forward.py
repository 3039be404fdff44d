"""Requests that rules send to one backend by its address: ``http``, ``uwsgi`` and the like."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from uwgate.conf.address import parse_backend
from uwgate.conf.errors import BackendError, ConfigError
from uwgate.conf.groups.corerouter import CorerouterOptions
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.backends import BackendExchange, Backends
from uwgate.gateways.corerouter.attempts import Attempts
from uwgate.gateways.corerouter.derived import Fixed
from uwgate.gateways.corerouter.mapper import Mapper
from uwgate.gateways.corerouter.router import Corerouter
from uwgate.gateways.corerouter.target import Asked, Target
from uwgate.gateways.counters import Counters
from uwgate.gateways.speech import FastCgi, Scgi, Speech
from uwgate.routing.results import Forward, Protocol
from uwgate.subscriptions.health import RetryBudget

SPEECH = {Protocol.HTTP: True, Protocol.HTTP_UNCHANGED: True, Protocol.UWSGI: False}
SPEECHES: dict[Protocol, Speech] = {Protocol.FASTCGI: FastCgi(), Protocol.SCGI: Scgi()}


class OneWay:
    """The router of a request whose backend is settled (``corerouter.attempts.Router``)."""

    BUSY_PATIENCE = Corerouter.BUSY_PATIENCE
    needs_task = False

    def __init__(
        self,
        target: Target,
        options: CorerouterOptions,
        clock: Callable[[], float],
        counters: Counters,
    ) -> None:
        self.options = options
        self.clock = clock
        self.budget = RetryBudget()
        self.mapper: Mapper = Fixed(target)
        self.nothing = Mapper()
        self.fallbacks: list[Target] = []
        self._counters = counters

    def attempts(self, asked: Asked) -> Attempts:
        """See Router."""
        return Attempts(self, asked)

    def retry_after(self, asked: Asked, now: float) -> int:
        """See Router."""
        return 1

    def log_failure(self, asked: Asked, target: Target, reason: str) -> None:
        """See Router."""
        self._counters.refuse(
            "unreachable", "route: %s: %s", target.name, reason, level=logging.WARNING
        )


class Forwarding:
    """Makes the exchanges of such requests."""

    def __init__(
        self, router: Corerouter, options: HttpOptions, edge: EdgeOptions, limit: int
    ) -> None:
        self._router = router
        # What the rule says counts, not what is meant for the gateway's own backends.
        self._options = replace(
            options, http_modifier1=0, http_modifier2=0, http_backend_proxy_protocol=0
        )
        self._edge = edge
        self._unchanged = replace(edge, http_add_forwarded=True)
        self._limit = limit

    def exchange(self, forward: Forward) -> BackendExchange:
        """The exchange of one request.

        Raises:
            BackendError: the address is none, or the protocol is not spoken here.
        """
        name = forward.address.decode(errors="surrogateescape")
        speech = SPEECHES.get(forward.protocol)
        speaks_http = SPEECH.get(forward.protocol, False)
        if speech is None and forward.protocol not in SPEECH:
            raise BackendError(name, f"{forward.protocol.value} is not spoken here", sent=False)
        try:
            address = parse_backend(name)
        except ConfigError as error:
            raise BackendError(name, str(error), sent=False) from error
        target = Target(address, forward.modifier1, forward.modifier2, speaks_http=speaks_http)
        core = self._router
        router = OneWay(target, core.options, core.clock, core.counters)
        unchanged = forward.protocol is Protocol.HTTP_UNCHANGED
        edge = self._unchanged if unchanged else self._edge
        return BackendExchange(Backends(router, self._options, edge, None, self._limit, speech))
