"""Connections that a worker opens itself, each wait with an end."""

from __future__ import annotations

import socket
import time

from uwgate.conf.address import AddressKind, parse_backend
from uwgate.conf.errors import BackendError, BackendTimeout, ConfigError
from uwgate.workers.connection import Connection

PATIENCE = 60.0  # seconds for each wait, where socket-timeout is off
BUSY_PAUSE = 0.02  # seconds until a UNIX socket whose accept queue was full is tried again


def dial(text: str, timeout: float) -> Connection:
    """A connection to an address, within ``timeout`` seconds, which it keeps for its waits.

    Raises:
        BackendError, BackendTimeout: there is none.
    """
    try:
        address = parse_backend(text)
    except ConfigError as error:
        raise BackendError(text, str(error), sent=False) from error
    try:
        if address.kind is AddressKind.TCP:
            # Names are looked up by the system's resolver, which has time-outs of its own.
            sock = socket.create_connection((address.host or "127.0.0.1", address.port), timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            sock = _dial_unix(address.sun_path, timeout)
    except TimeoutError as error:
        raise BackendTimeout(text, f"no connection within {timeout:g} s", sent=False) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise BackendError(text, f"no connection: {reason}", sent=False) from error
    return Connection(sock, timeout)


def _dial_unix(name: str, timeout: float) -> socket.socket:
    deadline = time.monotonic() + timeout
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(name)
            except BlockingIOError:  # its accept queue is full, and nothing tells when it is not
                if time.monotonic() >= deadline:
                    raise TimeoutError from None
                time.sleep(BUSY_PAUSE)
            else:
                return sock
    except BaseException:
        sock.close()
        raise
