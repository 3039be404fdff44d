"""Addresses and links of this machine, by rtnetlink(7). pyroute2 packs and unpacks the messages."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

NEWLINK, GETLINK = 16, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, GETROUTE = 24, 26
ERROR, DONE = 2, 3  # NLMSG_
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300  # NLM_F_
REPLACE, CREATE = 0x100, 0x400
NODAD, NOPREFIXROUTE = 0x02, 0x200  # IFA_F_
RUNNING = 0x40  # IFF_
INFINITE = 0xFFFFFFFF  # seconds
HEADER = 16  # bytes of nlmsghdr
LIMIT = 1.0  # seconds; the kernel answers at once, unless something holds its lock
MAX_ANSWER = 1 << 20

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, slots=True)
class Link:
    """A network device. ``is_running``: up, and a cable in it."""

    index: int
    name: str
    mac: bytes
    is_running: bool


@dataclass(frozen=True, slots=True)
class Assigned:
    """An address that a device has. ``valid``: for how many seconds; None: until removed."""

    address: Interface
    index: int
    valid: int | None


class Netlink:
    """A connection to the kernel. Every method asks it and waits, LIMIT seconds at most.

    All raise OSError where the kernel refuses.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(LIMIT)
        self._socket.bind((0, 0))
        self._number = 0

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def link(self, name: str) -> Link:
        """The device of this name.

        Raises:
            OSError: there is none (ENODEV), or it has no MAC (EINVAL).
        """
        return self._link(socket.if_nametoindex(name))

    def link_towards(self, address: Interface) -> Link:
        """The device that has an address, or through which this machine reaches its network.

        Raises:
            OSError: there is no route, or it leads through no device with a MAC.
        """
        for each in list(self.addresses()):
            if each.address.ip == address.ip:  # its route would lead to ``lo``
                return self._link(each.index)
        message = rtmsg()
        message["family"] = family(address)
        message["dst_len"] = address.max_prefixlen
        message["attrs"] = [("RTA_DST", str(address.ip))]
        for answer in self._ask(message, GETROUTE, 0, rtmsg):
            return self._link(answer.get_attr("RTA_OIF"))
        raise OSError(errno.ENETUNREACH, "no route")

    def addresses(self) -> Iterator[Assigned]:
        """All addresses of this machine."""
        for answer in self._ask(ifaddrmsg(), GETADDR, DUMP, ifaddrmsg):
            text = answer.get_attr("IFA_LOCAL") or answer.get_attr("IFA_ADDRESS")
            if text is None:
                continue
            valid = (answer.get_attr("IFA_CACHEINFO") or {}).get("ifa_valid", INFINITE)
            yield Assigned(
                ipaddress.ip_interface(f"{text}/{answer['prefixlen']}"),
                answer["index"],
                None if valid == INFINITE else valid,
            )

    def assign(self, address: Interface, index: int, valid: int, *, route: bool) -> None:
        """Give a device an address for ``valid`` seconds, or have it for that long from now.

        ``route``: its network is reached through this device from now on.
        """
        message = _address_message(address, index)
        flags = NODAD if address.version == 6 else 0
        flags |= 0 if route else NOPREFIXROUTE
        # An address that is not preferred is never chosen for connections of this machine's own.
        preferred = 0 if address.version == 6 else valid
        message["attrs"] += [
            ("IFA_FLAGS", flags),
            ("IFA_CACHEINFO", {"ifa_preferred": preferred, "ifa_valid": valid}),
        ]
        for _ in self._ask(message, NEWADDR, ACK | CREATE | REPLACE, ifaddrmsg):
            pass

    def remove(self, address: Interface, index: int) -> bool:
        """Take an address away; False if the device did not have it."""
        try:
            for _ in self._ask(_address_message(address, index), DELADDR, ACK, ifaddrmsg):
                pass
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
                return False
            raise
        return True

    def _link(self, index: int) -> Link:
        message = ifinfmsg()
        message["index"] = index
        for answer in self._ask(message, GETLINK, 0, ifinfmsg):
            text = answer.get_attr("IFLA_ADDRESS") or ""
            mac = bytes.fromhex(text.replace(":", ""))
            name = answer.get_attr("IFLA_IFNAME")
            if len(mac) != 6 or not any(mac):
                raise OSError(errno.EINVAL, f"{name} is no Ethernet device")
            return Link(index, name, mac, bool(answer["flags"] & RUNNING))
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def _ask(self, message: Any, kind: int, flags: int, answer_class: Any) -> Iterator[Any]:
        """Send a message; its answers."""
        self._number += 1
        message["header"]["type"] = kind
        message["header"]["flags"] = REQUEST | flags
        message["header"]["sequence_number"] = self._number
        message.encode()
        self._socket.send(bytes(message.data))
        while True:
            content = self._socket.recv(MAX_ANSWER)
            while len(content) >= HEADER:
                size = int.from_bytes(content[:4], sys.byteorder)
                one, content = content[:size], content[(size + 3) & ~3 :]
                if int.from_bytes(one[8:12], sys.byteorder) != self._number or size < HEADER:
                    continue  # the answer to a question that was given up
                answered = int.from_bytes(one[4:6], sys.byteorder)
                if answered == DONE:
                    return
                if answered == ERROR:
                    code = -int.from_bytes(one[HEADER : HEADER + 4], sys.byteorder, signed=True)
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                answer = answer_class(one)
                answer.decode()
                yield answer
                if not flags & (DUMP | ACK):
                    return


def family(address: Interface) -> int:
    """AF_INET or AF_INET6."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _address_message(address: Interface, index: int) -> Any:
    message = ifaddrmsg()
    message["family"] = family(address)
    message["prefixlen"] = address.network.prefixlen
    message["index"] = index
    message["attrs"] = [("IFA_ADDRESS", str(address.ip)), ("IFA_LOCAL", str(address.ip))]
    return message
