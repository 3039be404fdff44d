"""What is asked for, and what is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uwgate.conf.address import Address
from uwgate.subscriptions.node import Node

if TYPE_CHECKING:
    from uwgate.gateways.names import Where


class Asked:
    """What a request says about where it wants to go.

    ``key`` is the name that is looked up, at most 255 bytes of it. ``path`` is the path as the
    backend is told it, ``client`` the client's IP address as text in bytes (empty: none),
    ``affinity`` what belongs together (hashing), ``sticky`` the value of the cookie that names a
    node.
    """

    __slots__ = ("affinity", "client", "key", "path", "sticky")

    # One is made for every request: neither a tuple with names nor a frozen dataclass is as quick.
    def __init__(
        self,
        key: str,
        path: str = "",
        client: bytes = b"",
        affinity: bytes = b"",
        sticky: str = "",
    ) -> None:
        self.key = key
        self.path = path
        self.client = client
        self.affinity = affinity
        self.sticky = sticky

    @property
    def name(self) -> str:
        """The key as the log shows it: a client may have written anything."""
        return ascii(self.key)[1:-1]


@dataclass(slots=True, eq=False)
class Target:
    """A backend to connect to.

    ``modifier1`` and ``modifier2`` go into the packet; None: those that it has already.
    ``speaks_http``: the backend wants HTTP. ``node`` is what announced itself; None for a
    backend that the configuration names. ``places`` are known to ``Names`` once and for all; None:
    not yet, or ever.
    """

    address: Address
    modifier1: int | None = None
    modifier2: int | None = None
    speaks_http: bool = False
    node: Node | None = None
    places: tuple[Where, ...] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """The address as the log and the statistics show it."""
        return str(self.address) if self.node is None else self.node.address
