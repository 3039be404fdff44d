"""One address becomes one socket for datagrams: where nodes announce themselves.

See spec/subscriptions.md section 1. A multicast group is joined, and a socket for it may be
shared with other programs; every other address is ours alone.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import struct

from uwgate.binding import Bound, clear_way, file_inode, set_permissions, socket_name
from uwgate.conf.address import Address, AddressKind
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.sockets import SocketOptions
from uwgate.conf.settings import Settings
from uwgate.identity import Owner

RECEIVE_BUFFER = 4 << 20  # bytes; some ten thousand announcements, for a start of the whole fleet
SO_RCVBUFFORCE = 33  # socket(7); needs CAP_NET_ADMIN, and is not bounded by net.core.rmem_max
BROADCAST = "255.255.255.255"


def asks_who(settings: Settings) -> bool:
    """Whether the kernel has to say who sent a datagram (unix(7), SO_PASSCRED).

    uWSGI needs subscriptions-use-credentials besides the options that look at them.
    """
    options = settings.subscriptions
    return bool(
        options.subscriptions_use_credentials
        or options.subscriptions_credentials_check
        or options.subscriptions_sign_skip_uid
    )


def bind_datagrams(address: Address, options: SocketOptions, owner: Owner) -> Bound:
    """Bind a UDP or UNIX address. ``owner`` gets the file of a UNIX socket.

    Raises:
        ConfigError: the address cannot be had; the text says why.
    """
    match address.kind:
        case AddressKind.TCP:
            return _bind_udp(address)
        case AddressKind.UNIX:
            return _bind_path(address.path, options, owner)
        case AddressKind.ABSTRACT:
            return _bind_name(socket.AF_UNIX, f"\0{address.path}", str(address))
        case AddressKind.FD | AddressKind.SHARED:
            raise ConfigError(f"{address}: announcements come to host:port, @name or a path")


def tune(bound: Bound, options: SocketOptions, owner: Owner, *, credentials: bool) -> None:
    """What may change with a reload: who may send, and whether the kernel says who did.

    Raises:
        ConfigError: only root may give the file to this owner.
    """
    sock = bound.socket
    set_permissions(bound, options, owner)
    if sock.family == socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, int(credentials))
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def _bind_udp(address: Address) -> Bound:
    try:
        found = socket.getaddrinfo(
            address.host or "0.0.0.0",
            address.port,
            type=socket.SOCK_DGRAM,
            flags=socket.AI_PASSIVE,
        )
    except OSError as error:
        raise ConfigError(
            f"{address}: the host name {address.host!r} is unknown ({error})"
        ) from error
    # A name with both kinds of addresses means IPv4, as elsewhere.
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    family, _, _, _, where = found[0]
    group = ipaddress.ip_address(str(where[0]))
    return _bind_name(family, where, str(address), group=group if group.is_multicast else None)


def _bind_name(
    family: int,
    where: tuple[object, ...] | str,
    text: str,
    *,
    group: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
) -> Bound:
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        try:
            if family == socket.AF_INET6:
                # The IPv4 address of the same port is a socket of its own.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if group is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if where[0] == BROADCAST:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind(where)
            if group is not None:
                _join(sock, group, where)
        except OSError as error:
            raise ConfigError(f"{text}: {_explain(error)}") from error
        sock.setblocking(False)
        undo.pop_all()
        return Bound(sock, socket_name(sock))


def _join(
    sock: socket.socket,
    group: ipaddress.IPv4Address | ipaddress.IPv6Address,
    where: tuple[object, ...] | str,
) -> None:
    if group.version == 4:
        any_interface = bytes(4)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group.packed + any_interface)
    else:
        scope = where[3]
        sock.setsockopt(
            socket.IPPROTO_IPV6,
            socket.IPV6_JOIN_GROUP,
            group.packed + struct.pack("@I", scope),
        )


def _bind_path(path: str, options: SocketOptions, owner: Owner) -> Bound:
    clear_way(path, socket.SOCK_DGRAM)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise ConfigError(f"{path}: cannot make the socket: {_explain(error)}") from error
    sock.setblocking(False)
    bound = Bound(sock, os.path.abspath(path), file_inode(path))
    try:
        set_permissions(bound, options, owner)
    except ConfigError:
        bound.remove_file()
        sock.close()
        raise
    return bound


def _explain(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "in use by another process"
    if error.errno == errno.EACCES:
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE"
    return error.strerror or str(error)
