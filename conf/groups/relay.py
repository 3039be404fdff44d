"""What the gateways that never look inside have in common (spec/gateways.md sections 7 and 8).

One declaration for both kinds: ``rawrouter-timeout``, ``sslrouter-timeout``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """How bytes are carried, and for how long."""

    PREFIX: ClassVar[str] = ""

    timeout: float = option(
        60.0, kind=Kind.SECONDS, help="Close a connection when no byte moves for this long."
    )
    total_timeout: float = option(
        0.0, kind=Kind.SECONDS, help="Close a connection after this long; 0: never."
    )
    drain_limit: float | None = option(
        None,
        kind=Kind.SECONDS,
        help="Connections live on for this long after a reload; without it for reload-mercy.",
    )
    backend_proxy_protocol: int = option(
        0,
        kind=Kind.INT,
        maximum=2,
        help="Begin connections to backends with a PROXY header of this version, 1 or 2; 0: none.",
    )
    buffer_size: int = option(
        16384,
        kind=Kind.BYTES,
        minimum=4096,
        help="Most bytes that are copied at a time; where there is more, the kernel moves it.",
    )
    pipes: int = option(
        128,
        kind=Kind.INT,
        help="Most pipes (two descriptors each) through which the kernel moves bytes at a time in "
        "one process; without one left they are copied.",
    )
    max_connections: int = option(
        0,
        kind=Kind.INT,
        help="Most client connections of one process; 0: what the descriptor limit allows.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RawrouterRelayOptions(RelayOptions):
    """The rawrouter's connections."""

    PREFIX: ClassVar[str] = "rawrouter-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SslrouterRelayOptions(RelayOptions):
    """The sslrouter's connections."""

    PREFIX: ClassVar[str] = "sslrouter-"
