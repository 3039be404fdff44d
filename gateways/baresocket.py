"""Sockets that are made and closed once for every request.

Half of what it takes to accept a connection with ``socket.socket.accept`` is Python that makes
enums of the family and the type, and keeps count of files made of the socket.
"""

from __future__ import annotations

import _socket
import socket


class BareSocket(socket.socket):
    """A socket without ``makefile``, made and closed by the C type below alone."""

    __slots__ = ()

    __init__ = _socket.socket.__init__
    close = _socket.socket.close


def accept(listener: socket.socket, family: int) -> tuple[BareSocket, object]:
    """A connection, which does not block, and its peer's address.

    ``family`` is that of the listener, known to whoever accepts more than once.

    Raises:
        OSError: as ``listener.accept``.
    """
    fd, address = listener._accept()  # type: ignore[attr-defined]  # what ``accept`` is made of
    sock = BareSocket(family, socket.SOCK_STREAM, 0, fd)
    sock.setblocking(False)
    return sock, address
