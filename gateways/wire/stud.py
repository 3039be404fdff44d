"""The prefix that stud and hitch write before a connection: the client's bare address.

One byte of address family, as Linux numbers them, and the address; no port.
"""

from __future__ import annotations

import ipaddress

AF_INET = 2
AF_INET6 = 10
_SIZES = {AF_INET: 4, AF_INET6: 16}
MAX_PREFIX = 17  # bytes


class StudError(ValueError):
    """What begins a connection is no such prefix."""


def decode(buffer: bytes) -> tuple[str, int] | None:
    """The client's address and the prefix's length in bytes; None while bytes are missing.

    Raises:
        StudError: the first byte is no address family.
    """
    if not buffer:
        return None
    size = _SIZES.get(buffer[0])
    if size is None:
        raise StudError(f"address family {buffer[0]} in a stud prefix")
    if len(buffer) < 1 + size:
        return None
    return str(ipaddress.ip_address(buffer[1 : 1 + size])), 1 + size
