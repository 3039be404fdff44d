"""Lists of networks, as options name those whom they trust.

===========================  ==========================================================
``192.0.2.0/24``, ``::1``    a network, or one address
``loopback``                 this machine, by TCP
``private``                  networks that the internet cannot reach (RFC 1918, 3927, 4193,
                             4291 section 2.5.6)
``unix``                     whoever may connect to a UNIX socket
``all``, ``none``            everybody; nobody, which stands alone
===========================  ==========================================================
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable

from uwgate.conf.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK = ("127.0.0.0/8", "::1/128")
PRIVATE = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
_SEPARATOR = re.compile(r"[\s,]+")
_REMEMBERED = 4096  # addresses whose answer is kept


class Networks:
    """A parsed list. ``unix``: clients of UNIX sockets belong to it."""

    def __init__(self, networks: Iterable[Network], *, unix: bool) -> None:
        self._networks = tuple(networks)
        self.unix = unix
        # Who comes once comes again: a network takes some microseconds to compare.
        self.has = functools.lru_cache(_REMEMBERED)(self._has)

    def __bool__(self) -> bool:
        return bool(self._networks) or self.unix

    def _has(self, address: str) -> bool:
        """Whether an IP address, as ``getpeername`` has it, belongs to the list."""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)


def parse_networks(texts: Iterable[str]) -> Networks:
    """The list that all the texts make; each may hold several words.

    Raises:
        ConfigError: a word is no network.
    """
    words = [word for text in texts for word in _SEPARATOR.split(text) if word]
    found: list[str] = []
    unix = False
    for word in words:
        match word:
            case "none":
                if len(words) > 1:
                    raise ConfigError("'none' stands alone, or it is not none")
            case "all":
                found += ("0.0.0.0/0", "::/0")
                unix = True
            case "unix":
                unix = True
            case "loopback":
                found += LOOPBACK
            case "private":
                found += PRIVATE
            case _:
                found.append(word)
    return Networks(map(_network, found), unix=unix)


def check_networks(text: str) -> None:
    """Check one value of an option.

    Raises:
        ConfigError: a word of it is no network.
    """
    parse_networks((text,))


def _network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError as error:
        what = "a network such as 192.0.2.0/24, an address, or loopback, private, unix, all, none"
        reason = " (host bits are set)" if "host bits" in str(error) else ""
        raise ConfigError(f"{word!r}{reason}: expected {what}") from error
