"""The options of a gateway's table of nodes; the registry's table has the same."""

from __future__ import annotations

from dataclasses import replace

from uwgate.conf.settings import Settings
from uwgate.subscriptions.health import Circuit, EjectionPolicy
from uwgate.subscriptions.lookup import Lookup
from uwgate.subscriptions.table import TableOptions


def table_options(settings: Settings, kind: str) -> TableOptions:
    """For the gateways of a kind, as the registry keeps it: nodes expire."""
    common = settings.subscriptions
    core = settings.corerouter(kind)
    pairs = (pair.partition("=") for pair in core.algo_of)
    return TableOptions(
        algo=core.algo or common.subscription_algo,
        algos={key: algo for key, _, algo in pairs},
        tolerance=common.subscription_tolerance,
        tolerance_inactive=common.subscription_tolerance_inactive,
        slow_start=core.slow_start,
        max_keys=common.subscription_max_keys,
        max_nodes=common.subscription_max_nodes,
        ejection=EjectionPolicy(
            failures=core.eject_failures,
            base=core.eject_time,
            longest=core.eject_time_limit,
            most=core.eject_most / 100,
        ),
        circuit=Circuit(connections=core.node_connections, pending=core.node_pending),
        lookup=Lookup(
            dotsplit=common.subscription_dotsplit,
            mountpoints=common.subscription_mountpoints,
            fallback=core.subscription_fallback_key or "",
            strip_port=common.subscription_strip_port,
        ),
    )


def replica_options(settings: Settings, kind: str) -> TableOptions:
    """The same for a gateway process: nodes stay until the registry says that they are gone."""
    return replace(table_options(settings, kind), tolerance=0.0, tolerance_inactive=0.0)
