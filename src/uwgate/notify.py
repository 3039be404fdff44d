"""Messages to systemd's service manager (sd_notify(3))."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping

import trio


class Notifier:
    """Tells systemd what we do; silent where $NOTIFY_SOCKET is not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET")
        self._watchdog = environ.get("WATCHDOG_USEC", "")

    def ready(self, status: str) -> None:
        """Start or reload is done."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload begins."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1", "STATUS=finishing the running requests")

    async def feed_watchdog(self) -> None:
        """Say that we live, twice in each period that the unit's WatchdogSec allows."""
        if not self._watchdog.isdigit() or not int(self._watchdog):
            return
        while True:
            self._send("WATCHDOG=1")
            await trio.sleep(int(self._watchdog) / 1e6 / 2)

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        name = self._address
        if name.startswith("@"):
            name = "\0" + name[1:]
        # Nobody listening, or its queue full, must not disturb the service.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock,
        ):
            sock.sendto("\n".join(lines).encode(), name)
