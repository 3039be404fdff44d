"""The master's FIFO: commands of one letter (spec/workers.md section 7).

Several can be named, and one of them is there at any time: digits choose which. That happens when
the last writer has closed the one before.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Callable, Sequence

import trio

from uwgate.binding import file_inode
from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings
from uwgate.conf.writefifo import parse_write_fifo

log = logging.getLogger("uwgate.master")

MODE = 0o600
READ_SIZE = 512  # bytes, each of them a command
MOST = 10  # one for each digit
MISSING = {
    "+": "the number of workers is fixed (processes)",
    "-": "the number of workers is fixed (processes)",
    "B": "there is no Emperor",
    "E": "there is no Emperor",
    "C": "there is no cheap mode",
    "c": "there is no chain reload; r replaces all workers, and starts the new ones first",
    "f": "the master is not forked; start another instance on a zergpool",
}


def paths(settings: Settings) -> list[str]:
    """The paths of all FIFOs; relative ones are below ``chdir``, as in uWSGI."""
    folder = settings.application.chdir or ""
    return [os.path.abspath(os.path.join(folder, one)) for one in settings.master.master_fifo]


def check_path(path: str) -> None:
    """See that a FIFO can be made; what stands there is left alone unless it is one.

    Raises:
        ConfigError: it cannot.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISFIFO(os.lstat(path).st_mode):
            raise ConfigError(f"master-fifo = {path}: exists, and is no FIFO; it is left alone")
    folder = os.path.dirname(path) or "."
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"master-fifo = {path}: no file can be made in {folder}")


class Fifo:
    """``obey`` gets each letter that is no digit; it must not block."""

    def __init__(self, paths: Sequence[str], obey: Callable[[str], None]) -> None:
        self._paths = paths
        self._obey = obey
        self._slot = 0
        self._path = ""  # of the file that is there now
        self._inode: tuple[int, int] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take commands, for ever. Started when the first file is there.

        When a file cannot be made, that is logged, and there are no commands any more.
        """
        fd = -1
        try:
            fd = self._open()
            task_status.started()
            while True:
                await self._take(fd)
                # The next one is opened first: whoever writes always finds a reader.
                old, fd = fd, self._open()
                _close(old)
        except OSError as error:
            log.error("master-fifo: no more commands: %s", error)
            if fd < 0:
                task_status.started()
        finally:
            if fd >= 0:
                _close(fd)
            self._remove()

    async def _take(self, fd: int) -> None:
        """Take what comes until the last writer has closed."""
        while True:
            await trio.lowlevel.wait_readable(fd)
            try:
                letters = os.read(fd, READ_SIZE)
            except BlockingIOError:
                continue
            if not letters:
                return
            for letter in letters.decode("ascii", "replace"):
                if letter in "0123456789":
                    self._choose(int(letter))
                elif letter in MISSING:
                    log.warning("master-fifo: %s: %s", letter, MISSING[letter])
                else:
                    self._obey(letter)

    def _choose(self, slot: int) -> None:
        if slot < len(self._paths):
            log.info("active master fifo is now %s", self._paths[slot])
            self._slot = slot
        else:
            log.warning("master-fifo: %d: there are %d, from 0", slot, len(self._paths))

    def _open(self) -> int:
        """Open the chosen file, which is made unless it is there and ours."""
        path = self._paths[self._slot]
        if path != self._path or file_inode(path) != self._inode:
            self._remove()
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISFIFO(os.lstat(path).st_mode):
                    raise FileExistsError(errno.EEXIST, "exists, and is no FIFO", path)
                os.unlink(path)
            os.mkfifo(path, MODE)
            self._path, self._inode = path, file_inode(path)
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def _remove(self) -> None:
        """Unlink our file, unless another instance has put its own there."""
        if self._inode is not None and file_inode(self._path) == self._inode:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        self._inode = None


def _close(fd: int) -> None:
    trio.lowlevel.notify_closing(fd)
    os.close(fd)


def write(path: str, text: str) -> None:
    """Write to a FIFO. That nobody reads there is no error, and is not waited for."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        log.info("writefifo %s: nobody there (%s)", path, error.strerror)


def run_hooks(settings: Settings) -> None:
    """Do what ``hook-accepting1-once`` says, in the order of the options."""
    for path, text in map(parse_write_fifo, settings.master.hook_accepting1_once):
        write(path, text)
