"""Every listening socket of one configuration, and who serves it.

The master binds all of them before anything starts, and keeps them: an address that is
still wanted after a reload keeps its socket, so no connection that waits there is lost.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from uwgate import attaching, identity
from uwgate.binding import (
    Bound,
    adopt,
    bind,
    bind_unnamed,
    relisten,
    set_permissions,
    with_possible_backlog,
)
from uwgate.conf.address import Address, AddressKind, parse_listen
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.sockets import SocketOptions
from uwgate.conf.settings import COREROUTERS, Settings
from uwgate.conf.start import Listener
from uwgate.datagrams import asks_who, bind_datagrams, tune
from uwgate.gateways.wire.zerg import MAX_SOCKETS
from uwgate.wanted import (
    CACHE_UDP,
    FASTROUTER,
    ROLE_OF_PROTOCOL,
    ZERG_SERVER,
    ZERG_SOCKET,
    ZERGPOOL,
    Wanted,
    wanted,
)

FIRST_SYSTEMD_FD = 3  # sd_listen_fds(3)
LEASE = "lease"  # the key of the lease socket, which has no address of its own
REGISTRY = "registry"  # the same for the socket of the registry
GATEWAY_ROLES = ("http", "https", "http-to-https")
# Gateways with processes of their own, and what they accept on.
ROUTER_ROLES = {
    FASTROUTER: (FASTROUTER,),
    "rawrouter": ("rawrouter",),
    "sslrouter": ("sslrouter", "sslrouter-passthrough"),
}
ANY_IPV4 = ("", "0.0.0.0")


class Named(NamedTuple):
    """A listener and the words that asked for it; ``option`` is empty for one of systemd's."""

    option: str
    text: str
    listener: Listener


@dataclass(slots=True)
class Sockets:
    """Bound sockets by key (the address as text), and the listeners made of them.

    ``named`` has each mention of a listener, ``shared`` the names of the shared sockets.
    """

    bound: dict[str, Bound] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)
    lease_address: str | None = None
    registry_address: str | None = None
    named: list[Named] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)

    def of(self, *roles: str) -> tuple[Listener, ...]:
        """The listeners with one of these roles."""
        return tuple(one for one in self.listeners if one.role in roles)

    @property
    def gateway_listeners(self) -> tuple[Listener, ...]:
        """What the HTTP gateways accept on."""
        return self.of(*GATEWAY_ROLES)

    def router_listeners(self, kind: str) -> tuple[Listener, ...]:
        """What the gateways of a kind of ``ROUTER_ROLES`` accept on."""
        return self.of(*ROUTER_ROLES[kind])

    @property
    def worker_listeners(self) -> tuple[Listener, ...]:
        """What the workers accept on."""
        return self.of(LEASE, *ROLE_OF_PROTOCOL.values())

    @property
    def registry_listeners(self) -> tuple[Listener, ...]:
        """What the registry accepts and receives on."""
        roles = (f"{kind}-{what}" for kind in COREROUTERS for what in ("subscription", "stats"))
        return self.of(REGISTRY, *roles)

    @property
    def cache_listeners(self) -> tuple[Listener, ...]:
        """What changes of other instances' caches come in on."""
        return self.of(CACHE_UDP)

    @property
    def worker_sockets(self) -> tuple[Listener, ...]:
        """Those on which workers serve others."""
        return self.of(*ROLE_OF_PROTOCOL.values())

    @property
    def zergpool_listeners(self) -> tuple[Listener, ...]:
        """Where sockets are given to zergs, and those that are."""
        servers = self.of(ZERG_SERVER)
        given = [
            replace(one, role=ZERG_SOCKET, endpoint=server.name)
            for server in servers
            for one in {one.fd: one for one in self.worker_sockets}.values()
        ]
        return (*self.of(ZERGPOOL, ZERG_SOCKET), *servers, *given)

    @property
    def worker_queues(self) -> list[socket.socket]:
        """The sockets in whose accept queues those others wait."""
        fds = {one.fd for one in self.worker_sockets}
        return [one.socket for one in self.bound.values() if one.socket.fileno() in fds]

    def close_unless_in(self, kept: Sockets | None, *, remove_files: bool) -> None:
        """Close the sockets that ``kept`` does not have as well."""
        held = {id(one) for one in kept.bound.values()} if kept else set()
        for one in self.bound.values():
            if id(one) not in held:
                one.socket.close()
                if remove_files:
                    one.remove_file()

    def close_and_vacuum(self) -> None:
        """Close everything and remove the files of UNIX sockets."""
        self.close_unless_in(None, remove_files=True)


def bind_all(
    settings: Settings,
    note: Callable[[str], None],
    *,
    systemd: Sequence[int] = (),
    previous: Sockets | None = None,
    gifts: attaching.Gifts = attaching.NONE,
) -> Sockets:
    """Bind what the settings name; ``note`` gets remarks for the operator.

    ``systemd`` are the descriptors of ``systemd_descriptors``; they join with the protocol
    of the option ``protocol``. Sockets of ``previous`` are used again where the address is
    the same. ``gifts`` is what zerg servers gave.

    Raises:
        ConfigError: something cannot be bound. Nothing of this call stays open then.
    """
    sockets = Sockets()
    options = with_possible_backlog(settings.sockets, note)
    try:
        _Binder(settings, options, sockets, previous, gifts).bind_everything(systemd)
    except ConfigError:
        sockets.close_unless_in(previous, remove_files=True)
        raise
    for kind in ROUTER_ROLES:
        core = settings.corerouter(kind)
        leases = kind == FASTROUTER and settings.workers.processes > 0
        has_backends = core.names_backends or bool(core.fallback) or leases
        if settings.has_gateway(kind) and not has_backends:
            what = "requests get 503" if kind == FASTROUTER else "connections are closed"
            note(f"{kind} without {kind}-to or another way to backends: {what}")
    if settings.workers.processes == 0:
        if settings.http.http and not settings.http_corerouter.names_backends:
            note("http without http-to and with processes = 0: every request gets 503")
        alone = () if settings.zerg.zerg_server is not None else sockets.worker_listeners
        for one in alone:
            note(f"{one.name}: nobody accepts connections here, because processes = 0")
    return sockets


def systemd_descriptors(environ: Mapping[str, str]) -> range:
    """The descriptors that systemd's socket activation gave to this process.

    Raises:
        ConfigError: LISTEN_FDS is no number.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return range(0)
    text = environ.get("LISTEN_FDS", "0")
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"LISTEN_FDS = {text!r}, as systemd gave it, is no number")
    return range(FIRST_SYSTEMD_FD, FIRST_SYSTEMD_FD + int(text))


class _Binder:
    def __init__(
        self,
        settings: Settings,
        options: SocketOptions,
        sockets: Sockets,
        previous: Sockets | None,
        gifts: attaching.Gifts,
    ) -> None:
        self.settings = settings
        self.options = options
        self.sockets = sockets
        self.previous = previous.bound if previous else {}
        self.given = attaching.Given(
            settings, options, gifts, self.previous, ROLE_OF_PROTOCOL[options.protocol]
        )
        self.owner = identity.socket_owner(settings)
        self.shared = [self._parse("shared-socket", one) for one in options.shared_socket]
        addresses = [
            self._parse(one.option, one.address)
            for one in wanted(settings)
            if not one.takes_datagrams
        ]
        self.ipv4_ports = {
            one.port
            for one in addresses + self.shared
            if one.kind is AddressKind.TCP and one.host in ANY_IPV4 and one.port
        }

    def bind_everything(self, systemd: Sequence[int]) -> None:
        self._take_inherited(systemd)
        self.given.take(self.sockets.bound)
        given_by: dict[str, str] = {}
        shared_keys: list[str] = []
        for position, address in enumerate(self.shared):
            shared_keys.append(self._key(address))
            self._bind(shared_keys[-1], address, "shared-socket")
            given_by[shared_keys[-1]] = f"shared-socket {position}"
            self.sockets.shared.append(self.sockets.bound[shared_keys[-1]].name)
        for one in wanted(self.settings):
            option, text = one.option, one.address
            address = self._resolve_shared(option, self._parse(option, text))
            if one.takes_datagrams:
                self._bind_datagrams(one, address)
                continue
            key = self.given.key_of(address) or (
                shared_keys[int(text[1:])] if text.startswith("=") else self._key(address)
            )
            if key in self.sockets.bound and not self._may_repeat(key, text):
                raise ConfigError(f"{option} = {text}: {given_by[key]} has this address already")
            given_by[key] = option
            self._bind(key, address, option)
            endpoint = one.endpoint
            if one.role == ZERG_SOCKET:
                endpoint = self.sockets.bound[self._key(self._parse(option, endpoint))].name
            self.sockets.named.append(Named(option, text, self._add(key, one.role, endpoint)))
        self._serve_systemd(systemd)
        self._serve_gifts()
        needs_none = self.settings.legion.names or self.settings.attendant.has_work
        if not self.sockets.listeners and not needs_none:
            raise ConfigError(
                "nothing to listen on: give http = :8080 (the HTTP gateway), fastrouter, "
                "rawrouter, sslrouter, or socket, uwsgi-socket, http-socket (workers behind "
                "another server)"
            )
        if self._needs_lease():
            self.sockets.lease_address = self._bind_unnamed(LEASE)
        if self.settings.needs_registry:
            self.sockets.registry_address = self._bind_unnamed(REGISTRY)

    def _bind_unnamed(self, role: str) -> str:
        """Bind a socket for our own processes only; returns its name, without the mark."""
        bound = self.previous.get(role) or bind_unnamed()
        self.sockets.bound[role] = bound
        self._add(role, role)
        return bound.name[1:]

    def _needs_lease(self) -> bool:
        settings = self.settings
        for_http = self.sockets.gateway_listeners and not settings.http_corerouter.names_backends
        for_fastrouter = self.sockets.of(FASTROUTER) and settings.fastrouter_may_lease
        return settings.workers.processes > 0 and bool(for_http or for_fastrouter)

    def _parse(self, option: str, text: str) -> Address:
        try:
            address = parse_listen(text)
        except ConfigError as error:
            raise ConfigError(f"{option}: {error}") from error
        chdir = self.settings.application.chdir
        is_file = address.kind is AddressKind.UNIX and not self.options.abstract_socket
        # As in uWSGI, which binds shared sockets before it changes the directory.
        if chdir is None or not is_file or option == "shared-socket":
            return address
        return replace(address, path=os.path.join(chdir, address.path))

    def _resolve_shared(self, option: str, address: Address) -> Address:
        if address.kind is not AddressKind.SHARED:
            return address
        if address.number >= len(self.shared):
            raise ConfigError(
                f"{option} = {address}: there are {len(self.shared)} shared-sockets, counted from 0"
            )
        return self.shared[address.number]

    def _key(self, address: Address, what: str = "") -> str:
        if address.kind is AddressKind.UNIX:
            return what + os.path.abspath(address.path)
        if address.kind is AddressKind.TCP and address.port == 0:
            # Two of them are two sockets: the kernel chooses a port for each.
            stem = f"{what}{address}#"
            return f"{stem}{sum(1 for key in self.sockets.bound if key.startswith(stem))}"
        return f"{what}{address}"

    def _may_repeat(self, key: str, text: str) -> bool:
        return text.startswith("=") or key.startswith(("fd://", attaching.STEM))

    def _bind_datagrams(self, one: Wanted, address: Address) -> None:
        key = self._key(address, "datagrams ")
        if key in self.sockets.bound:
            raise ConfigError(f"{one.option} = {one.address}: this address is taken twice")
        bound = self.previous.get(key)
        try:
            if bound is None or not bound.is_in_place:
                bound = bind_datagrams(address, self.options, self.owner)
            tune(bound, self.options, self.owner, credentials=asks_who(self.settings))
        except ConfigError as error:
            raise ConfigError(f"{one.option}: {error}") from error
        self.sockets.bound[key] = bound
        self._add(key, one.role, one.endpoint)

    def _bind(self, key: str, address: Address, option: str) -> None:
        if key in self.sockets.bound:
            return
        bound = self.previous.get(key)
        if bound is not None and bound.is_in_place:
            relisten(bound, self.options)
            set_permissions(bound, self.options, self.owner)
        else:
            only_ipv6 = address.host == "::" and address.port in self.ipv4_ports
            try:
                bound = bind(address, self.options, owner=self.owner, only_ipv6=only_ipv6)
            except ConfigError as error:
                raise ConfigError(f"{option}: {error}") from error
        self.sockets.bound[key] = bound

    def _add(self, key: str, role: str, endpoint: str = "") -> Listener:
        bound = self.sockets.bound[key]
        fd = bound.socket.fileno()
        roles = {one.role: one for one in self.sockets.listeners if one.fd == fd}
        if role == ZERG_SOCKET:  # given away; that it may be served here as well is no matter
            roles = {}
        # The first mention decides what is spoken there. A fastrouter and workers speak the same.
        if roles and (roles.keys() | {role} != {FASTROUTER, "uwsgi"} or role in roles):
            return roles.get(role) or next(iter(roles.values()))
        listener = Listener(fd=fd, role=role, name=bound.name, endpoint=endpoint)
        self.sockets.listeners.append(listener)
        return listener

    def _take_inherited(self, systemd: Sequence[int]) -> None:
        # Before any socket of our own could get a number that is named but not open.
        origins = dict.fromkeys(systemd, "LISTEN_FDS")
        named = [(one.option, one.address) for one in wanted(self.settings)]
        named += [("shared-socket", one) for one in self.options.shared_socket]
        for option, text in named:
            address = self._parse(option, text)
            if address.kind is AddressKind.FD:
                origins.setdefault(address.number, f"{option} = {text}")
        for fd, origin in origins.items():
            key = f"fd://{fd}"
            known = self.previous.get(key)
            self.sockets.bound[key] = known or adopt(fd, origin, self.options)

    def _serve_systemd(self, descriptors: Sequence[int]) -> None:
        for fd in descriptors:
            listener = self._add(f"fd://{fd}", ROLE_OF_PROTOCOL[self.options.protocol])
            self.sockets.named.append(Named("", f"fd://{fd}", listener))

    def _serve_gifts(self) -> None:
        for key, role in self.given.roles.items():
            self.sockets.named.append(Named("", key, self._add(key, role)))
        server = self.settings.zerg.zerg_server
        given = len(self.sockets.worker_sockets)
        if server is not None and not 0 < given <= MAX_SOCKETS:
            raise ConfigError(
                f"zerg-server = {server}: our workers have {given} sockets to give (socket, "
                f"uwsgi-socket, http-socket), expected 1 to {MAX_SOCKETS}"
            )
