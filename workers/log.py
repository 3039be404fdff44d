"""Log lines of spawner and workers, straight to descriptor 2.

The logging module is the application's: it may reconfigure or silence it as it likes.
"""

from __future__ import annotations

import time

from uwgate.conf.access_log import write

_date: str | None = None


def configure(date: str | None) -> None:
    """Put the date in front of lines: a strftime format; empty means ctime's, None no date."""
    global _date
    _date = date


def say(text: str) -> None:
    """Write ``text`` as one line (or several), with one write."""
    if _date is not None:
        stamp = time.strftime(_date) if _date else time.ctime()
        text = f"{stamp} - {text}"
    write((text + "\n").encode("utf-8", "backslashreplace"))
