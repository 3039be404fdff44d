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
