"""uWSGI signals, 0 to 255: handlers of the application that run in workers (spec/workers.md 28).

Whoever raises one puts a byte into a queue: that of all workers, from which the next slot without
a request takes it, or a worker's own. Handlers are known to the process that registered them, and
to what it forks later; where a signal goes is known to all.
"""

from __future__ import annotations

import mmap
import socket
import traceback
from collections.abc import Callable

from uwgate.workers.log import say

COUNT = 256
NOWHERE, ANY, ALL = 0, 1, 2
FIRST = 3  # worker 1 alone; the next one is worker 2
MOST_WORKERS = 0xFFFF - FIRST
TARGETS = {"": ANY, "worker": ANY, "worker0": ANY, "workers": ALL, "active-workers": ALL}

Handler = Callable[[int], object]


class Signals:
    """Made before the workers are forked; ``workers`` is their number."""

    def __init__(self, workers: int) -> None:
        self._targets = memoryview(mmap.mmap(-1, 2 * COUNT)).cast("B").cast("H")
        self._handlers: dict[int, Handler] = {}
        self._shared = _queue()
        self._own = [_queue() for _ in range(workers)]

    def register(self, number: int, target: str, handler: Handler) -> None:
        """Let ``handler`` run when a signal is raised.

        Raises:
            ValueError: there is no such signal or target.
        """
        check(number)
        place = TARGETS.get(target)
        if place is None:
            worker = target.removeprefix("worker")
            if worker == target or not worker.isdigit() or int(worker) > MOST_WORKERS:
                raise ValueError(f"there is no target {target!r} for signals here")
            place = FIRST + int(worker) - 1
        self._handlers[number] = handler
        self._targets[number] = place

    def is_registered(self, number: int) -> bool:
        """Whether somebody has registered a handler."""
        check(number)
        return self._targets[number] != NOWHERE

    def throw(self, number: int) -> bool:
        """Raise a signal; False if nobody has registered it, or its queue is full."""
        check(number)
        place = self._targets[number]
        if place == NOWHERE:
            say(f"signal {number}: no handler is registered")
            return False
        queues = {ANY: [self._shared], ALL: self._own}.get(place)
        if queues is None:
            queues = self._own[place - FIRST : place - FIRST + 1]
            if not queues:
                say(f"signal {number}: there is no worker {place - FIRST + 1}")
        thrown = bool(queues)
        for _, write in queues:
            try:
                write.send(bytes((number,)))
            except BlockingIOError:
                say(f"signal {number}: the queue is full")
                thrown = False
        return thrown

    def descriptors(self, worker: int) -> tuple[int, int]:
        """What becomes readable for a worker, counted from 1, when there is a signal."""
        return self._shared[0].fileno(), self._own[worker - 1][0].fileno()

    def take(self, fd: int) -> None:
        """Run the handler of one signal from this queue, if nobody was faster."""
        queue = next(read for read, _ in (self._shared, *self._own) if read.fileno() == fd)
        try:
            (number,) = queue.recv(1)
        except BlockingIOError:
            return
        handler = self._handlers.get(number)
        if handler is None:
            say(f"signal {number}: this worker knows no handler of it")
            return
        try:
            handler(number)
        except Exception:  # the application's: the worker goes on
            say(f"signal {number}: {traceback.format_exc()}")

    def close(self) -> None:
        """Nobody raises or takes one any more."""
        for queue in (self._shared, *self._own):
            for sock in queue:
                sock.close()


def check(number: int) -> None:
    """See that it can be a signal.

    Raises:
        ValueError: it cannot.
    """
    if not 0 <= number < COUNT:
        raise ValueError(f"signal {number}: expected 0 to {COUNT - 1}")


def _queue() -> tuple[socket.socket, socket.socket]:
    read, write = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    read.setblocking(False)
    write.setblocking(False)
    return read, write
