"""Who is at the other end of a client's connection."""

from __future__ import annotations

from typing import NamedTuple

MAPPED = "::ffff:"  # an IPv4 client of an IPv6 socket (RFC 4291 section 2.5.5.2)


class Caller(NamedTuple):
    """The client's IP address and port; ``host`` is empty for the client of a UNIX socket."""

    host: str = ""
    port: int = 0

    @classmethod
    def of(cls, address: object) -> Caller:
        """From what ``accept`` or ``getsockname`` has returned."""
        if not isinstance(address, tuple):
            return cls()
        host: str = address[0].partition("%")[0]
        if host.startswith(MAPPED) and "." in host:
            host = host.removeprefix(MAPPED)
        return cls(host, address[1])

    @property
    def is_ip(self) -> bool:
        """Whether it has an IP address at all."""
        return bool(self.host)

    def __str__(self) -> str:
        if not self.host:
            return "a local client"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
