"""Which of several registries reads announcements and decides: at most one.

Who holds a lock on the registry's socket leads. Old and new registry have that socket from the
master; the kernel gives the lock free when its holder dies (fcntl(2), "Advisory record locking":
it belongs to the process, and would also go with any other descriptor of the socket that
the process closes).
"""

from __future__ import annotations

import fcntl
import socket


def try_lead(sock: socket.socket) -> bool:
    """Lead from now on, unless another process does."""
    try:
        fcntl.lockf(sock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop_leading(sock: socket.socket) -> None:
    """Let another process lead."""
    fcntl.lockf(sock, fcntl.LOCK_UN)
