"""The highest term of a legion, kept over restarts in ``legion-state-dir``.

It lets terms go on rising when the time of day was set back while all nodes were down.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import trio

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.legion.statement import MAX_TERM

log = logging.getLogger("uwgate.legion")

UNSAFE = re.compile(r"[^\w.-]")
MAX_DIGITS = 20


class TermFile:
    """The file of one legion. ``folder`` None: nothing is kept."""

    def __init__(self, folder: str | None, legion: str) -> None:
        self._path = None
        if folder is not None:
            # Names of legions may hold anything; two that differ must not share a file.
            encoded = UNSAFE.sub(lambda match: f"%{match[0].encode().hex()}", legion)
            self._path = Path(folder, f"{encoded}.term")
        self._wanted = 0
        self._changed = trio.Event()

    def read(self) -> int:
        """The kept term; 0 if there is none.

        Raises:
            ConfigError: the file cannot be read, or holds something else.
        """
        if self._path is None:
            return 0
        try:
            text = self._path.read_text("ascii", "replace").strip()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise ConfigError(f"legion-state-dir: {error}") from error
        if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
            raise ConfigError(f"legion-state-dir: {self._path} holds no term: {text[:40]!r}")
        return min(int(text), MAX_TERM)

    def check_writable(self) -> None:
        """Whether a term can be kept, by the user that this process is now.

        Raises:
            ConfigError: it cannot.
        """
        if self._path is not None and not os.access(self._path.parent, os.W_OK | os.X_OK):
            raise ConfigError(
                f"legion-state-dir = {self._path.parent}: no directory that uid"
                f" {os.geteuid()} may write to"
            )

    def keep(self, term: int) -> None:
        """Have ``run`` write this term soon."""
        self._wanted = term
        self._changed.set()

    async def run(self) -> None:
        """Write what ``keep`` is given, for ever."""
        if self._path is None:
            await trio.sleep_forever()
        assert self._path is not None
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            try:
                await trio.to_thread.run_sync(write, self._path, self._wanted)
            except OSError as error:
                log.error("the term %d cannot be kept: %s", self._wanted, error)


def write(path: Path, term: int) -> None:
    """Replace the file; either the old or the new content is there at any time."""
    temporary = path.with_suffix(".new")
    with temporary.open("w") as file:
        file.write(f"{term}\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
