"""Pid files: who writes one, and who is sent a signal through one."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from pathlib import Path

from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings

log = logging.getLogger("uwgate.master")

MODE = 0o644


def paths(settings: Settings) -> list[str]:
    """Where pid files are to be; relative paths of ``pidfile2`` are below ``chdir``."""
    first, second = settings.master.pidfile, settings.master.pidfile2
    paths = [] if first is None else [os.path.abspath(first)]
    if second is not None:
        paths.append(os.path.abspath(os.path.join(settings.application.chdir or "", second)))
    return paths


def check_writable(path: str) -> None:
    """See that a pid file can be written; warn if its owner lives.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, MODE))
    except OSError as error:
        raise ConfigError(f"pidfile {path}: {error.strerror}") from error
    with contextlib.suppress(ConfigError):
        other = read(path)
        if other != os.getpid() and _is_ours(other):
            log.warning("%s names another uwgate that runs (pid %d): overwritten", path, other)


def write(path: str) -> None:
    """Write our pid.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "w") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise ConfigError(f"pidfile {path}: {error.strerror}") from error


def write_again(settings: Settings) -> None:
    """Write all of them once more; what cannot be written is logged."""
    for path in paths(settings):
        try:
            write(path)
        except ConfigError as error:
            log.error("%s", error)


def remove(path: str) -> None:
    """Remove the file, unless it has become another process's."""
    with contextlib.suppress(ConfigError, OSError):
        if read(path) == os.getpid():
            os.unlink(path)


def read(path: str) -> int:
    """The pid in a file.

    Raises:
        ConfigError: there is no such file, or no pid in it.
    """
    try:
        text = Path(path).read_text(errors="replace").strip()
    except OSError as error:
        raise ConfigError(f"pidfile {path}: {error.strerror}") from error
    if not text.isascii() or not text.isdigit() or int(text) < 2:
        raise ConfigError(f"pidfile {path}: {text[:40]!r} is no process number")
    return int(text)


def send_signal(path: str, number: signal.Signals) -> None:
    """Send a signal to the process that a pid file names.

    Raises:
        ConfigError: nobody is there, or it is not ours to signal.
    """
    pid = read(path)
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        raise ConfigError(f"pidfile {path}: no process {pid} runs; the file is stale") from None
    except PermissionError:
        raise ConfigError(f"pidfile {path}: no permission to signal process {pid}") from None


def _is_ours(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"uwgate" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
