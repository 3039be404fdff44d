"""``writefifo:PATH TEXT``, the action of hooks that the zerg dance needs."""

from __future__ import annotations

from typing import NamedTuple

from uwgate.conf.errors import ConfigError

ACTION = "writefifo:"


class WriteFifo(NamedTuple):
    """What is to be written, and where."""

    path: str
    text: str


def parse_write_fifo(text: str) -> WriteFifo:
    """The value of ``hook-accepting1-once``.

    Raises:
        ConfigError: it is another action, or malformed.
    """
    if not text.startswith(ACTION):
        raise ConfigError(f"{text!r}: only {ACTION}PATH TEXT is offered here")
    path, blank, what = text.removeprefix(ACTION).partition(" ")
    if not path or not blank or not what.isascii():
        raise ConfigError(f"{text!r}: expected {ACTION}PATH TEXT")
    return WriteFifo(path, what)
