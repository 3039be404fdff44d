"""A backend for all kinds of gateways: it answers whatever comes first."""

from __future__ import annotations

import contextlib
import socket
import threading

from .processes import PATIENCE


class Backend:
    """Says its name to everybody, at a path or a port of its own."""

    def __init__(self, name: str, path: str | None = None) -> None:
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(name) + name.encode()
        if path is None:
            self.sock = socket.create_server(("127.0.0.1", 0))
            self.address = "{}:{}".format(*self.sock.getsockname())
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(path)
            self.sock.listen()
            self.address = path
        self.heads: list[bytes] = []  # the first four bytes of what has come
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.sock.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(PATIENCE)
                    self.heads.append(connection.recv(65536)[:4])
                    connection.sendall(self._answer)

    def close(self) -> None:
        if self._thread.is_alive():
            # A thread in accept does not notice that its socket is closed.
            self.sock.shutdown(socket.SHUT_RDWR)
            self._thread.join(PATIENCE)
            self.sock.close()
