"""Counts of a cache in a file that several processes map, and the lock of its writers.

Each process adds to a row of its own, so nothing is counted twice or lost; a row belongs to
whoever holds the lock on its bytes, which the kernel takes back when a process dies. The next
owner goes on where the last one was. Writers queue for the lock on the whole file, and only for
so long: one that was stopped (SIGSTOP) in the middle makes others fail, not hang.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator

ROWS = 1024  # processes that count at the same time; the last row is for all others
ROW = 4  # numbers in a row
HITS, MISSES, FULL = 0, 1, 2
MODIFIED, ACCEPTED, REFUSED = 0, 1, 2  # in the first row, which is the file's own
SIZE = (ROWS + 1) * ROW * 8
FLOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux (fcntl(2))
PAUSE = 0.00005  # seconds before the second try for the lock; each further one takes longer
LONGEST_PAUSE = 0.002
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)


class BusyError(Exception):
    """Another process has written for too long."""


class Tally:
    """The counts of one cache, and its writers' lock. Not to be used across a fork."""

    def __init__(self, path: str, mode: int = 0o600) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        try:
            # Memory that is not there would be a SIGBUS later.
            os.posix_fallocate(self._fd, 0, SIZE)
            self._map = mmap.mmap(self._fd, SIZE)
        except BaseException:
            os.close(self._fd)
            raise
        self._numbers = memoryview(self._map).cast("Q")
        self._own = self._claim() * ROW
        self._threads = threading.Lock()  # flock is the process's, not the thread's

    def add(self, column: int) -> None:
        """Count one more."""
        self._numbers[self._own + column] += 1

    def total(self, column: int) -> int:
        """What all processes have counted."""
        return sum(self._numbers[ROW + column :: ROW])

    @property
    def modified(self) -> int:
        """When something was last changed, in seconds since the epoch; 0: never."""
        return self._numbers[MODIFIED]

    def set_modified(self, now: int) -> None:
        """Something was changed."""
        self._numbers[MODIFIED] = now

    @property
    def accepted(self) -> int:
        """Changes of other instances that were followed."""
        return self._numbers[ACCEPTED]

    @property
    def refused(self) -> int:
        """Datagrams that were not."""
        return self._numbers[REFUSED]

    def count_change(self, *, accepted: bool) -> None:
        """A datagram came in; one process counts them."""
        self._numbers[ACCEPTED if accepted else REFUSED] += 1

    @contextlib.contextmanager
    def writing(self, patience: float) -> Iterator[None]:
        """Be the only writer.

        Raises:
            BusyError: others did not let go within ``patience`` seconds.
        """
        if not self._threads.acquire(timeout=patience):
            raise BusyError(f"another thread writes for more than {patience:g} s")
        try:
            self._lock(patience)
            try:
                yield
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        """Close the file. What was counted stays."""
        self._numbers.release()
        self._map.close()
        os.close(self._fd)

    def _lock(self, patience: float) -> None:
        pause, deadline = PAUSE, 0.0
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in _BUSY:
                    raise
            now = time.monotonic()
            deadline = deadline or now + patience
            if now >= deadline:
                raise BusyError(f"another process writes for more than {patience:g} s")
            time.sleep(min(pause, deadline - now))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _claim(self) -> int:
        """A row that nobody else has; the last one, where counts may get lost, if there is none."""
        for row in range(1, ROWS):
            request = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, row * ROW * 8, ROW * 8, 0)
            try:
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, request)
            except OSError as error:
                if error.errno not in _BUSY:
                    raise
            else:
                return row
        return ROWS
