"""Proxies in front of a worker's HTTP sockets, and what they say of their clients."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from uwgate.conf.networks import Networks, parse_networks
from uwgate.gateways.wire import proxy_protocol

if TYPE_CHECKING:
    from uwgate.conf.groups.edge import EdgeOptions


class Receiver(Protocol):
    """What is used of a connection."""

    buffer: bytes

    def receive(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks. ``address`` is empty for a UNIX socket's client.

    ``server`` is the address and port that the client connected to, where a proxy says so.
    """

    address: str
    port: str
    is_trusted: bool
    server: tuple[str, int] | None = None


class Proxies:
    """Whom the HTTP sockets of a worker believe."""

    def __init__(self, edge: EdgeOptions) -> None:
        self._trusted = parse_networks(edge.http_trust_forwarded)
        is_on = edge.enable_proxy_protocol
        self._introducing = parse_networks(edge.http_proxy_protocol_from if is_on else ())

    def client_of(self, peer: object) -> Client:
        """Who is at the other end of a connection; ``peer`` as ``accept`` has it."""
        if not isinstance(peer, tuple):
            return Client("", "", self._trusted.unix)
        return self._client(str(peer[0]), int(peer[1]))

    def must_introduce(self, client: Client) -> bool:
        """The connection begins with a PROXY header."""
        return _has(self._introducing, client.address)

    def introduced(self, proxy: Client, connection: Receiver, limit: float) -> Client:
        """The client that the proxy's header names, within ``limit`` seconds; 0: no limit.

        Raises:
            ProxyError: there is no such header, or not in time.
            OSError: the connection broke.
        """
        deadline = time.monotonic() + limit
        while (found := proxy_protocol.decode(connection.buffer)) is None:
            if limit and time.monotonic() > deadline:
                raise proxy_protocol.ProxyError(f"no whole PROXY header within {limit:g} s")
            data = connection.receive()
            if not data:
                raise proxy_protocol.ProxyError("closed without a whole PROXY header")
            connection.buffer += data
        header, size = found
        connection.buffer = connection.buffer[size:]
        if header.is_local:
            return proxy
        if not isinstance(header.source, tuple):
            return Client(proxy.address, proxy.port, False)
        server = header.destination if isinstance(header.destination, tuple) else None
        return self._client(*header.source, server)

    def _client(self, address: str, port: int, server: tuple[str, int] | None = None) -> Client:
        if "." in address:
            address = address.removeprefix("::ffff:")
        return Client(address, str(port), self._trusted.has(address), server)


def _has(networks: Networks, address: str) -> bool:
    return networks.has(address) if address else networks.unix
