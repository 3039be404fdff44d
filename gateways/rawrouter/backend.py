"""The backend of a session whose bytes nobody reads: connected is all that it has to be."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

from uwgate.gateways.search import Search

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts
    from uwgate.gateways.rawrouter.session import Session


class Backend(Search):
    """Tells the session ``connected``, ``backend_ready`` from then on, or ``unserved``."""

    __slots__ = ("_client",)

    WRITABLE = True

    def __init__(self, session: Session, attempts: Attempts) -> None:
        super().__init__(session, session.gateway, attempts)
        self._client = session

    def _hand_over(self, sock: socket.socket) -> None:
        # Nothing may be sent, for the client may have nothing to say. But who has a
        # peer is connected (getpeername(2)), on loopback before ``connect`` returns.
        try:
            sock.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code)) from None
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None

    def _found_it(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # a UNIX socket has no such option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.connected(sock)
