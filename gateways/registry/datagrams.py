"""Announcements, as they come in: UDP and UNIX datagrams, and who the kernel says sent them."""

from __future__ import annotations

import array
import contextlib
import logging
import math
import socket
import struct
import time
from collections.abc import Callable

import trio

from uwgate.subscriptions.admission import Credentials
from uwgate.subscriptions.packet import MAX_DATAGRAM

log = logging.getLogger("uwgate.registry")

BURST = 64  # datagrams of one socket until others get their turn
ERROR_PAUSE = 0.1  # seconds
SO_RXQ_OVFL = 40  # socket(7)
_LOST = struct.Struct("I")
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred (unix(7))
# Room for descriptors, too: what does not fit would be cut off without a sign, and leak nothing.
_ANCILLARY = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(64)

Hear = Callable[[bytes, Credentials | None], None]


class Inbox:
    """One socket. ``lost`` counts datagrams for which the kernel had no room (UDP only);
    ``lost_at`` is when that was last seen, in seconds of the monotonic clock.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.lost = 0
        self.lost_at = -math.inf
        self._sock = sock
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)

    async def run(self, hear: Hear) -> None:
        """Give all datagrams to ``hear``, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                for _ in range(BURST):
                    hear(*self._receive())
                await trio.lowlevel.checkpoint()
            except BlockingIOError:
                continue
            except OSError as error:
                log.error("cannot receive announcements: %s", error.strerror)
                await trio.sleep(ERROR_PAUSE)

    def _receive(self) -> tuple[bytes, Credentials | None]:
        # One byte more than may be, so that what is too long shows.
        datagram, ancillary, _, _ = self._sock.recvmsg(MAX_DATAGRAM + 1, _ANCILLARY)
        sender = None
        for level, kind, data in ancillary:
            if level != socket.SOL_SOCKET:
                continue
            if kind == socket.SCM_CREDENTIALS and len(data) >= _CREDENTIALS.size:
                sender = Credentials(*_CREDENTIALS.unpack_from(data))
            elif kind == SO_RXQ_OVFL and len(data) >= _LOST.size:
                self._note_lost(*_LOST.unpack_from(data))
            elif kind == socket.SCM_RIGHTS:
                _close(data)
        return datagram, sender

    def _note_lost(self, lost: int) -> None:
        """The kernel counts from the beginning of the socket."""
        if lost != self.lost:
            self.lost = lost
            self.lost_at = time.monotonic()


def _close(data: bytes) -> None:
    """Nobody asked for descriptors."""
    descriptors = array.array("i")
    descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    for fd in descriptors:
        socket.close(fd)
