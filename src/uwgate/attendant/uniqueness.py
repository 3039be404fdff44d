"""What may exist once on this machine, as long as somebody holds it."""

from __future__ import annotations

import hashlib
import socket


class Claim:
    """A name that only one has. It is free again when its holder is dead.

    The kernel knows it, as an abstract UNIX address: two processes of an instance, of which one
    ends and the other begins, need nothing in common for it.
    """

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
        self._socket: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(f"\0uwgate-claim-{digest[:40]}")
        except OSError:
            self.release()

    @property
    def is_held(self) -> bool:
        """Whether it is ours."""
        return self._socket is not None

    def release(self) -> None:
        """Let others have it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
