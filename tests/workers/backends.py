"""A backend in a thread that says what a test has written for it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 60.0  # seconds


class Backend:
    """Listens on a UNIX socket, serves one connection after the other with the same bytes.

    ``received``: what came on the last one before it answered, which it does when ``until`` is
    in there.
    """

    def __init__(self, folder: Path, reply: bytes, *, until: bytes = b"") -> None:
        self.address = str(folder / "backend.sock")
        self.received = b""
        self._reply = reply
        self._until = until
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE)
                data = b""
                while not data or self._until not in data:
                    more = connection.recv(65536)
                    if not more:
                        break
                    data += more
                self.received = data
                connection.sendall(self._reply)


@contextlib.contextmanager
def backend(folder: Path, reply: bytes, *, until: bytes = b"") -> Iterator[Backend]:
    """A backend for the length of a block."""
    one = Backend(folder, reply, until=until)
    try:
        yield one
    finally:
        one.close()
