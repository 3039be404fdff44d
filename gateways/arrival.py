"""Accepted connections, until it is known whose they are.

A proxy in front may say so before everything else, TLS included: in a PROXY header or in
stud's prefix. It is looked at in the socket and only then taken out, so that whoever serves
the connection next finds nothing but the client's own bytes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.networks import Networks, parse_networks
from uwgate.gateways.lane import ENDED, GONE
from uwgate.gateways.peer import Peer
from uwgate.gateways.session import Session
from uwgate.gateways.states import State
from uwgate.gateways.wire import proxy_protocol, stud

if TYPE_CHECKING:
    from uwgate.gateways.http import HttpGateway

Welcome = Callable[[socket.socket, Peer], Session]


class _Found(NamedTuple):
    """What a prefix says: the client, and its own length in bytes."""

    peer: Peer
    size: int


# What makes the client out of the first bytes; None while some are missing. It raises
# ProxyError or StudError for bytes that are no prefix.
Decode = Callable[[bytes], _Found | None]


class Gate:
    """Receives the clients of one listener.

    ``block`` holds the listener's packed variables, ``welcome`` makes a session of a client;
    ``stud``: http-stud-prefix applies here.
    """

    def __init__(
        self, gateway: HttpGateway, block: bytes, welcome: Welcome, *, stud: bool = True
    ) -> None:
        edge = gateway.edge
        self._gateway = gateway
        self._block = block
        self._welcome = welcome
        self._stud = parse_networks(edge.http_stud_prefix if stud else ())
        self._proxies = proxies_of(edge)

    def receive(self, client: socket.socket, address: object) -> None:
        """A client that was just accepted; ``address`` as ``accept`` has it."""
        peers = self._gateway.peers
        if not isinstance(address, tuple):
            peer = peers.make_local(self._block)
            through_stud, through_proxy = self._stud.unix, self._proxies.unix
        else:
            host = str(address[0])
            if "." in host:
                host = host.removeprefix("::ffff:")
            peer = peers.make(self._block, host.encode(), b"%d" % address[1])
            through_stud, through_proxy = self._stud.has(host), self._proxies.has(host)
        if through_stud:
            self._await(client, peer, self._decode_stud)
        elif through_proxy:
            self._await(client, peer, lambda data: self._decode_proxy(data, peer))
        else:
            self.admit(client, peer)

    def admit(self, client: socket.socket, peer: Peer) -> None:
        """The client is known: let it in, unless it has enough connections."""
        gateway = self._gateway
        if gateway.crowd.is_full(peer.group):
            gateway.counters.refuse(
                "connections-of-client", "%s: closed, the client has too many connections", peer
            )
            client.close()
            return
        gateway.admit(self._welcome(client, peer))

    def _await(self, client: socket.socket, peer: Peer, decode: Decode) -> None:
        peer.group = b""  # a proxy is not a client
        self._gateway.admit(Arrival(self._gateway, client, peer, self, decode))

    def _decode_proxy(self, data: bytes, proxy: Peer) -> _Found | None:
        found = proxy_protocol.decode(data)
        if found is None:
            return None
        header, size = found
        peers = self._gateway.peers
        if header.is_local:
            peer = proxy
        elif isinstance(header.source, tuple):
            host, port = header.source
            if "." in host:
                host = host.removeprefix("::ffff:")
            peer = peers.make(self._block, host.encode(), b"%d" % port)
        else:
            peer = peers.make_unknown(self._block, proxy.address, proxy.port)
        if header.client_spoke_tls:
            peer = peer.secured()
        return _Found(peer, size)

    def _decode_stud(self, data: bytes) -> _Found | None:
        found = stud.decode(data)
        if found is None:
            return None
        host, size = found
        return _Found(self._gateway.peers.make(self._block, host.encode(), b"0").secured(), size)


class Arrival(Session):
    """A connection whose prefix is awaited. ``peer`` is the proxy."""

    __slots__ = ("_decode", "_gate")

    def __init__(
        self, gateway: HttpGateway, sock: socket.socket, peer: Peer, gate: Gate, decode: Decode
    ) -> None:
        super().__init__(gateway, sock, peer)
        self.state = State.PROXY
        self._gate = gate
        self._decode = decode

    def ready(self, mask: int) -> None:
        try:
            data = self.sock.recv(proxy_protocol.MAX_HEADER, socket.MSG_PEEK)
        except BlockingIOError:
            self.watch()
            return
        except OSError:
            self.close()
            return
        try:
            found = self._decode(data)
        except (proxy_protocol.ProxyError, stud.StudError) as error:
            self._refuse(str(error))
            return
        if found is not None:
            self._go_on(found)
        elif data and not mask & (ENDED | GONE):
            self.watch()
        elif data:
            self._refuse("closed within the prefix")
        else:  # a check whether somebody listens here
            self.close()

    def _go_on(self, found: _Found) -> None:
        self.sock.recv(found.size)  # all of it is there: it was seen
        self.gateway.lane.remove(self.sock.fileno())
        self.state = State.CLOSED
        sock = self.sock
        assert isinstance(sock, socket.socket)  # TLS comes behind the prefix
        self._gate.admit(sock, found.peer)
        self.gateway.forget(self)  # last: a gateway without a client may end

    def _refuse(self, reason: str) -> None:
        self.gateway.counters.refuse("proxy-header", "%s: closed: %s", self.peer, reason)
        self.close()

    def _time_out(self) -> None:
        self.gateway.counters.refuse(
            "proxy-header", "%s: closed: timed out waiting for %s", self.peer, self.state.value
        )


def proxies_of(edge: EdgeOptions) -> Networks:
    """Whose connections to the gateway begin with a PROXY header."""
    is_on = edge.http_enable_proxy_protocol or edge.enable_proxy_protocol
    return parse_networks(edge.http_proxy_protocol_from if is_on else ())
