"""A corerouter without a gateway, and announcements without a registry."""

from __future__ import annotations

import dataclasses
from typing import Any

from uwgate.conf.groups.corerouter import HttpCorerouterOptions
from uwgate.conf.groups.subscriptions import SubscriptionOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Start
from uwgate.gateways.corerouter.attempts import Attempts
from uwgate.gateways.corerouter.router import Asked, Corerouter, Target
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.table import Table

COMMON = {field.name for field in dataclasses.fields(SubscriptionOptions)}
SERVER = "127.0.0.1:4000"  # nobody binds it


def start(*, bound: tuple[tuple[str, str], ...] = (), **options: Any) -> Start:
    """What the master would hand over."""
    settings = Settings(
        http_corerouter=HttpCorerouterOptions(
            **{key: options[key] for key in options.keys() - COMMON}
        ),
        subscriptions=SubscriptionOptions(**{key: options[key] for key in options.keys() & COMMON}),
    )
    return Start(
        settings=settings,
        listeners=(),
        control_fd=-1,
        life_fd=-1,
        lease_address=None,
        instance=1,
        generation=1,
        bound=bound,
    )


def router(**options: Any) -> Corerouter:
    return Corerouter("http", start(**options), clock=lambda: 0.0)


def pool(*addresses: str, key: str = "a", **options: Any) -> Corerouter:
    """A router with nodes."""
    made = router(subscription_server=(SERVER,), **options)
    for address in addresses:
        announce(made, address, key=key)
    return made


def table_of(made: Corerouter) -> Table:
    assert made.table is not None
    return made.table


def announce(
    made: Corerouter, address: str, *, key: str = "a", now: float = 0.0, **more: Any
) -> None:
    packet = Packet(command=Command.SUBSCRIBE, key=key, address=address, **more)
    made.changed(table_of(made).follow(packet, now, sni=True))


def leave(made: Corerouter, address: str, *, key: str = "a", now: float = 0.0) -> None:
    packet = Packet(command=Command.UNSUBSCRIBE, key=key, address=address)
    made.changed(table_of(made).follow(packet, now))


def begin(made: Corerouter, key: str = "a", **asked: Any) -> Attempts:
    return made.attempts(Asked(key, **asked))


def name(target: Target | None) -> str | None:
    """The address of a target, as the log shows it."""
    return None if target is None else target.name


def failing(made: Corerouter, now: float = 0.0, key: str = "a") -> list[str]:
    """Whom a request tries when nobody can be connected."""
    attempts = begin(made, key)
    tried = []
    while target := attempts.next(now):
        tried.append(target.name)
        attempts.failed(now, "refused")
    attempts.end(now)
    return tried


def served(made: Corerouter, now: float = 0.0, key: str = "a", **asked: Any) -> str | None:
    """Who serves a request, if everybody can be connected."""
    attempts = begin(made, key, **asked)
    target = attempts.next(now)
    if target is not None:
        attempts.connected(now)
        attempts.answered(now, good=True)
    attempts.end(now)
    return name(target)
