"""How a machine says on its link that it has an address, and asks whether another one has it.

ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861, RFC 4862), as whole Ethernet frames;
bytes and values only.
"""

from __future__ import annotations

import ipaddress
import struct

ETHERNET = struct.Struct("!6s6sH")
ARP = struct.Struct("!HHBBH6s4s6s4s")
IPV6 = struct.Struct("!IHBB16s16s")
NEIGHBOUR = struct.Struct("!BBHI16s")  # type, code, checksum, flags, target
PSEUDO = struct.Struct("!16s16sI3xB")  # RFC 8200 section 8.1

ETH_ARP = 0x0806
ETH_IPV6 = 0x86DD
MAC_SIZE = 6
MIN_FRAME = 60  # bytes without the checksum: shorter ones are filled up
BROADCAST = b"\xff" * MAC_SIZE
NO_MAC = bytes(MAC_SIZE)
ARP_REQUEST, ARP_REPLY = 1, 2
ICMPV6 = 58
SOLICITATION, ADVERTISEMENT = 135, 136
OVERRIDE = 1 << 29
SOURCE_MAC, TARGET_MAC = 1, 2  # options, RFC 4861 section 4.6.1
HOPS = 255  # a packet from another link has fewer
ALL_NODES = ipaddress.IPv6Address("ff02::1")
SOLICITED_NODE = int(ipaddress.IPv6Address("ff02::1:ff00:0"))

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def announcements(address: IPAddress, mac: bytes) -> list[bytes]:
    """Frames that make neighbours know ``mac`` by this address."""
    if isinstance(address, ipaddress.IPv6Address):
        return [advertisement(address, mac)]
    # Some listen to requests only (RFC 5227 section 3), some to replies only.
    ip = address.packed
    return [
        arp(ARP_REQUEST, mac, ip, NO_MAC, ip),
        arp(ARP_REPLY, mac, ip, BROADCAST, ip),
    ]


def probe(address: IPAddress, mac: bytes) -> bytes:
    """A frame that whoever has this address answers; it changes nobody's table."""
    if isinstance(address, ipaddress.IPv6Address):
        return solicitation(address, mac)
    return arp(ARP_REQUEST, mac, bytes(4), NO_MAC, address.packed)


def owner(address: IPAddress, frame: bytes) -> bytes | None:
    """The MAC of who claims this address in a frame; None if nobody does."""
    if len(frame) < ETHERNET.size:
        return None
    _, source, kind = ETHERNET.unpack_from(frame)
    if kind == ETH_ARP and isinstance(address, ipaddress.IPv4Address):
        return _arp_owner(address, frame[ETHERNET.size :])
    if kind == ETH_IPV6 and isinstance(address, ipaddress.IPv6Address):
        return source if _advertises(address, frame[ETHERNET.size :]) else None
    return None


def arp(
    operation: int, sender_mac: bytes, sender: bytes, target_mac: bytes, target: bytes
) -> bytes:
    """An ARP packet for all hosts of the link."""
    packet = ARP.pack(1, 0x0800, MAC_SIZE, 4, operation, sender_mac, sender, target_mac, target)
    frame = ETHERNET.pack(BROADCAST, sender_mac, ETH_ARP) + packet
    return frame.ljust(MIN_FRAME, b"\0")


def advertisement(address: ipaddress.IPv6Address, mac: bytes) -> bytes:
    """An unsolicited neighbour advertisement (RFC 4861 section 7.2.6)."""
    option = bytes([TARGET_MAC, 1]) + mac
    return neighbour_frame(ADVERTISEMENT, OVERRIDE, address, address, ALL_NODES, mac, option)


def solicitation(address: ipaddress.IPv6Address, mac: bytes) -> bytes:
    """A question for duplicates (RFC 4862 section 5.4.2): from nobody, so the answer is to all."""
    group = ipaddress.IPv6Address(SOLICITED_NODE | int(address) & 0xFFFFFF)
    nobody = ipaddress.IPv6Address(0)
    return neighbour_frame(SOLICITATION, 0, address, nobody, group, mac, b"")


def neighbour_frame(
    kind: int,
    flags: int,
    target: ipaddress.IPv6Address,
    source: ipaddress.IPv6Address,
    group: ipaddress.IPv6Address,
    mac: bytes,
    option: bytes,
) -> bytes:
    """A message of neighbour discovery to a multicast group."""
    message = NEIGHBOUR.pack(kind, 0, 0, flags, target.packed) + option
    pseudo = PSEUDO.pack(source.packed, group.packed, len(message), ICMPV6)
    checksum = struct.pack("!H", internet_checksum(pseudo + message))
    message = message[:2] + checksum + message[4:]
    header = IPV6.pack(6 << 28, len(message), ICMPV6, HOPS, source.packed, group.packed)
    multicast = b"\x33\x33" + group.packed[12:]
    return ETHERNET.pack(multicast, mac, ETH_IPV6) + header + message


def internet_checksum(data: bytes) -> int:
    """RFC 1071; over data that holds a right checksum it is 0."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _arp_owner(address: ipaddress.IPv4Address, packet: bytes) -> bytes | None:
    if len(packet) < ARP.size:
        return None
    hardware, protocol, hardware_size, size, _, mac, sender, _, _ = ARP.unpack_from(packet)
    if (hardware, protocol, hardware_size, size) != (1, 0x0800, MAC_SIZE, 4):
        return None
    return bytes(mac) if sender == address.packed else None


def _advertises(address: ipaddress.IPv6Address, packet: bytes) -> bool:
    if len(packet) < IPV6.size + NEIGHBOUR.size:
        return False
    version, size, following, hops, source, group = IPV6.unpack_from(packet)
    message = packet[IPV6.size : IPV6.size + size]
    if version >> 28 != 6 or following != ICMPV6 or hops != HOPS or len(message) < NEIGHBOUR.size:
        return False
    kind, code, _, _, target = NEIGHBOUR.unpack_from(message)
    pseudo = PSEUDO.pack(source, group, len(message), ICMPV6)
    return (kind, code, target) == (ADVERTISEMENT, 0, address.packed) and internet_checksum(
        pseudo + message
    ) == 0
