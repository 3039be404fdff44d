"""What this instance announces: its options, and the addresses that were bound for them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from uwgate import identity
from uwgate.announcing.source import Source
from uwgate.conf.address import Address, AddressKind
from uwgate.conf.errors import ConfigError
from uwgate.conf.registry import canonical
from uwgate.conf.settings import COREROUTERS, Settings
from uwgate.sockets import Named, Sockets
from uwgate.subscriptions.announcement import Value, compose, legion_of, read_signer, values
from uwgate.subscriptions.spec import parse_server

HTTP_ROLES = ("http-socket", "http11-socket")
ANYWHERE = ("0.0.0.0", "::")
THIS_MACHINE = ("", "localhost", "127.0.0.1", "::1", *ANYWHERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``frequency`` is the seconds between two announcements.

    ``credentials`` are the user and group that UNIX servers are told.
    """

    sources: tuple[Source, ...] = ()
    frequency: float = 10.0
    credentials: tuple[int, int] = (-1, -1)


def make_plan(settings: Settings, sockets: Sockets, note: Callable[[str], None]) -> Plan:
    """Read the options against what is bound; ``note`` gets remarks for the operator.

    Raises:
        ConfigError: a value that cannot be used, or there is no socket to be announced.
    """
    options = settings.subscribe
    notify = options.subscription_notify_socket or options.notify_socket
    where = "" if notify is None else os.path.abspath(notify)
    names = Names(settings, sockets)
    own = _own_servers(settings)
    sources: list[Source] = []
    for value in values(options):
        chdir = settings.application.chdir
        address = names.address_of(value)
        pattern = compose(value, settings, address, where, read_signer(value, chdir))
        pattern = replace(pattern, server=_placed(pattern.server, chdir))
        if address.startswith((":", *(f"{one}:" for one in ("0.0.0.0", "[::]")))) and not (
            _is_near(pattern.server)
        ):
            note(
                f"{value}: {address} is announced, where a gateway on another machine finds "
                "itself: name this machine's address in the socket, or with addr="
            )
        sources.append(
            Source(
                value,
                pattern,
                chdir=chdir,
                modifier1=options.subscribe_with_modifier1,
                is_own=any(is_received_at(pattern.server, one) for one in own),
                legion=legion_of(value, settings),
            )
        )
    user, group = identity.child_owner(settings)
    return Plan(
        sources=tuple(sources),
        frequency=options.subscribe_freq,
        credentials=(os.getuid() if user < 0 else user, os.getgid() if group < 0 else group),
    )


class Names:
    """The addresses of an instance's sockets, as uWSGI announces them."""

    def __init__(self, settings: Settings, sockets: Sockets) -> None:
        self._shared = sockets.shared
        self._sockets = [
            one
            for one in _in_order(settings, sockets)
            if one.listener.role == "uwsgi" or one.listener.role in HTTP_ROLES
        ]

    def address_of(self, value: Value) -> str:
        """What a value announces.

        Raises:
            ConfigError: there is no such socket.
        """
        told = value.subscription
        if told.socket is not None:
            if told.socket >= len(self._sockets):
                raise ConfigError(
                    f"{value}: there are {len(self._sockets)} sockets of workers, counted from 0"
                )
            return name_of(self._sockets[told.socket])
        if told.shared_socket is not None:
            if told.shared_socket >= len(self._shared):
                raise ConfigError(
                    f"{value}: there are {len(self._shared)} shared-sockets, counted from 0"
                )
            return self._shared[told.shared_socket]
        if told.address is not None:
            return told.address
        speaks_http = told.proto.startswith("h")
        roles = HTTP_ROLES if speaks_http else ("uwsgi",)
        for one in self._sockets:
            if one.listener.role in roles:
                return name_of(one)
        missing = "http-socket" if speaks_http else "socket"
        raise ConfigError(
            f"{value}: no socket that could be announced: add {missing} = ADDRESS:PORT, "
            "or say with addr= what others are to connect to"
        )


def name_of(one: Named) -> str:
    """The announced name: the bound address, without a host where none was given."""
    name = one.listener.name
    if one.text.startswith(":") and name.startswith("0.0.0.0:"):
        return name.removeprefix("0.0.0.0")
    return name


def _in_order(settings: Settings, sockets: Sockets) -> list[Named]:
    """All mentions of listeners in the order of the configuration, those of systemd at the end."""
    waiting: dict[str, deque[Named]] = {}
    for one in sockets.named:
        waiting.setdefault(one.option, deque()).append(one)
    found: list[Named] = []
    for key, _ in settings.pairs:
        if queue := waiting.get(canonical(key)):
            found.append(queue.popleft())
    return found + [one for queue in waiting.values() for one in queue]


def _placed(server: Address, chdir: str | None) -> Address:
    """The address of a server, its path as seen from the directory to work in."""
    if server.kind is not AddressKind.UNIX:
        return server
    return replace(server, path=os.path.abspath(os.path.join(chdir or "", server.path)))


def _own_servers(settings: Settings) -> list[Address]:
    return [
        _placed(parse_server("subscription-server", text), settings.application.chdir)
        for kind in COREROUTERS
        for text in settings.corerouter(kind).subscription_server
    ]


def _is_near(server: Address) -> bool:
    return server.kind is not AddressKind.TCP or server.host in THIS_MACHINE


def is_received_at(server: Address, own: Address) -> bool:
    """Whether what is sent to ``server`` is received at ``own``."""
    if server.kind is not AddressKind.TCP or own.kind is not AddressKind.TCP:
        return server == own
    same_host = server.host == own.host or (
        own.host in ("", *ANYWHERE) and server.host in THIS_MACHINE
    )
    return same_host and server.port == own.port
