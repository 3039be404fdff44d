"""How every process of ours writes its log: one event, one line, on standard error."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Protocol

from uwgate.conf.groups.log import LogOptions

DEFAULT_DATE = "%a %b %d %H:%M:%S %Y"  # what ctime(3) prints, as uWSGI does
COLOURS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}


class LineFormatter(logging.Formatter):
    """``[date - ]message``; warnings and errors say so in front of the message.

    ``date`` is a strftime format, None for no date.
    """

    def __init__(self, date: str | None, *, coloured: bool) -> None:
        super().__init__()
        self._date = date
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno >= logging.WARNING:
            word = record.levelname.lower()
            colour = COLOURS.get(record.levelno) if self._coloured else None
            text = f"\x1b[{colour}m{word}:\x1b[0m {text}" if colour else f"{word}: {text}"
        if self._date is not None:
            text = f"{time.strftime(self._date, time.localtime(record.created))} - {text}"
        return text


class Stream(Protocol):
    """What log lines are written to, each with one call."""

    def write(self, text: str, /) -> object:
        """Write a line with its end."""

    def flush(self) -> object:
        """Write what is still held."""


def configure(options: LogOptions, stream: Stream | None = None) -> None:
    """Send this process's log to descriptor 2, or to ``stream``.

    Calling it again replaces what was set.
    """
    date = options.log_date
    if date in ("", "true"):
        date = DEFAULT_DATE
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter(date, coloured=wants_colour(2, os.environ)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


def wants_colour(fd: int, environ: Mapping[str, str]) -> bool:
    """Whether text for this descriptor may be coloured (https://no-color.org)."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and os.isatty(fd)
