"""The word to a node that it is known now, where it asked for one (spec/subscriptions.md 10)."""

from __future__ import annotations

import contextlib
import socket

from uwgate.subscriptions.change import Joined

MOST = 1000  # a second; anybody may send announcements that name somebody else's socket


class Acknowledgements:
    """``tick`` once a second makes room for more."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sent = 0

    def send(self, joined: Joined) -> None:
        """Tell a new node; nothing is sent twice, and nobody waits for it."""
        path = joined.node.notify
        if path.startswith("/") and self._sent < MOST:
            self._sent += 1
            with contextlib.suppress(OSError):
                self._sock.sendto(joined.acknowledgement, path)

    def tick(self) -> None:
        """A second has passed."""
        self._sent = 0

    def close(self) -> None:
        """Send no more."""
        self._sock.close()
