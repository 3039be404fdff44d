"""Connections to backends."""

from __future__ import annotations

import errno
import os
import socket

import trio

from uwgate.conf.address import Address, AddressKind
from uwgate.gateways import streams

BUSY_PAUSE = 0.02  # seconds until a UNIX socket whose accept queue was full is tried again


class ConnectError(Exception):
    """There is no connection; the text says why.

    ``is_busy``: the backend is there, but its accept queue stayed full.
    """

    def __init__(self, reason: str, *, is_busy: bool = False) -> None:
        super().__init__(reason)
        self.is_busy = is_busy


async def connect(address: Address, limit: float, patience: float) -> socket.socket:
    """A connection to ``address``, within ``limit`` seconds.

    ``patience`` are seconds that a full accept queue is worth waiting for.

    Raises:
        ConnectError: refused, unreachable, or not in time.
    """
    try:
        with trio.fail_after(limit):
            if address.kind is AddressKind.TCP:
                return await _connect_tcp(address)
            return await _connect_unix(address, patience)
    except trio.TooSlowError:
        raise ConnectError(f"no connection within {limit:g} s") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConnectError(f"no connection: {reason}") from error


async def _connect_tcp(address: Address) -> socket.socket:
    found = await trio.socket.getaddrinfo(
        address.host or "127.0.0.1", address.port, type=socket.SOCK_STREAM
    )
    failure: OSError | None = None
    for family, kind, protocol, _, where in found:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                sock.connect(where)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code)) from None
            return sock
        except OSError as error:
            failure = error
            streams.close(sock)
        except BaseException:
            streams.close(sock)
            raise
    raise failure or OSError(errno.EADDRNOTAVAIL, "no address")


async def _connect_unix(address: Address, patience: float) -> socket.socket:
    name = address.sun_path
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    until = trio.current_time() + patience
    try:
        while True:
            try:
                sock.connect(name)
                return sock
            except BlockingIOError:  # its accept queue is full: somebody is there, but busy
                left = until - trio.current_time()
                if left <= 0.0:
                    raise ConnectError("its accept queue is full", is_busy=True) from None
                await trio.sleep(min(BUSY_PAUSE, left))
    except BaseException:
        sock.close()
        raise
