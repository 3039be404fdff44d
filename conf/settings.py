"""The whole configuration as one frozen value, and its way to a child process."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from uwgate.conf.caches import CacheSpec, caches_of
from uwgate.conf.groups.alarm import AlarmOptions
from uwgate.conf.groups.application import ApplicationOptions
from uwgate.conf.groups.attendant import AttendantOptions
from uwgate.conf.groups.cache import CacheOptions
from uwgate.conf.groups.corerouter import (
    CorerouterOptions,
    FastrouterCorerouterOptions,
    HttpCorerouterOptions,
    RawrouterCorerouterOptions,
    SslrouterCorerouterOptions,
)
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.fastrouter import FastrouterOptions
from uwgate.conf.groups.geoip import GeoipOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.conf.groups.http2 import Http2Options
from uwgate.conf.groups.https import HttpsOptions
from uwgate.conf.groups.legion import LegionOptions
from uwgate.conf.groups.log import LogOptions
from uwgate.conf.groups.master import MasterOptions
from uwgate.conf.groups.metrics import MetricOptions
from uwgate.conf.groups.rawrouter import RawrouterOptions
from uwgate.conf.groups.relay import RawrouterRelayOptions, RelayOptions, SslrouterRelayOptions
from uwgate.conf.groups.routing import (
    ErrorRouteOptions,
    FinalRouteOptions,
    HeaderOptions,
    ResponseRouteOptions,
    RouteOptions,
)
from uwgate.conf.groups.sockets import SocketOptions
from uwgate.conf.groups.sslrouter import SslrouterOptions
from uwgate.conf.groups.static import StaticOptions
from uwgate.conf.groups.stats import StatsOptions
from uwgate.conf.groups.subscribe import SubscribeOptions
from uwgate.conf.groups.subscriptions import SubscriptionOptions
from uwgate.conf.groups.workers import WorkerOptions
from uwgate.conf.groups.zerg import ZergOptions

# The kinds of gateways that choose among backends.
COREROUTERS = ("http", "fastrouter", "rawrouter", "sslrouter")
RELAYS = ("rawrouter", "sslrouter")  # those that never look inside
# Groups whose repeatable options count in their order in the configuration, all together.
RULE_GROUPS = ("route", "response_route", "error_route", "final_route", "header")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every option, checked. ``pairs`` are the (key, value) pairs as read, in order.

    A pair without a value has None. ``rules`` are the options of ``RULE_GROUPS``: name as it was
    written, value, and place, in the order of the configuration.
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
    rawrouter: RawrouterOptions = field(default_factory=RawrouterOptions)
    rawrouter_relay: RawrouterRelayOptions = field(default_factory=RawrouterRelayOptions)
    rawrouter_corerouter: RawrouterCorerouterOptions = field(
        default_factory=RawrouterCorerouterOptions
    )
    sslrouter: SslrouterOptions = field(default_factory=SslrouterOptions)
    sslrouter_relay: SslrouterRelayOptions = field(default_factory=SslrouterRelayOptions)
    sslrouter_corerouter: SslrouterCorerouterOptions = field(
        default_factory=SslrouterCorerouterOptions
    )
    route: RouteOptions = field(default_factory=RouteOptions)
    response_route: ResponseRouteOptions = field(default_factory=ResponseRouteOptions)
    error_route: ErrorRouteOptions = field(default_factory=ErrorRouteOptions)
    final_route: FinalRouteOptions = field(default_factory=FinalRouteOptions)
    header: HeaderOptions = field(default_factory=HeaderOptions)
    geoip: GeoipOptions = field(default_factory=GeoipOptions)
    alarm: AlarmOptions = field(default_factory=AlarmOptions)
    attendant: AttendantOptions = field(default_factory=AttendantOptions)
    subscriptions: SubscriptionOptions = field(default_factory=SubscriptionOptions)
    subscribe: SubscribeOptions = field(default_factory=SubscribeOptions)
    zerg: ZergOptions = field(default_factory=ZergOptions)
    static: StaticOptions = field(default_factory=StaticOptions)
    legion: LegionOptions = field(default_factory=LegionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    metrics: MetricOptions = field(default_factory=MetricOptions)
    stats: StatsOptions = field(default_factory=StatsOptions)
    master: MasterOptions = field(default_factory=MasterOptions)
    log: LogOptions = field(default_factory=LogOptions)
    pairs: tuple[tuple[str, str | None], ...] = ()
    rules: tuple[tuple[str, str, str], ...] = ()

    @property
    def speaks_tls(self) -> bool:
        """Whether any address of the HTTP gateway does."""
        return bool(self.https.https or self.https.https2)

    @property
    def caches(self) -> tuple[CacheSpec, ...]:
        """The caches, the default one first.

        Raises:
            ConfigError: they do not go together; whoever has read the settings knows.
        """
        return caches_of(self.cache)

    @property
    def has_several_users(self) -> bool:
        """Whether gateways run as other users than the rest of the instance."""
        cores = map(self.corerouter, COREROUTERS)
        return any(core.uid is not None or core.gid is not None for core in cores)

    @property
    def fastrouter_may_lease(self) -> bool:
        """Whether the fastrouter's requests go to our own workers: nobody else is named."""
        core = self.fastrouter_corerouter
        return not core.fallback and (core.uses_own_socket or not core.names_backends)

    def corerouter(self, kind: str) -> CorerouterOptions:
        """Where the gateways of a kind (``http``, ``fastrouter``) find their backends."""
        options: CorerouterOptions = getattr(self, f"{kind}_corerouter")
        return options

    def relay(self, kind: str) -> RelayOptions:
        """How the gateways of a kind of ``RELAYS`` carry bytes."""
        options: RelayOptions = getattr(self, f"{kind}_relay")
        return options

    def mercy_of(self, kind: str) -> float:
        """Seconds that the gateways of a kind may take to drain."""
        limit = self.relay(kind).drain_limit if kind in RELAYS else None
        return self.master.reload_mercy if limit is None else limit

    def tls_of(self, kind: str) -> HttpsOptions:
        """How the gateways of a kind (``http``, ``sslrouter``) speak TLS, and where."""
        if kind == "http":
            return self.https
        own = self.sslrouter
        return dataclasses.replace(
            self.https,
            https=own.sslrouter,
            https2=own.sslrouter2,
            https_session_context=own.sslrouter_session_context,
        )

    def has_gateway(self, kind: str) -> bool:
        """Whether gateways of a kind listen anywhere."""
        if self.corerouter(kind).zerg:
            return True
        if kind == "http":
            return bool(self.http.http) or self.speaks_tls
        if kind == "sslrouter":
            return self.terminates_tls or bool(self.sslrouter.sslrouter_passthrough)
        options = getattr(self, kind)
        return bool(getattr(options, kind))

    @property
    def terminates_tls(self) -> bool:
        """Whether any address of the sslrouter does."""
        return bool(self.sslrouter.sslrouter or self.sslrouter.sslrouter2)

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
        rules = tuple((name, value, place) for name, value, place in values["rules"])
        return cls(pairs=pairs, rules=rules, **groups)


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
    "rawrouter": RawrouterOptions,
    "rawrouter_relay": RawrouterRelayOptions,
    "rawrouter_corerouter": RawrouterCorerouterOptions,
    "sslrouter": SslrouterOptions,
    "sslrouter_relay": SslrouterRelayOptions,
    "sslrouter_corerouter": SslrouterCorerouterOptions,
    "route": RouteOptions,
    "response_route": ResponseRouteOptions,
    "error_route": ErrorRouteOptions,
    "final_route": FinalRouteOptions,
    "header": HeaderOptions,
    "alarm": AlarmOptions,
    "geoip": GeoipOptions,
    "attendant": AttendantOptions,
    "subscriptions": SubscriptionOptions,
    "subscribe": SubscribeOptions,
    "zerg": ZergOptions,
    "static": StaticOptions,
    "legion": LegionOptions,
    "cache": CacheOptions,
    "metrics": MetricOptions,
    "stats": StatsOptions,
    "master": MasterOptions,
    "log": LogOptions,
}


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
