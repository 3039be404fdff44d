"""The UDP sockets of legions. The master binds them, since ports below 1024 need its privileges."""

from __future__ import annotations

import errno
import socket
import struct

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.legion import LegionOptions
from uwgate.subscriptions.legion.spec import LegionSpec

RECEIVE_BUFFER = 1 << 20  # bytes; a stalled process must not lose the newest packets to old ones


def bind(spec: LegionSpec, options: LegionOptions) -> socket.socket:
    """A socket on which one legion hears and speaks.

    Raises:
        ConfigError: it cannot be had.
    """
    listen = spec.listen
    if listen.path is not None:
        raise ConfigError(
            f"legion {spec.name}: {listen.path}: other nodes cannot be reached from a UNIX socket;"
            " give HOST:PORT"
        )
    host = "" if listen.is_multicast or listen.is_broadcast else listen.host
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if not host:
            # Several instances of a machine can be in one group. One that has an address for
            # itself alone must not share it: who bound last would take the others' packets.
            shared = listen.is_multicast or listen.is_broadcast
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(shared))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, options.multicast_ttl)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(options.multicast_loop))
        sock.bind((host, listen.port))
        if listen.is_multicast:
            group = struct.pack("=4sI", socket.inet_aton(listen.host), socket.INADDR_ANY)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        if error.errno == errno.ENODEV and listen.is_multicast:
            reason += "; is there a route to it?"
        raise ConfigError(
            f"legion {spec.name}: cannot listen on {listen.host}:{listen.port}: {reason}"
        ) from error
    return sock
