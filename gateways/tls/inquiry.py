"""How a gateway process asks its keeper for the certificates of a name.

The question is asked in the middle of a handshake, from a callback that cannot wait for
anything but the answer, so the whole process waits. The keeper is on the same machine and
only reads files; the time is limited all the same.
"""

from __future__ import annotations

import logging
import socket
import time

from uwgate.conf import control
from uwgate.conf.errors import ConfigError
from uwgate.gateways.tls import handover
from uwgate.gateways.tls.material import Material

log = logging.getLogger("uwgate.https")

PATIENCE = 1.0  # seconds
# Seconds in which a keeper that did not answer is not asked again: everybody waits for it.
PAUSE = 5.0


class Inquiry:
    """The gateway's end. ``sock`` is a SOCK_SEQPACKET socket to the keeper."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._number = 0
        self._silent_until = 0.0  # monotonic

    def fetch(self, name: str) -> Material | None:
        """What the keeper has for ``name``; None for nothing, or when it does not answer."""
        now = time.monotonic()
        if now < self._silent_until:
            return None
        self._number += 1
        deadline = now + PATIENCE
        try:
            self._sock.settimeout(PATIENCE)
            self._sock.send(control.encode("want", name=name, number=self._number))
            while True:
                self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
                packet, ancillary, _, _ = self._sock.recvmsg(
                    control.MAX_MESSAGE, handover.DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
                )
                if not packet:
                    return None  # the keeper is dead, and this process is about to drain
                message, attachment = handover.open_message(packet, ancillary)
                # The answer to a question that was given up may still come.
                if message.get("number") == self._number:
                    return None if attachment is None else Material.from_bytes(attachment)
        except TimeoutError:
            self._silent_until = time.monotonic() + PAUSE
            log.warning("%s: no certificates within %g s", name, PATIENCE)
        except (OSError, ValueError, ConfigError) as error:
            log.warning("%s: no certificates: %s", name, error)
        return None
