"""The whole configuration as one frozen value, and its way to a child process."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from uwgate.conf.groups.application import ApplicationOptions
from uwgate.conf.groups.corerouter import (
    CorerouterOptions,
    FastrouterCorerouterOptions,
    HttpCorerouterOptions,
)
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.fastrouter import FastrouterOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.conf.groups.http2 import Http2Options
from uwgate.conf.groups.https import HttpsOptions
from uwgate.conf.groups.log import LogOptions
from uwgate.conf.groups.master import MasterOptions
from uwgate.conf.groups.sockets import SocketOptions
from uwgate.conf.groups.stats import StatsOptions
from uwgate.conf.groups.subscribe import SubscribeOptions
from uwgate.conf.groups.subscriptions import SubscriptionOptions
from uwgate.conf.groups.workers import WorkerOptions
from uwgate.conf.groups.zerg import ZergOptions

COREROUTERS = ("http", "fastrouter")  # the kinds of gateways that choose among backends


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every option, checked. ``pairs`` are the (key, value) pairs as read, in order.

    A pair without a value has None.
    """

    application: ApplicationOptions = field(default_factory=ApplicationOptions)
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    sockets: SocketOptions = field(default_factory=SocketOptions)
    http: HttpOptions = field(default_factory=HttpOptions)
    http_corerouter: HttpCorerouterOptions = field(default_factory=HttpCorerouterOptions)
    https: HttpsOptions = field(default_factory=HttpsOptions)
    edge: EdgeOptions = field(default_factory=EdgeOptions)
    http2: Http2Options = field(default_factory=Http2Options)
    fastrouter: FastrouterOptions = field(default_factory=FastrouterOptions)
    fastrouter_corerouter: FastrouterCorerouterOptions = field(
        default_factory=FastrouterCorerouterOptions
    )
    subscriptions: SubscriptionOptions = field(default_factory=SubscriptionOptions)
    subscribe: SubscribeOptions = field(default_factory=SubscribeOptions)
    zerg: ZergOptions = field(default_factory=ZergOptions)
    stats: StatsOptions = field(default_factory=StatsOptions)
    master: MasterOptions = field(default_factory=MasterOptions)
    log: LogOptions = field(default_factory=LogOptions)
    pairs: tuple[tuple[str, str | None], ...] = ()

    @property
    def speaks_tls(self) -> bool:
        """Whether any address of the HTTP gateway does."""
        return bool(self.https.https or self.https.https2)

    def corerouter(self, kind: str) -> CorerouterOptions:
        """Where the gateways of a kind (``http``, ``fastrouter``) find their backends."""
        options: CorerouterOptions = getattr(self, f"{kind}_corerouter")
        return options

    def has_gateway(self, kind: str) -> bool:
        """Whether gateways of a kind listen anywhere."""
        if self.corerouter(kind).zerg:
            return True
        if kind == "http":
            return bool(self.http.http) or self.speaks_tls
        return bool(self.fastrouter.fastrouter)

    @property
    def zergs(self) -> tuple[tuple[str, str], ...]:
        """Option and zerg server of everything that sockets are had from."""
        gateways = ((f"{one}-zerg", self.corerouter(one).zerg) for one in COREROUTERS)
        return tuple(
            (option, path)
            for option, paths in (("zerg", self.zerg.zerg), *gateways)
            for path in paths
        )

    @property
    def subscription_servers(self) -> tuple[tuple[str, str], ...]:
        """Kind of gateway and address of everything that takes announcements."""
        return tuple(
            (kind, text)
            for kind in COREROUTERS
            for text in self.corerouter(kind).subscription_server
        )

    @property
    def needs_registry(self) -> bool:
        """Whether there is something to hear or to tell about all gateways of a kind."""
        return any(
            core.subscription_server or core.stats_server
            for core in map(self.corerouter, COREROUTERS)
        )

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values; ``from_json`` reads them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """Settings that another process wrote with ``to_json``."""
        groups = {name: GROUPS[name](**_tuples(values[name])) for name in GROUPS}
        pairs = tuple((key, value) for key, value in values["pairs"])
        return cls(pairs=pairs, **groups)


GROUPS: dict[str, Any] = {
    "application": ApplicationOptions,
    "workers": WorkerOptions,
    "sockets": SocketOptions,
    "http": HttpOptions,
    "http_corerouter": HttpCorerouterOptions,
    "https": HttpsOptions,
    "edge": EdgeOptions,
    "http2": Http2Options,
    "fastrouter": FastrouterOptions,
    "fastrouter_corerouter": FastrouterCorerouterOptions,
    "subscriptions": SubscriptionOptions,
    "subscribe": SubscribeOptions,
    "zerg": ZergOptions,
    "stats": StatsOptions,
    "master": MasterOptions,
    "log": LogOptions,
}


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
