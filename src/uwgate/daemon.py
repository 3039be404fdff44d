"""Going to the background: the caller waits until the start has succeeded or failed."""

from __future__ import annotations

import contextlib
import os
import sys

from uwgate import exits


class Caller:
    """The process in the foreground that waits for our word."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self, code: int = exits.OK, message: str = "") -> None:
        """Let the caller exit with ``code`` and ``message`` on its stderr; only once."""
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):  # it may have been interrupted
            os.write(self._fd, bytes([code]) + message.encode(errors="replace")[:60_000])
        os.close(self._fd)
        self._fd = -1


def detach() -> Caller:
    """Continue in a new session without terminal; the calling process never returns.

    Standard output and error stay as they are until the log file replaces them.
    """
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    middle = os.fork()
    if middle:
        os.close(write_end)
        os.waitpid(middle, 0)
        _report(read_end)
    os.setsid()
    if os.fork():
        os._exit(exits.OK)
    os.close(read_end)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return Caller(write_end)


def _report(fd: int) -> None:
    """Wait for the daemon's word, pass it on and exit, without any clean-up of ours."""
    word = b""
    try:
        while data := os.read(fd, 65536):
            word += data
    except KeyboardInterrupt:
        os._exit(exits.INTERRUPTED)
    code = word[0] if word else exits.ERROR
    message = word[1:] or (b"" if word else b"uwgate ended while it started; see its log\n")
    with contextlib.suppress(OSError):
        os.write(2, message)
    os._exit(code)
