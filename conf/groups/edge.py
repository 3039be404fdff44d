"""Around a client's connection to the HTTP gateway: who it is, and how much it may take."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.hsts import parse_hsts
from uwgate.conf.networks import check_networks
from uwgate.conf.option import Kind, option

NEAR = ("loopback", "private", "unix")


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """Proxies in front, whom to believe, and limits of a client's connection.

    Lists of networks are those of ``uwgate.conf.networks``.
    """

    http_enable_proxy_protocol: bool = option(
        False,
        kind=Kind.BOOL,
        optional_value=True,
        help="Connections from http-proxy-protocol-from begin with a PROXY header (version 1 or 2) "
        "that says who the client is.",
    )
    enable_proxy_protocol: bool = option(
        False,
        kind=Kind.BOOL,
        help="The same for the gateway and for the workers' HTTP sockets.",
    )
    http_proxy_protocol_from: tuple[str, ...] = option(
        NEAR,
        kind=Kind.TEXT,
        ours=True,
        check=check_networks,
        help="Who must send a PROXY header: networks, loopback, private, unix, all, none. "
        "From everybody else it is a bad request.",
    )
    http_stud_prefix: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=check_networks,
        help="Connections from here begin with the client's address as stud and hitch write it, "
        "and mean https.",
    )
    http_trust_forwarded: tuple[str, ...] = option(
        NEAR,
        kind=Kind.TEXT,
        ours=True,
        check=check_networks,
        help="Whose X-Forwarded-*, X-Real-IP and Forwarded are believed and passed on: networks, "
        "loopback, private, unix, all, none. Those of everybody else are removed.",
    )
    http_add_forwarded: bool = option(
        False,
        kind=Kind.BOOL,
        ours=True,
        help="Add the client to X-Forwarded-For (and to Forwarded where it is), and "
        "X-Forwarded-Proto where it is missing, as a proxy does.",
    )
    http_client_connections: int = option(
        0,
        kind=Kind.INT,
        ours=True,
        help="Most connections of one client address (IPv6: of one /64) to a gateway process; "
        "0: a quarter of all. Does not count for http-trust-forwarded.",
    )
    http_connection_requests: int = option(
        100000,
        kind=Kind.INT,
        ours=True,
        help="Close a connection after this many requests; 0: never.",
    )
    http_connection_lifetime: float = option(
        3600.0,
        kind=Kind.SECONDS,
        ours=True,
        help="Close a connection with the first answer after about this long (a tenth more or "
        "less); 0: never.",
    )
    http_min_rate: int = option(
        240,
        kind=Kind.INT,
        ours=True,
        help="Bytes a second at which a client must send a body and take a response; 0: any.",
    )
    http_min_rate_grace: float = option(
        15.0,
        kind=Kind.SECONDS,
        ours=True,
        help="How long a client may be slower than http-min-rate.",
    )
    http_body_buffer: int = option(
        65536,
        kind=Kind.BYTES,
        ours=True,
        maximum=16 << 20,
        help="Ask for a worker when a request's body is complete, or this much of it has come; "
        "0: at once.",
    )
    http_response_buffer: int = option(
        16 << 20,
        kind=Kind.BYTES,
        ours=True,
        help="Take an answer of up to this size off its worker's hands when the client is slow to "
        "take it, into a temporary file; 0: the worker waits.",
    )
    http_response_buffers: int = option(
        1 << 30,
        kind=Kind.BYTES,
        ours=True,
        help="The same for all clients of a gateway process together.",
    )
    https_hsts: str | None = option(
        None,
        kind=Kind.TEXT,
        ours=True,
        check=parse_hsts,
        help="Send Strict-Transport-Security over TLS: MAX-AGE[,includeSubDomains][,preload].",
    )
