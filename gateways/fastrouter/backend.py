"""The backend of a fastrouter session: connected, and given the first bytes.

A connection is tried by sending: on loopback it is there before ``connect`` returns, in spite of
what that says.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from uwgate.gateways.search import Search
from uwgate.gateways.wire.uwsgi import HEADER

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts
    from uwgate.gateways.corerouter.target import Target
    from uwgate.gateways.fastrouter.session import Session

IPPROTO_TCP: Final = int(socket.IPPROTO_TCP)
TCP_DEFER_ACCEPT: Final = int(socket.TCP_DEFER_ACCEPT)


class Backend(Search):
    """``data`` is what is handed over first: a packet, and what came behind it.

    Tells the session ``connected``, ``backend_ready`` from then on, or ``unserved``.
    """

    __slots__ = ("_client", "_data", "_packet", "_sent")

    def __init__(self, session: Session, attempts: Attempts, data: bytes) -> None:
        # For every request: super() takes its time.
        Search.__init__(self, session, session.gateway, attempts)
        self._client = session
        self._data = data
        self._packet = b""  # with the modifiers that the target wants
        self._sent = 0  # bytes of it

    def ready(self, mask: int) -> None:
        """See ``lane.Member``."""
        if self._has_it:
            self._client.backend_ready(mask)
        else:
            Search.ready(self, mask)

    def _objection(self, target: Target) -> str:
        if target.speaks_http:
            return "it wants HTTP, and the fastrouter has uwsgi packets"
        return ""

    def _prepare(self, sock: socket.socket) -> None:
        # On a socket that connects, Linux then keeps the third segment of the handshake until there
        # is something to send. We speak first: it goes with the packet, and wakes the backend when
        # there is something to read.
        sock.setsockopt(IPPROTO_TCP, TCP_DEFER_ACCEPT, 1)

    def _hand_over(self, sock: socket.socket) -> None:
        data = self._data
        target = self.attempts.target
        assert target is not None
        modifier1, modifier2 = target.modifier1, target.modifier2
        if modifier1 is None:
            modifier1 = data[0]
        if modifier2 is None:
            modifier2 = data[3]
        if modifier1 != data[0] or modifier2 != data[3]:
            data = HEADER.pack(modifier1, data[1] + (data[2] << 8), modifier2) + data[4:]
        self._packet = data
        self._sent = sock.send(data)

    def _found_it(self, sock: socket.socket) -> None:
        packet = self._packet
        self._packet = self._data = b""
        self._client.connected(sock, packet, self._sent)
