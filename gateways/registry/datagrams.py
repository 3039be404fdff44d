"""Announcements, as they come in: UDP and UNIX datagrams, and who the kernel says sent them."""

from __future__ import annotations

import array
import logging
import socket
import struct
from collections.abc import Callable

import trio

from uwgate.subscriptions.admission import Credentials
from uwgate.subscriptions.packet import MAX_DATAGRAM

log = logging.getLogger("uwgate.registry")

BURST = 64  # datagrams of one socket until others get their turn
ERROR_PAUSE = 0.1  # seconds
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred (unix(7))
# Room for descriptors, too: what does not fit would be cut off without a sign, and leak nothing.
_ANCILLARY = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(64)

Hear = Callable[[bytes, Credentials | None], None]


async def receive(sock: socket.socket, hear: Hear) -> None:
    """Give all datagrams of a socket to ``hear``, until cancelled."""
    sock.setblocking(False)
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            for _ in range(BURST):
                hear(*_receive(sock))
            await trio.lowlevel.checkpoint()
        except BlockingIOError:
            continue
        except OSError as error:
            log.error("cannot receive announcements: %s", error.strerror)
            await trio.sleep(ERROR_PAUSE)


def _receive(sock: socket.socket) -> tuple[bytes, Credentials | None]:
    # One byte more than may be, so that what is too long shows.
    datagram, ancillary, _, _ = sock.recvmsg(MAX_DATAGRAM + 1, _ANCILLARY)
    sender = None
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_CREDENTIALS and len(data) >= _CREDENTIALS.size:
            sender = Credentials(*_CREDENTIALS.unpack_from(data))
        elif kind == socket.SCM_RIGHTS:
            _close(data)
    return datagram, sender


def _close(data: bytes) -> None:
    """Nobody asked for descriptors."""
    descriptors = array.array("i")
    descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    for fd in descriptors:
        socket.close(fd)
