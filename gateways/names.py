"""Where the sockets of a backend's address are: IP addresses at once, host names by asking.

Asking takes a thread (getaddrinfo blocks), so what was found is believed for a while.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from uwgate.conf.address import Address, AddressKind

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.target import Target

BELIEVED = 5.0  # seconds
MOST = 4096  # addresses that are remembered
ABSTRACT = AddressKind.ABSTRACT


@dataclass(frozen=True, slots=True)
class Where:
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
        name = (address.path or address.host, address.port)
        found = self._found.get(name)
        if found is not None:
            return found[1] if found[0] > now else None
        return self._without_asking(address)

    def find_target(self, target: Target, now: float) -> tuple[Where, ...] | None:
        """The same for a target, which keeps what is known without asking."""
        places = target.places
        if places is None:
            places = self._without_asking(target.address)
            if places is None:
                return self.find(target.address, now)
            target.places = places
        return places

    def _without_asking(self, address: Address) -> tuple[Where, ...] | None:
        if address.kind is ABSTRACT:
            return (Where(int(socket.AF_UNIX), address.sun_path),)
        name = (address.path or address.host, address.port)
        known = self._fixed.get(name)
        if known is None:
            known = _fixed_places(address)
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
                places = tuple(Where(int(family), where) for family, _, _, _, where in found)
            if len(self._found) >= MOST:
                self._found.clear()
            self._found[name] = (trio.current_time() + BELIEVED, places)
        finally:
            del self._asked[name]
            asked.set()


def _fixed_places(address: Address) -> tuple[Where, ...] | None:
    if address.kind is AddressKind.UNIX:
        return (Where(int(socket.AF_UNIX), address.path),)
    host = address.host or "127.0.0.1"
    try:
        found = socket.getaddrinfo(
            host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except OSError:  # a name
        return None
    return tuple(Where(int(family), where) for family, _, _, _, where in found)
