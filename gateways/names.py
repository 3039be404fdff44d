"""Where the sockets of a backend's address are: IP addresses at once, host names by asking.

Asking takes a thread (getaddrinfo blocks), so what was found is believed for a while.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, NamedTuple

import trio

from uwgate.conf.address import Address, AddressKind

BELIEVED = 5.0  # seconds
MOST = 4096  # addresses that are remembered
ABSTRACT = AddressKind.ABSTRACT


class Where(NamedTuple):
    """A family of sockets, and what ``connect`` wants."""

    family: int
    address: Any


class Names:
    """What one process knows."""

    def __init__(self) -> None:
        self._fixed: dict[tuple[str, int], tuple[Where, ...]] = {}
        self._found: dict[tuple[str, int], tuple[float, tuple[Where, ...]]] = {}
        self._asked: dict[tuple[str, int], trio.Event] = {}

    def find(self, address: Address, now: float) -> tuple[Where, ...] | None:
        """Where to connect, in order; None: ``look_up`` has to be awaited first."""
        if address.kind is ABSTRACT:
            return (Where(socket.AF_UNIX, address.sun_path),)
        name = (address.path or address.host, address.port)
        known = self._fixed.get(name)
        if known is not None:
            return known
        found = self._found.get(name)
        if found is not None:
            return found[1] if found[0] > now else None
        known = _without_asking(address)
        if known is not None:
            if len(self._fixed) >= MOST:
                self._fixed.clear()
            self._fixed[name] = known
        return known

    async def look_up(self, address: Address) -> None:
        """Ask for a host name; ``find`` knows it then, or, if there is no such name, that.

        Cancelling it loses nothing.
        """
        name = (address.host, address.port)
        asked = self._asked.get(name)
        if asked is not None:
            await asked.wait()
            return
        self._asked[name] = asked = trio.Event()
        places: tuple[Where, ...] = ()
        try:
            with contextlib.suppress(OSError):
                found = await trio.socket.getaddrinfo(*name, type=socket.SOCK_STREAM)
                places = tuple(Where(family, where) for family, _, _, _, where in found)
            if len(self._found) >= MOST:
                self._found.clear()
            self._found[name] = (trio.current_time() + BELIEVED, places)
        finally:
            del self._asked[name]
            asked.set()


def _without_asking(address: Address) -> tuple[Where, ...] | None:
    if address.kind is AddressKind.UNIX:
        return (Where(socket.AF_UNIX, address.path),)
    host = address.host or "127.0.0.1"
    try:
        found = socket.getaddrinfo(
            host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except OSError:  # a name
        return None
    return tuple(Where(family, where) for family, _, _, _, where in found)
