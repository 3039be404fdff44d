"""Waiting for descriptors, in the words of uWSGI's asynchronous API.

There are no other requests to switch to in a slot, so ``suspend`` just waits. What was
written for ``async`` mode runs unchanged, with a thread for each request.
"""

from __future__ import annotations

import select


class Waiting:
    """What a request waits for. ``ready`` is the descriptor that ended the last wait, or -1."""

    def __init__(self) -> None:
        self.ready = -1
        self._events: dict[int, int] = {}
        self._timeout: float | None = None

    def add_reader(self, fd: int, timeout: float) -> None:
        """Wait until ``fd`` is readable; at most ``timeout`` seconds, 0: for ever."""
        self._add(fd, select.POLLIN, timeout)

    def add_writer(self, fd: int, timeout: float) -> None:
        """Wait until ``fd`` is writable; at most ``timeout`` seconds, 0: for ever."""
        self._add(fd, select.POLLOUT, timeout)

    def wait(self) -> None:
        """Wait for the first of what was added, and forget the rest."""
        events, timeout = self._events, self._timeout
        self.forget()
        if not events:
            return
        poll = select.poll()
        for fd, mask in events.items():
            poll.register(fd, mask)
        found = poll.poll(None if timeout is None else timeout * 1000)
        if found:
            self.ready = found[0][0]

    def forget(self) -> None:
        """Wait for nothing."""
        self.ready = -1
        self._events = {}
        self._timeout = None

    def _add(self, fd: int, event: int, timeout: float) -> None:
        self._events[fd] = self._events.get(fd, 0) | event
        if timeout > 0:
            self._timeout = timeout if self._timeout is None else min(self._timeout, timeout)
