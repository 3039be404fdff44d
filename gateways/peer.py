"""Who is at the other end of a client connection, and what that decides."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.networks import parse_networks
from uwgate.gateways.wire import cgi

UNKNOWN = b"0.0.0.0"  # a client without an IP address (spec/uwsgi-protocol.md 9.2)
# Two variables whose values are shorter than 256 bytes.
_ENDPOINT = b"\x0b\0REMOTE_ADDR%b\0%b\x0b\0REMOTE_PORT%b\0%b"
_HTTPS = cgi.pack((("HTTPS", b"on"),))


@dataclass(slots=True)
class Peer:
    """The client of one connection.

    ``block`` holds the connection's packed variables, ``address`` and ``port`` are the two
    among them that name it. ``is_trusted``: its forwarded fields are believed. ``is_secure``:
    the connection is encrypted up to us. ``group`` is what the limit for connections of one
    client counts; empty: none. ``admits`` says whether requests may name this authority, None:
    any (``uwgate.gateways.tls.ring``). ``server_name`` is what the client called us in the TLS
    handshake; empty: nothing.
    """

    block: bytes
    address: bytes
    port: bytes
    is_trusted: bool
    is_secure: bool
    group: bytes
    admits: Callable[[bytes], bool] | None = None
    server_name: bytes = b""

    def __str__(self) -> str:
        return f"{self.address.decode()}:{self.port.decode()}"

    def __add__(self, variables: bytes) -> Peer:
        """The same client with more packed variables."""
        return Peer(
            self.block + variables,
            self.address,
            self.port,
            self.is_trusted,
            self.is_secure,
            self.group,
            self.admits,
            self.server_name,
        )

    def secured(self, variables: bytes = _HTTPS) -> Peer:
        """The same client over an encrypted connection, whose variables these are."""
        peer = self + variables
        peer.is_secure = True
        return peer


class Peers:
    """Makes the peers of a gateway process."""

    def __init__(self, edge: EdgeOptions) -> None:
        self._trusted = parse_networks(edge.http_trust_forwarded)

    def make(self, block: bytes, address: bytes, port: bytes) -> Peer:
        """The peer at an IP address; ``block`` are the variables of its listener."""
        trusted = self._trusted.has(address.decode())
        return self._make(block, address, port, trusted, b"" if trusted else group_of(address))

    def make_local(self, block: bytes) -> Peer:
        """The client of a UNIX socket."""
        return self._make(block, UNKNOWN, b"0", self._trusted.unix, b"")

    def make_unknown(self, block: bytes, address: bytes, port: bytes) -> Peer:
        """Somebody behind the proxy that has this address, which does not say who."""
        return self._make(block, address, port, False, b"")

    @staticmethod
    def _make(block: bytes, address: bytes, port: bytes, trusted: bool, group: bytes) -> Peer:
        endpoint = _ENDPOINT % (bytes((len(address),)), address, bytes((len(port),)), port)
        return Peer(block + endpoint, address, port, trusted, False, group)


def group_of(address: bytes) -> bytes:
    """The address, or the /64 of an IPv6 address: one client has all of that."""
    if b":" not in address:
        return address
    return socket.inet_pton(socket.AF_INET6, address.partition(b"%")[0].decode())[:8]


class Crowd:
    """How many connections each client has. ``most`` of them are allowed to one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[bytes, int] = {}  # no longer than there are connections

    def is_full(self, group: bytes) -> bool:
        """This client may have no more."""
        return self._counts.get(group, 0) >= self._most

    def enter(self, group: bytes) -> None:
        """A connection more."""
        if group:
            self._counts[group] = self._counts.get(group, 0) + 1

    def leave(self, group: bytes) -> None:
        """A connection less."""
        if group:
            left = self._counts[group] - 1
            if left:
                self._counts[group] = left
            else:
                del self._counts[group]
