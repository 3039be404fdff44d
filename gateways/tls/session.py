"""A client connection with TLS: the handshake, then a session like any other."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from trio.lowlevel import wait_writable

from uwgate.gateways import relay
from uwgate.gateways.peer import Peer
from uwgate.gateways.session import AWAITING, RECEIVE_SIZE, Session
from uwgate.gateways.states import State
from uwgate.gateways.streams import SendFirst
from uwgate.gateways.tls import variables
from uwgate.gateways.tls.connection import TlsError, TlsSocket
from uwgate.gateways.tls.ring import admission

if TYPE_CHECKING:
    from OpenSSL import SSL

    from uwgate.gateways.http import HttpGateway

RECORDS = 16  # read before others get their turn: a record may hold a single byte
HTTP2 = b"h2"  # RFC 9113 section 3.2
PLAIN_HTTP_PAGE = b"This port speaks HTTPS, but the request came as plain HTTP.\n"
PLAIN_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(PLAIN_HTTP_PAGE), PLAIN_HTTP_PAGE)
)


class TlsSession(Session):
    """See the module. ``peer`` gets the connection's TLS variables after the handshake."""

    __slots__ = ("_blocked",)

    sock: TlsSocket

    def __init__(
        self, gateway: HttpGateway, sock: socket.socket, peer: Peer, context: SSL.Context
    ) -> None:
        super().__init__(gateway, TlsSocket(context, sock), peer)
        self.state = State.HANDSHAKE
        self.deadline = gateway.now + gateway.https.https_handshake_timeout
        self._blocked = False  # something has to be sent before more can be received

    def ready(self, mask: int) -> None:
        if self.state is not State.HANDSHAKE:
            super().ready(mask)
        elif not self.in_task and self._shake_hands():
            # What came right behind the handshake has been announced by the same event.
            super().ready(mask)
        if self._blocked:
            self._blocked = False
            if self.state in AWAITING and not self.in_task:
                self.leave_lane(self._wait_writable)

    # The handshake

    def _shake_hands(self) -> bool:
        """Go on with the handshake; True when it is done."""
        try:
            self.sock.handshake()
        except SendFirst:
            self.leave_lane(self._wait_writable)
        except BlockingIOError:
            self.watch()
        except TlsError as error:
            self._refuse(error)
        except OSError as error:
            self._fail("broke off: %s", error.strerror or error)
            self.close()
        else:
            return self._begin_http()
        return False

    def _refuse(self, error: TlsError) -> None:
        reasons = error.reasons or ["unknown error"]
        verbose = self.gateway.https.ssl_verbose
        self._fail("failed: %s", " < ".join(reasons) if verbose else reasons[-1])
        if error.is_plain_http:
            self.sock.send_plain(PLAIN_HTTP_ANSWER)
        # A reset would overtake the alert that says why.
        self.leave_lane(relay.linger, self)

    def _fail(self, how: str, *arguments: object) -> None:
        """Count a failed handshake, and log how."""
        text = f"%s: TLS handshake {how}"
        self.gateway.counters.refuse("tls-handshake", text, self.name, *arguments)

    def _begin_http(self) -> bool:
        """The peer is known: begin with HTTP. False if another protocol was agreed on."""
        gateway = self.gateway
        connection = self.sock.connection
        try:
            packed = variables.pack(connection, export=gateway.https.https_export_cert)
        except variables.CertificateError as error:
            text = "%s: %s: the application is not told of it"
            counters = gateway.counters
            counters.refuse("client-certificate", text, self.name, error, level=logging.ERROR)
            packed = variables.pack_plain(connection)
        self.peer = self.peer.secured(packed)
        self.peer.admits = admission(connection)
        self.peer.server_name = variables.server_name(connection)
        if connection.get_alpn_proto_negotiated() == HTTP2:
            gateway.lane.remove(self.sock.fileno())
            self.state = State.CLOSED
            gateway.begin_http2(self.sock, self.peer, b"")
            gateway.forget(self)  # last: a gateway without a client may end
            return False
        self.state = State.IDLE
        limits = gateway.options.http_headers_timeout, gateway.idle_timeout
        self.deadline = gateway.now + (min(limits) if gateway.is_draining else limits[0])
        return True

    # The session

    def _receive(self, mask: int) -> bool:
        """Read until nothing is left; True at the end of what the client sends.

        What is decrypted, and what stands behind the last record, raises no event.
        """
        limit = self.gateway.reader.limits.head
        for _ in range(RECORDS):
            if len(self.buffer) > limit:
                break
            try:
                data = self.sock.recv(RECEIVE_SIZE)
            except SendFirst:
                self._blocked = True
                return False
            except BlockingIOError:
                self._more = False
                return False
            if not data:
                return True
            self.buffer = self.buffer + data if self.buffer else data
            # Without an event of its own, what an earlier one told may be still to come.
            if mask and not self.sock.has_pending():
                self._more = False
                return False
        self._more = True
        return False

    def _has_more(self) -> bool:
        return self._more or self.sock.has_unread()

    def _rest(self) -> None:
        if self.state is State.HANDSHAKE or self.state in AWAITING:
            # Only back from ``_wait_writable``: it goes on where it was.
            self.watch()
            self.gateway.lane.again(self)
        else:
            super()._rest()

    def _time_out(self) -> None:
        if self.state is State.HANDSHAKE and not self.gateway.is_draining:
            self._fail("timed out")
        super()._time_out()
        if self.state is State.RESPONSE:
            self.sock.truncated = True

    async def _wait_writable(self) -> bool:
        await wait_writable(self.sock)
        return True
