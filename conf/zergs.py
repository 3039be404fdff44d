"""What the options of zergs are made of (spec/gateways.md section 10.2)."""

from __future__ import annotations

from typing import NamedTuple

from uwgate.conf.address import Address, AddressKind, parse_listen
from uwgate.conf.errors import ConfigError

MAX_ADDRESSES = 253  # SCM_MAX_FD, the most that the kernel passes at once (unix(7))


class Pool(NamedTuple):
    """Where a pool gives its sockets away, and the addresses that these are bound to."""

    path: str
    addresses: tuple[str, ...]


def parse_server(text: str) -> Address:
    """Where a zerg server is: a path or an abstract name.

    Raises:
        ConfigError: it is neither.
    """
    address = parse_listen(text)
    if address.kind not in (AddressKind.UNIX, AddressKind.ABSTRACT):
        raise ConfigError(f"{text!r}: sockets are given away on UNIX sockets: a path, or @name")
    return address


def parse_pool(text: str) -> Pool:
    """The value of ``zergpool``, ``PATH:ADDRESS[,ADDRESS...]``.

    Raises:
        ConfigError: it is none.
    """
    path, colon, rest = text.partition(":")
    addresses = tuple(one.strip() for one in rest.split(","))
    if not colon or not all(addresses):
        raise ConfigError(f"{text!r}: expected PATH:ADDRESS[,ADDRESS...]")
    if len(addresses) > MAX_ADDRESSES:
        raise ConfigError(f"{len(addresses)} addresses, at most {MAX_ADDRESSES} can be given away")
    parse_server(path)
    for address in addresses:
        parse_listen(address)
    return Pool(path, addresses)
