"""Addresses as the options write them: where to listen, and where a backend is.

======================  =====================================================
``host:port``           TCP; a host name is resolved by whoever binds or connects
``:port``               TCP; every IPv4 address when listening, loopback for backends
``[v6]:port``           TCP over IPv6; ``host:0`` lets the kernel choose
``/path``, ``name``     a UNIX socket; anything without a colon is a path
``@name``, ``\\0name``    an abstract UNIX socket
``fd://N``              a descriptor that was inherited
``=N``                  the Nth ``shared-socket``, from 0
======================  =====================================================
"""

from __future__ import annotations

import enum
import ipaddress
import re
from dataclasses import dataclass

from uwgate.conf.errors import ConfigError

MAX_PATH = 107  # bytes; sun_path is 108 with its final NUL (unix(7))
MAX_PORT = 65535

# RFC 1123 section 2.1, and the underscore that container names have.
HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
IPV4_LIKE = re.compile(r"[0-9.]+")


class AddressKind(enum.Enum):
    """What stands behind an address."""

    TCP = "tcp"
    UNIX = "unix"
    ABSTRACT = "abstract"
    FD = "fd"
    SHARED = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One parsed address.

    ``host`` is without brackets; empty means every IPv4 address for a listener and
    loopback for a backend. ``port`` 0 lets the kernel choose. ``path`` is the path of a
    UNIX socket or the name of an abstract one, without its mark. ``number`` is the
    descriptor of FD and the position of SHARED.
    """

    kind: AddressKind
    host: str = ""
    port: int = 0
    path: str = ""
    number: int = 0

    @property
    def sun_path(self) -> str:
        """What bind(2) and connect(2) get for a stream socket of this path or name.

        uWSGI counts a NUL behind an abstract name as part of it, and to the kernel that is
        another name than the one without. So who is to be found by uWSGI, or to find it, has
        to do the same.
        """
        return f"\0{self.path}\0" if self.kind is AddressKind.ABSTRACT else self.path

    def __str__(self) -> str:
        match self.kind:
            case AddressKind.TCP:
                host = f"[{self.host}]" if ":" in self.host else self.host
                return f"{host}:{self.port}"
            case AddressKind.UNIX:
                return self.path
            case AddressKind.ABSTRACT:
                return f"@{self.path}"
            case AddressKind.FD:
                return f"fd://{self.number}"
            case AddressKind.SHARED:
                return f"={self.number}"


def parse_listen(text: str) -> Address:
    """The address of a listening socket.

    Raises:
        ConfigError: the text is no address.
    """
    if text.startswith("fd://"):
        return Address(kind=AddressKind.FD, number=_number(text, text[5:], "fd:// and a number"))
    if text.startswith("="):
        return Address(
            kind=AddressKind.SHARED,
            number=_number(text, text[1:], "= and the number of a shared-socket, from 0"),
        )
    return _socket_address(text)


def parse_backend(text: str) -> Address:
    """The address of a backend to connect to.

    Raises:
        ConfigError: the text is no address, or one that nobody can connect to.
    """
    if text.startswith(("fd://", "=")):
        raise ConfigError(f"{text!r} can only be listened on; a backend is host:port or a path")
    address = _socket_address(text)
    if address.kind is AddressKind.TCP and address.port == 0:
        raise ConfigError(f"{text!r}: a backend needs a port from 1 to {MAX_PORT}")
    return address


def _socket_address(text: str) -> Address:
    if text.startswith("\\0"):
        return _unix(text, text[2:], AddressKind.ABSTRACT)
    if text.startswith("@"):
        return _unix(text, text[1:], AddressKind.ABSTRACT)
    if text.startswith(("/", "./", "../")) or ":" not in text:
        return _unix(text, text, AddressKind.UNIX)
    return _tcp(text)


def _unix(text: str, path: str, kind: AddressKind) -> Address:
    if not path:
        raise ConfigError(
            f"{text!r} is no address: expected host:port, :port, [IPv6]:port, a path, "
            "@name, fd://N or =N"
        )
    if path.isascii() and path.isdigit():
        raise ConfigError(f"{text!r} is no address: for a TCP port write ':{path}'")
    if "\0" in path:
        raise ConfigError(f"{text!r}: a NUL byte in the name of a UNIX socket")
    length = len(path.encode(errors="surrogateescape"))
    limit = MAX_PATH - (kind is AddressKind.ABSTRACT)  # a NUL before it, and one behind
    if length > limit:
        raise ConfigError(f"{text!r}: path of {length} bytes, limit {limit} for a UNIX socket")
    return Address(kind=kind, path=path)


def _tcp(text: str) -> Address:
    host, _, port_text = text.rpartition(":")
    port = _number(text, port_text, f"a port from 0 to {MAX_PORT} behind the last ':'")
    if port > MAX_PORT:
        raise ConfigError(f"{text!r}: port {port}, limit {MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        return Address(kind=AddressKind.TCP, host=_ipv6(text, host[1:-1]), port=port)
    if ":" in host:
        raise ConfigError(f"{text!r}: an IPv6 address stands in brackets, as in '[::1]:8080'")
    if host in ("", "*"):
        return Address(kind=AddressKind.TCP, port=port)
    if IPV4_LIKE.fullmatch(host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as error:
            raise ConfigError(f"{text!r}: {host!r} is no IPv4 address ({error})") from error
    elif not HOST_NAME.fullmatch(host):
        raise ConfigError(f"{text!r}: {host!r} is neither an IP address nor a host name")
    return Address(kind=AddressKind.TCP, host=host, port=port)


def _ipv6(text: str, host: str) -> str:
    try:
        ipaddress.IPv6Address(host)
    except ValueError as error:
        raise ConfigError(f"{text!r}: {host!r} is no IPv6 address ({error})") from error
    return host


def _number(text: str, digits: str, expectation: str) -> int:
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise ConfigError(f"{text!r} is no address: expected {expectation}")
    return int(digits)
