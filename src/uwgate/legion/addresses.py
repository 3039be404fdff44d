"""Where datagrams of one legion go: the configured nodes, and those that have written to us."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections import OrderedDict

import trio

from uwgate.subscriptions.legion.spec import Endpoint, LegionSpec

log = logging.getLogger("uwgate.legion")

Address = tuple[str, int]
MAX_WRITERS = 512  # whose address is remembered; members are 256 at most
RETRY = 10.0  # seconds between two attempts to resolve a name
LOOKUP_LIMIT = 30.0  # seconds for one of them


class Addresses:
    """See the module. ``destinations``: the nodes whose names are known to the resolver."""

    def __init__(self, spec: LegionSpec) -> None:
        self.destinations: list[Address] = []
        self._name = spec.name
        self._unresolved: list[Endpoint] = []
        self._writers: OrderedDict[bytes, Address] = OrderedDict()
        for node in spec.nodes:
            if is_number(node.host):
                self.destinations.append((node.host, node.port))
            else:
                self._unresolved.append(node)

    async def resolve(self) -> None:
        """Look the names of nodes up, until all are found."""
        while self._unresolved:
            for node in list(self._unresolved):
                address = await self._look_up(node)
                if address is not None:
                    log.info("legion %s: node %s is %s", self._name, node.host, address[0])
                    self.destinations.append(address)
                    self._unresolved.remove(node)
            if self._unresolved:
                await trio.sleep(RETRY)

    def note(self, uuid: bytes, address: Address) -> None:
        """Remember from where a node writes."""
        self._writers[uuid] = address
        self._writers.move_to_end(uuid)
        if len(self._writers) > MAX_WRITERS:
            self._writers.popitem(last=False)

    def of(self, uuid: bytes | None) -> list[Address]:
        """Where to send what is for this node, or for all (None)."""
        if uuid is None:
            return self.destinations
        address = self._writers.get(uuid)
        return [] if address is None else [address]

    async def _look_up(self, node: Endpoint) -> Address | None:
        reason = f"no answer in {LOOKUP_LIMIT:g} s"
        with trio.move_on_after(LOOKUP_LIMIT):
            try:
                found = await trio.socket.getaddrinfo(
                    node.host, node.port, socket.AF_INET, socket.SOCK_DGRAM
                )
                host, port = found[0][4][:2]
                return str(host), int(port)
            except OSError as error:
                reason = str(error)
        log.error("legion %s: node %s cannot be resolved: %s", self._name, node.host, reason)
        return None


def is_number(host: str) -> bool:
    """Whether this is an address and no name."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
