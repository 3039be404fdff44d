"""Service addresses: taken by the lord, given back when it is lord no more (``legion-vip``).

The kernel is told of each address for a limited time only, the lord's own, in whole seconds
rounded up, and again whenever that has become longer. So an address goes away even when this
process is stopped, or killed together with its master, and nobody is left to remove it.
"""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil

import trio

from uwgate.conf.board import clock
from uwgate.conf.errors import ConfigError
from uwgate.legion.neighbour import (
    ADVERTISEMENT,
    ETH_ARP,
    ETH_IPV6,
    ICMPV6,
    announcements,
    owner,
    probe,
)
from uwgate.legion.netlink import Link, Netlink
from uwgate.subscriptions.legion.spec import LegionSpec, Vip

log = logging.getLogger("uwgate.legion")

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# Of all IPv6 only neighbour advertisements: classic BPF, "ip6[6] == 58 and ip6[40] == 136".
ADVERTISEMENTS = (
    (0x30, 0, 0, 20),  # load the byte at 20: the next header
    (0x15, 0, 3, ICMPV6),
    (0x30, 0, 0, 54),  # the type of the ICMPv6 message
    (0x15, 0, 1, ADVERTISEMENT),
    (0x06, 0, 0, 0xFFFF),  # take it
    (0x06, 0, 0, 0),
)
INSTRUCTION = struct.Struct("=HBBI")
PROGRAM = struct.Struct("@HP")  # struct sock_fprog
PROBE_TIME = 0.1  # seconds; an answer on a link takes a fraction of one thousandth
PROBE_GAP = 0.035  # seconds between two questions: one may get lost
# A lord that is stopped keeps its address until the kernel takes it, a second or so after its
# successor rose. Who still has it then is no node of ours, or beyond reach.
CONFLICT_LIMIT = 3.0  # seconds
REPEATS = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0)  # seconds after a change at which we announce
RENEW_STEP = 0.25  # seconds; less than this is no reason to tell the kernel
MAX_FRAMES = 1000  # of others, read between two looks at the clock


@dataclass(slots=True)
class Held:
    """An address that this machine has now."""

    vip: Vip
    link: Link


class Vips:
    """The service addresses of one legion (``lordship.Holding``).

    ``refresh``: seconds between announcements while nothing happens, 0: none.
    """

    def __init__(self, spec: LegionSpec, *, refresh: float) -> None:
        self._name = spec.name
        self._vips = spec.vips
        self._refresh = refresh
        self._held: list[Held] = []
        self._until = 0.0  # of ``clock``: the lordship's end
        self._told = 0.0  # the same, as the kernel was told
        self._changed = trio.Event()
        self._netlink = Netlink()

    async def take(self, still: Callable[[], bool]) -> bool:
        """Have all addresses, after having asked whether another machine has them."""
        taken: list[bool] = []
        async with trio.open_nursery() as nursery:
            for vip in self._vips:
                nursery.start_soon(self._take, vip, still, taken)
        return len(taken) == len(self._vips)

    def drop(self) -> None:
        """Give all addresses back, at once."""
        held, self._held = self._held, []
        self._until = self._told = 0.0
        for one in held:
            try:
                was_there = self._netlink.remove(one.vip.address, one.link.index)
            except OSError as error:
                log.error("%s cannot be removed: %s", self._describe(one), error)
            else:
                how = "given back" if was_there else "was gone already"
                log.info("%s: %s", self._describe(one), how)

    def renew(self, seconds: float) -> bool:
        """The lordship lasts for ``seconds`` from now at least; False: an address is lost."""
        self._until = clock() + seconds
        if not self._held or self._until < self._told + RENEW_STEP:
            return True
        self._told = self._until
        kept = [self._keep(one) for one in self._held]
        return all(kept)

    def announce(self) -> None:
        """Tell the neighbours again, a few times."""
        self._changed.set()

    async def run(self) -> None:
        """Announce what is had, for ever."""
        while True:
            pause = self._refresh if self._held and self._refresh else float("inf")
            with trio.move_on_after(pause) as waited:
                await self._changed.wait()
            if waited.cancelled_caught:
                self._announce_once()
                continue
            self._changed = trio.Event()
            began = trio.current_time()
            for moment in REPEATS:
                with trio.CancelScope(deadline=began + moment) as pausing:
                    await self._changed.wait()  # then from the beginning
                if not pausing.cancelled_caught:
                    break
                self._announce_once()

    async def _take(self, vip: Vip, still: Callable[[], bool], taken: list[bool]) -> None:
        try:
            link = find_link(self._netlink, vip)
            await self._wait_free(vip, link, still)
            if not still():
                return
            one = Held(vip, link)
            self._held.append(one)
            self._assign(one)
            has = any(
                (each.address, each.index) == (vip.address, link.index)
                for each in self._netlink.addresses()
            )
        except OSError as error:
            log.error("legion %s: %s cannot be taken: %s", self._name, vip.address, error)
            return
        if not has:
            log.error("%s: the kernel took it and does not have it", self._describe(one))
            return
        if not link.is_running:
            log.error("%s: the link is down", self._describe(one))
        log.info("%s: taken", self._describe(one))
        taken.append(True)
        self.announce()

    async def _wait_free(self, vip: Vip, link: Link, still: Callable[[], bool]) -> None:
        """Wait until nobody answers at this address, or for long enough."""
        seen: bytes | None = None
        with trio.move_on_after(CONFLICT_LIMIT):
            while (mac := await find_owner(vip, link)) is not None and still():
                if mac != seen:
                    log.warning("legion %s: %s has %s", self._name, mac.hex(":"), vip.address.ip)
                seen = mac
                await trio.sleep(PROBE_GAP)
            return
        log.error(
            "legion %s: another machine has %s and does not give it back: taken nevertheless",
            self._name,
            vip.address.ip,
        )

    def _assign(self, one: Held) -> None:
        address = one.vip.address
        covered = any(
            each.index == one.link.index
            and each.address.ip != address.ip
            and address.ip in each.address.network
            for each in self._netlink.addresses()
        )
        seconds = max(ceil(self._until - clock()), 1)
        self._netlink.assign(address, one.link.index, seconds, route=not covered)

    def _keep(self, one: Held) -> bool:
        try:
            self._assign(one)
            link = self._netlink.link(one.link.name)
        except OSError as error:
            log.error("%s cannot be kept: %s", self._describe(one), error)
            return False
        if link.is_running and not one.link.is_running:
            log.info("%s: the link is up again", self._describe(one))
            self.announce()
        one.link = link
        return True

    def _announce_once(self) -> None:
        if clock() >= self._until:
            return
        for one in self._held:
            try:
                with packet_socket(one.link, one.vip.address.version) as sock:
                    for frame in announcements(one.vip.address.ip, one.link.mac):
                        sock.send(frame)
            except OSError as error:
                log.warning("%s cannot be announced: %s", self._describe(one), error)

    def _describe(self, one: Held) -> str:
        return f"legion {self._name}: {one.vip.address} on {one.link.name}"


async def find_owner(vip: Vip, link: Link) -> bytes | None:
    """The MAC of the machine that answers at this address; None if none does in time."""
    address = vip.address.ip
    with packet_socket(link, address.version) as sock, trio.move_on_after(PROBE_TIME):
        next_question = trio.current_time()
        while True:
            if trio.current_time() >= next_question:
                sock.send(probe(address, link.mac))
                next_question += PROBE_GAP
            with trio.CancelScope(deadline=next_question):
                await trio.lowlevel.wait_readable(sock)
            for _ in range(MAX_FRAMES):
                try:
                    frame = sock.recv(2048)
                except BlockingIOError:
                    break
                mac = owner(address, frame)
                if mac is not None and mac != link.mac:
                    return mac
    return None


def packet_socket(link: Link, version: int) -> socket.socket:
    """A socket for whole frames on one device: ARP (4), or neighbour advertisements (6)."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        if version == 6:
            code = b"".join(INSTRUCTION.pack(*one) for one in ADVERTISEMENTS)
            memory = ctypes.create_string_buffer(code, len(code))
            program = PROGRAM.pack(len(ADVERTISEMENTS), ctypes.addressof(memory))
            sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        sock.bind((link.name, ETH_ARP if version == 4 else ETH_IPV6))
    except OSError:
        sock.close()
        raise
    return sock


def find_link(netlink: Netlink, vip: Vip) -> Link:
    """The device that an address belongs on.

    Raises:
        OSError: it is not there.
    """
    if vip.device is not None:
        return netlink.link(vip.device)
    return netlink.link_towards(vip.address)


def check(specs: Iterable[LegionSpec]) -> None:
    """Whether the addresses can be taken when their time comes.

    Raises:
        ConfigError: a device is missing, or has an address for good.
    """
    netlink = Netlink()
    try:
        for vip in (vip for spec in specs for vip in spec.vips):
            try:
                find_link(netlink, vip)
                permanent = [
                    each
                    for each in netlink.addresses()
                    if each.address.ip == vip.address.ip and each.valid is None
                ]
            except OSError as error:
                device = f" dev {vip.device}" if vip.device else ""
                raise ConfigError(f"legion-vip {vip.address}{device}: {error}") from error
            if permanent:
                raise ConfigError(
                    f"legion-vip {vip.address}: this machine has the address already, for good;"
                    " it must get it from the legion only"
                )
    finally:
        netlink.close()


def sweep(specs: Iterable[LegionSpec]) -> None:
    """Remove addresses that a process of ours has left behind."""
    netlink = Netlink()
    try:
        wanted = {vip.address.ip for spec in specs for vip in spec.vips}
        for each in list(netlink.addresses()):
            # Ours always have an end; what an operator has given to the machine has none.
            if each.address.ip in wanted and each.valid is not None:
                netlink.remove(each.address, each.index)
                log.warning("%s was left behind: removed", each.address)
    except OSError as error:
        log.error("addresses that were left behind cannot be removed: %s", error)
    finally:
        netlink.close()
