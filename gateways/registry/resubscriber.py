"""Announces what has nodes here to other servers (spec/subscriptions.md section 11)."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import trio

from uwgate.conf.address import Address, AddressKind
from uwgate.subscriptions.change import Change, SniBrought, SniGone
from uwgate.subscriptions.dates import Dates
from uwgate.subscriptions.packet import Packet, encode
from uwgate.subscriptions.refusal import Refused
from uwgate.subscriptions.resubscription import Resubscription
from uwgate.subscriptions.signature import Signer
from uwgate.subscriptions.table import Table

log = logging.getLogger("uwgate.registry")

RESOLVE_INTERVAL = 60.0  # seconds until the name of a server is looked up again
RESOLVE_LIMIT = 5.0  # seconds
BURST = 64  # announcements that are sent at a time
BURST_PAUSE = 0.01  # seconds; what a server cannot take as fast as that would be lost
END_LIMIT = 2.0  # seconds for the last words
WILDCARDS = ("0.0.0.0", "[::]", "")


class Upstream:
    """One other server. ``source`` is the local UDP address; None: any.

    ``signer`` is None where nothing is signed; ``wall`` tells seconds since 1970.
    """

    def __init__(
        self,
        server: Address,
        source: Address | None,
        *,
        signer: Signer | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.server = server
        self._signer = signer
        self._wall = wall
        self._dates = Dates[str]()
        self.local_host = ""  # how it sees us; empty: not known, or not by an address
        self._source = source
        self._socket: socket.socket | None = None
        self._where: tuple[object, ...] | str = ""
        self._resolved_at = -RESOLVE_INTERVAL
        self._failing = False

    async def prepare(self) -> None:
        """Be able to send: find out where, now and again."""
        now = trio.current_time()
        if now - self._resolved_at < RESOLVE_INTERVAL:
            return
        self._resolved_at = now
        self._dates.forget(self._wall())
        server = self.server
        try:
            if server.kind is AddressKind.TCP:
                with trio.fail_after(RESOLVE_LIMIT):
                    found = await trio.socket.getaddrinfo(
                        server.host or "127.0.0.1", server.port, type=socket.SOCK_DGRAM
                    )
                self._open(found[0][0], found[0][4])
            else:
                prefix = "\0" if server.kind is AddressKind.ABSTRACT else ""
                self._open(socket.AF_UNIX, prefix + server.path)
        except (OSError, trio.TooSlowError) as error:
            self._complain(str(error))

    def _open(self, family: int, where: tuple[object, ...] | str) -> None:
        if self._socket is not None and self._where == where:
            return
        self.close()
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._where = where
        if family != socket.AF_UNIX:
            if self._source is not None:
                # The registry before us may not have gone yet.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._socket.bind((self._source.host or "0.0.0.0", self._source.port))
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(where)  # sends nothing
                host = str(probe.getsockname()[0])
                self.local_host = f"[{host}]" if ":" in host else host

    def send(self, packet: Packet) -> None:
        """Send one announcement; what cannot be sent now is lost."""
        if self._socket is None:
            return
        host, colon, port = packet.address.rpartition(":")
        if colon and host in WILDCARDS and self.local_host:
            packet = replace(packet, address=f"{self.local_host}:{port}")
        try:
            self._socket.sendto(self._datagram(packet), self._where)
        except BlockingIOError:  # its queue is full
            return
        except (OSError, Refused) as error:
            self._complain(str(error))
        else:
            self._failing = False

    def _datagram(self, packet: Packet) -> bytes:
        signer = self._signer
        if signer is None:
            return encode(packet)
        now = self._wall()
        if not signer.scheme.modern:
            now = self._dates.date(packet.key, packet.command, now)
        return signer.sign(packet, now)

    def close(self) -> None:
        """Send no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _complain(self, reason: str) -> None:
        if not self._failing:
            log.warning("cannot announce to %s: %s", self.server, reason)
        self._failing = True


class Resubscriber:
    """Announces the keys of one table every ``interval`` seconds, and when they change.

    ``proto`` is what those who follow the announcement have to speak, as nodes say it.
    """

    def __init__(
        self,
        resubscription: Resubscription,
        table: Table,
        upstreams: Sequence[Upstream],
        *,
        interval: float,
        proto: str,
    ) -> None:
        self._resubscription = resubscription
        self._table = table
        self._upstreams = upstreams
        self._interval = interval
        self._proto = proto
        self._announced: set[str] = set()
        self._changed: set[str] = set()
        self._work = trio.Event()

    def note(self, changes: Iterable[Change]) -> None:
        """The table has changed."""
        for change in changes:
            if not isinstance(change, SniBrought | SniGone):
                self._changed.add(change.node.key)
                self._work.set()

    async def run(self) -> None:
        """Announce until cancelled."""
        self._announced.update(self._table.slots)  # by the registry before us
        while True:
            for upstream in self._upstreams:
                await upstream.prepare()
                self._learn_address(upstream)
            again = trio.current_time() + self._interval
            self._changed.update(self._table.slots, self._announced)
            while trio.current_time() < again:
                changed, self._changed = self._changed, set()
                await self._announce(changed)
                await trio.sleep(BURST_PAUSE)  # several changes at once are told together
                self._work = trio.Event()
                if not self._changed:
                    with trio.move_on_at(again):
                        await self._work.wait()

    async def end(self) -> None:
        """Take back everything that was announced: the gateway stops."""
        with trio.move_on_after(END_LIMIT):
            await self._send(
                [self._resubscription.unsubscribe(key) for key in sorted(self._announced)]
            )
        for upstream in self._upstreams:
            upstream.close()

    async def _announce(self, keys: Iterable[str]) -> None:
        packets: list[Packet] = []
        for key in dict.fromkeys(keys):
            slot = self._table.slots.get(key)
            packet = None if slot is None else self._resubscription.subscribe(slot)
            if packet is not None:
                packets.append(replace(packet, proto=self._proto))
                self._announced.add(key)
            elif key in self._announced:
                packets.append(self._resubscription.unsubscribe(key))
                self._announced.discard(key)
        await self._send(packets)

    async def _send(self, packets: Sequence[Packet]) -> None:
        for begin in range(0, len(packets), BURST):
            for packet in packets[begin : begin + BURST]:
                for upstream in self._upstreams:
                    upstream.send(packet)
            if begin + BURST < len(packets):
                await trio.sleep(BURST_PAUSE)

    def _learn_address(self, upstream: Upstream) -> None:
        """A server that listens everywhere is known to others by the address that they see."""
        known = self._resubscription.addresses
        host, colon, port = known[0].rpartition(":")
        if colon and host in WILDCARDS and upstream.local_host:
            seen = f"{upstream.local_host}:{port}"
            if seen not in known:
                self._resubscription.addresses = (*known, seen)
