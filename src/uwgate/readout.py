"""Prints what a socket says, such as a stats server (``--connect-and-read``)."""

from __future__ import annotations

import socket
from typing import BinaryIO

from uwgate.conf.address import AddressKind, parse_backend
from uwgate.conf.errors import ConfigError

LIMIT = 4.0  # seconds for the connection, and for each next piece; uWSGI's socket-timeout
RECEIVE_SIZE = 65536


def print_socket(text: str, out: BinaryIO) -> None:
    """Copy everything that the socket at an address says to ``out``.

    Raises:
        ConfigError: the text is no address, nobody is there, or says nothing for too long.
    """
    try:
        with _connect(text) as sock:
            while data := sock.recv(RECEIVE_SIZE):
                out.write(data)
    except TimeoutError:
        raise ConfigError(f"{text}: nothing for {LIMIT:g} s") from None
    except OSError as error:
        raise ConfigError(f"{text}: {error.strerror or error}") from error
    finally:
        out.flush()


def _connect(text: str) -> socket.socket:
    address = parse_backend(text)
    if address.kind is AddressKind.TCP:
        return socket.create_connection((address.host or "127.0.0.1", address.port), LIMIT)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(LIMIT)
        sock.connect(address.sun_path)
    except BaseException:
        sock.close()
        raise
    return sock
