"""What subscription servers answer: one datagram to ``notify-socket`` for each new node.

Anybody who may write to the socket can send anything, so lines are cut, and few in a second.
"""

from __future__ import annotations

import logging
import math
import os

import trio

from uwgate import identity
from uwgate.binding import Bound
from uwgate.conf.address import Address, AddressKind
from uwgate.conf.errors import ConfigError
from uwgate.conf.settings import Settings
from uwgate.datagrams import bind_datagrams

log = logging.getLogger("uwgate.announce")

MAX_NOTIFY = 101  # bytes of a path; uWSGI takes less than 102 (spec/subscriptions.md section 2.1)
MAX_TEXT = 1024  # bytes of an answer; a key and an address have 255 each
MAX_LINES = 20  # in the log, each second


class Acknowledgements:
    """The socket of ``notify-socket``, kept over reloads; without the option there is none."""

    def __init__(self) -> None:
        self._bound: Bound | None = None
        self._opened = trio.Event()
        self._second = -math.inf
        self._lines = 0

    def open(self, settings: Settings) -> None:
        """Bind what the settings name, and give the rest back.

        Raises:
            ConfigError: the address cannot be had. What was open stays open.
        """
        path = settings.subscribe.notify_socket
        if path is not None:
            path = os.path.abspath(path)
        if self._bound is not None and self._bound.name == path and self._bound.is_in_place:
            return
        bound = None if path is None else _bind(path, settings)
        self.close()
        self._bound = bound
        self._opened.set()

    async def run(self) -> None:
        """Log what arrives, for ever."""
        while True:
            self._opened = trio.Event()
            bound = self._bound
            if bound is None:
                await self._opened.wait()
                continue
            try:
                await trio.lowlevel.wait_readable(bound.socket)
            except trio.ClosedResourceError:
                continue  # a reload has another one
            try:
                text = bound.socket.recv(MAX_TEXT)
            except OSError:
                continue
            self._log(text)

    def close(self) -> None:
        """Close the socket and remove its file."""
        if self._bound is not None:
            if trio.lowlevel.in_trio_run():
                trio.lowlevel.notify_closing(self._bound.socket)
            self._bound.socket.close()
            self._bound.remove_file()
            self._bound = None

    def _log(self, text: bytes) -> None:
        now = math.floor(trio.current_time())
        if now != self._second:
            if self._lines > MAX_LINES:
                log.warning("%d answers more were not logged", self._lines - MAX_LINES)
            self._second = now
            self._lines = 0
        self._lines += 1
        if self._lines <= MAX_LINES:
            shown = text.decode("utf-8", "replace").rstrip()
            log.info("%s", "".join(one if one.isprintable() else "?" for one in shown))


def _bind(path: str, settings: Settings) -> Bound:
    size = len(os.fsencode(path))
    if size > MAX_NOTIFY:
        raise ConfigError(f"notify-socket = {path}: path of {size} bytes, limit {MAX_NOTIFY}")
    address = Address(kind=AddressKind.UNIX, path=path)
    try:
        return bind_datagrams(address, settings.sockets, identity.socket_owner(settings))
    except ConfigError as error:
        raise ConfigError(f"notify-socket = {error}") from error
