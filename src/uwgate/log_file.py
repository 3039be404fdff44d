"""The log file: opened before anything starts, rotated by size, reopened on reload.

The file is always this process's standard output and error. Without ``log-maxsize`` and
``log-master`` children write to it directly; with one of them they write into a pipe that
the master copies from, whole lines at a time, so that a rotation cuts no line.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import time

import trio

from uwgate.binding import file_inode
from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings
from uwgate.identity import KEEP_OWNER, child_owner

log = logging.getLogger("uwgate.master")

MODE = 0o640
READ_SIZE = 1 << 18  # bytes taken from the pipe at a time
STUCK_LIMIT = 1.0  # seconds that a log reader may stop everybody
LONGEST_LINE = 1 << 16  # bytes; a longer line is written in pieces


def check_writable(path: str) -> None:
    """See that the file can be appended to; makes it if it is missing.

    Raises:
        ConfigError: it cannot.
    """
    os.close(_open(path, truncate=False))


class LogFile:
    """The target of everything that is logged. ``path`` None: standard error as it is."""

    def __init__(self, path: str | None, settings: Settings) -> None:
        """Open the file and make it this process's standard output and error.

        Raises:
            ConfigError: the file cannot be opened.
        """
        self.path = os.path.abspath(path) if path is not None else None
        self._max_size = settings.log.log_maxsize
        self._backup_name = settings.log.log_backupname
        is_given = settings.log.logfile_chown or settings.log.logto2 is not None
        self._owner = child_owner(settings) if is_given else KEEP_OWNER
        self._lost_bytes = 0
        if self.path is not None:
            self._switch_to(_open(self.path, truncate=settings.log.log_truncate))

    def write(self, text: str) -> None:
        """Append lines of this process's own log (``uwgate.conf.logs.Stream``)."""
        self.append(text.encode("utf-8", "backslashreplace"))

    def append(self, lines: bytes) -> None:
        """Append whole lines, and rotate the file where a line ends."""
        while lines:
            room = self._room()
            if room is None or len(lines) <= room:
                self._append(lines)
                break
            # Up to the end of the line that reaches the limit, then a new file.
            cut = lines.find(b"\n", max(room - 1, 0)) + 1 or len(lines)
            self._append(lines[:cut])
            lines = lines[cut:]
            self._rotate()

    def flush(self) -> None:
        """Nothing is held back."""

    def reopen(self) -> None:
        """Open the path anew if its file was moved or removed (logrotate does that)."""
        if self.path is None:
            return
        status = os.fstat(2)
        if file_inode(self.path) == (status.st_dev, status.st_ino):
            return
        try:
            self._switch_to(_open(self.path, truncate=False))
        except ConfigError as error:
            log.error("the log goes on into the old file: %s", error)

    def rotate(self) -> None:
        """Begin a new file; the old one gets the name of a backup."""
        if self.path is not None:
            self._rotate()

    def _room(self) -> int | None:
        """Bytes until the file is full; None if it never is."""
        if self.path is None or not self._max_size:
            return None
        return max(self._max_size - os.fstat(2).st_size, 0)

    def _rotate(self) -> None:
        assert self.path is not None
        backup = self._backup_name or _unused(f"{self.path}.{int(time.time())}")
        try:
            os.rename(self.path, backup)
            self._switch_to(_open(self.path, truncate=False))
        except (OSError, ConfigError) as error:
            self._max_size *= 2  # not again with every line
            log.error("cannot rotate %s: %s", self.path, error)

    def _append(self, data: bytes) -> None:
        if self._lost_bytes:  # say so where the gap is, if there is room again
            note = f"{self._lost_bytes} bytes of the log could not be written\n".encode()
            if not _write_all(2, note):
                self._lost_bytes = 0
        self._lost_bytes += _write_all(2, data)

    def _switch_to(self, fd: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
        if self._owner != KEEP_OWNER:
            try:
                os.fchown(2, *self._owner)
            except OSError as error:
                log.warning("the log file stays ours, not of %s: %s", self._owner, error.strerror)


class LogPipe:
    """What children write into when their log goes through the master."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._partial = b""
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    async def copy(self) -> None:
        """Copy lines to the file, for ever."""
        while True:
            await trio.lowlevel.wait_readable(self.read_end)
            self._copy_once()

    def close(self) -> None:
        """Copy what is left in the pipe, then close it."""
        os.close(self.write_end)
        while self._copy_once():
            pass
        if self._partial:
            self._file.append(self._partial + b"\n")
        os.close(self.read_end)

    def _copy_once(self) -> bool:
        try:
            data = os.read(self.read_end, READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            return False
        data = self._partial + data
        end = data.rfind(b"\n") + 1
        if len(data) - end > LONGEST_LINE:
            end = len(data)
        self._partial = data[end:]
        if end:
            self._file.append(data[:end])
        return True


def _open(path: str, *, truncate: bool) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if truncate else 0)
    try:
        return os.open(path, flags, MODE)
    except OSError as error:
        raise ConfigError(f"log file {path}: {error.strerror}") from error


def _write_all(fd: int, data: bytes) -> int:
    """Write ``data``; returns how many bytes are lost: a full disk must not stop the service."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody made our terminal or pipe non-blocking
            if not select.select([], [fd], [], STUCK_LIMIT)[1]:
                return len(view)
        except OSError:
            return len(view)
    return 0


def _unused(path: str) -> str:
    """``path``, or with .1, .2, ... behind it: two rotations may fall into one second."""
    candidate, number = path, 0
    while os.path.lexists(candidate):
        number += 1
        candidate = f"{path}.{number}"
    return candidate
