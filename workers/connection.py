"""A connection that a slot serves: bytes in and out, each wait with an end."""

from __future__ import annotations

import os
import select
import socket

RECEIVE_SIZE = 65536  # bytes asked for in one recv
SENDFILE_SIZE = 1 << 20  # bytes in one sendfile; between two of them a stuck client is noticed


class Connection:
    """A non-blocking socket, read and written by one thread.

    ``timeout`` is the number of seconds without progress after which a wait ends in a
    ``TimeoutError``; None waits for ever. ``buffer`` holds bytes that were received and not
    used yet. ``broken`` is True once a write has failed: the peer is gone.
    """

    __slots__ = ("broken", "buffer", "fd", "sock", "timeout")

    def __init__(self, sock: socket.socket, timeout: float | None) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.timeout = timeout
        self.buffer = b""
        self.broken = False

    def receive(self) -> bytes:
        """The next bytes of the peer; empty at its end of file.

        Raises:
            TimeoutError: none came in time.
            OSError: the connection broke.
        """
        try:
            return self.sock.recv(RECEIVE_SIZE)
        except BlockingIOError:
            self.wait(select.POLLIN, self.timeout)
            return self.sock.recv(RECEIVE_SIZE)

    def send(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            OSError: the peer is gone, or took nothing for ``timeout`` seconds.
        """
        try:
            sent = self.sock.send(data)
            if sent != len(data):
                self._send_rest(memoryview(data)[sent:])
        except BlockingIOError:
            self._send_rest(memoryview(data))
        except OSError:
            self.broken = True
            raise

    def send_parts(self, first: bytes, second: bytes) -> None:
        """Send two pieces one behind the other, without a copy where ``second`` is large.

        Raises:
            OSError: as ``send``.
        """
        if len(second) < RECEIVE_SIZE:
            self.send(first + second)
            return
        try:
            sent = self.sock.sendmsg((first, second))
        except BlockingIOError:
            sent = 0
        except OSError:
            self.broken = True
            raise
        if sent < len(first):
            self._send_rest(memoryview(first)[sent:])
            sent = len(first)
        self._send_rest(memoryview(second)[sent - len(first) :])

    def send_file(self, file: int, offset: int, count: int) -> int:
        """Send up to ``count`` bytes of the open file; returns how many there were.

        Raises:
            OSError: as ``send``.
        """
        left = count
        try:
            while left:
                try:
                    sent = os.sendfile(self.fd, file, offset, min(left, SENDFILE_SIZE))
                except BlockingIOError:
                    self.wait(select.POLLOUT, self.timeout)
                    continue
                if not sent:
                    break
                offset += sent
                left -= sent
        except OSError:
            self.broken = True
            raise
        return count - left

    def wait(self, events: int, timeout: float | None) -> None:
        """Wait until the socket is ready.

        Raises:
            TimeoutError: it is not within ``timeout`` seconds.
        """
        poll = select.poll()
        poll.register(self.fd, events)
        if not poll.poll(None if timeout is None else max(timeout, 0) * 1000):
            raise TimeoutError(f"nothing moved for {timeout:g} s")

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def _send_rest(self, view: memoryview) -> None:
        try:
            while view:
                try:
                    view = view[self.sock.send(view) :]
                except BlockingIOError:
                    self.wait(select.POLLOUT, self.timeout)
        except OSError:
            self.broken = True
            raise
