"""Where a gateway finds its backends: one declaration for all kinds (spec/gateways.md 3 to 6).

uWSGI calls what its gateways share the corerouter. Each kind has these options under its own
prefix: ``http-to``, ``fastrouter-to``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from uwgate.conf.codestring import parse_code_string
from uwgate.conf.option import Kind, option
from uwgate.conf.zergs import parse_server

# Those of uwgate.subscriptions.balancing.
ALGORITHM_NAMES = ("wrr", "lrc", "wlrc", "iphash", "p2c", "least-time", "chash")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorerouterOptions:
    """Backends of a gateway, how one is chosen, and what happens when it fails.

    Of ``use_cache``, ``use_pattern``, ``subscription_server``, ``use_base``, ``use_code_string``,
    ``use_socket`` and ``to`` the first in this order decides (section 3).
    """

    PREFIX: ClassVar[str] = ""

    @property
    def names_backends(self) -> bool:
        """Whether requests go elsewhere than to this instance's own workers by leases."""
        return bool(
            self.use_cache is not None
            or self.use_pattern
            or self.subscription_server
            or self.use_base
            or self.use_code_string
            or self.use_socket is not None
            or self.to
        )

    @property
    def uses_own_socket(self) -> bool:
        """Whether ``use_socket`` decides."""
        others = (self.use_pattern, self.subscription_server, self.use_base, self.use_code_string)
        return self.use_socket is not None and self.use_cache is None and not any(others)

    processes: int = option(
        1, kind=Kind.INT, aliases=("workers",), minimum=1, help="Gateway processes."
    )
    to: tuple[str, ...] = option(
        (),
        kind=Kind.ADDRESS,
        help="Forward to this backend instead of our own workers; several take turns.",
    )
    use_cache: str | None = option(
        None,
        kind=Kind.TEXT,
        optional_value=True,
        help="The value of the key in this cache, or in the first one, is the backend's address.",
    )
    use_pattern: str | None = option(
        None, kind=Kind.TEXT, help="The backend's address; %s in it stands for the key."
    )
    use_base: str | None = option(
        None, kind=Kind.TEXT, help="The backend's address is this, immediately followed by the key."
    )
    use_code_string: str | None = option(
        None,
        kind=Kind.TEXT,
        check=parse_code_string,
        help="MODIFIER1:FILE:FUNCTION; the Python function gets the key and returns the address.",
    )
    use_socket: int | None = option(
        None,
        kind=Kind.INT,
        optional_value=True,
        true_means=0,
        help="The backend is this socket of the instance, from 0.",
    )
    subscription_server: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, help="Take the announcements of nodes here (datagrams)."
    )
    subscription_fallback_key: str | None = option(
        None, kind=Kind.TEXT, help="Also look for nodes under this key."
    )
    fallback: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, help="A backend for when no other takes the request; in order."
    )
    max_retries: int = option(
        3, kind=Kind.INT, help="Other backends that are tried after one that cannot be connected."
    )
    retry_budget: int = option(
        20,
        kind=Kind.INT,
        maximum=100,
        help="Most retries for every 100 requests; three each second are always possible.",
    )
    gracetime: float = option(
        30.0, kind=Kind.SECONDS, help="Leave a backend of -to alone for this long after a failure."
    )
    connect_timeout: float = option(
        5.0, kind=Kind.SECONDS, help="A backend must accept a connection within this time."
    )
    quiet: bool = option(False, kind=Kind.BOOL, help="Do not log unreachable backends.")
    cheap: bool = option(
        False, kind=Kind.BOOL, help="Accept connections only while there are subscribed nodes."
    )
    algo: str | None = option(
        None,
        kind=Kind.TEXT,
        choices=ALGORITHM_NAMES,
        help="How nodes share the requests; without it as subscription-algo says.",
    )
    algo_of: tuple[str, ...] = option(
        (), kind=Kind.PAIR, help="The algorithm for one key: KEY=ALGORITHM."
    )
    slow_start: float = option(
        0.0, kind=Kind.SECONDS, help="A new node gets its full share after this long."
    )
    node_connections: int = option(
        0, kind=Kind.INT, help="Most requests at a time for one node; 0: no limit."
    )
    node_pending: int = option(
        0,
        kind=Kind.INT,
        help="Most requests of one key that wait while all its nodes are full; 0: none wait.",
    )
    eject_failures: int = option(
        5, kind=Kind.INT, help="Bad answers in a row that put a node out; 0: never."
    )
    eject_time: float = option(
        5.0, kind=Kind.SECONDS, help="A node is out for this long, twice as long the next time."
    )
    eject_time_limit: float = option(
        300.0, kind=Kind.SECONDS, help="The longest time that a node is out."
    )
    eject_most: int = option(
        50,
        kind=Kind.INT,
        maximum=100,
        help="Most nodes of one key that are out for bad answers, in percent.",
    )
    check: str | None = option(
        None,
        kind=Kind.TEXT,
        help="Look after nodes: tcp (connects), uwsgi (answers a ping) or a path (HTTP below 400).",
    )
    check_interval: float = option(
        2.0, kind=Kind.SECONDS, minimum=0.1, help="Time between two looks at a node."
    )
    check_timeout: float = option(
        1.0, kind=Kind.SECONDS, minimum=0.01, help="A look that takes longer has failed."
    )
    check_fall: int = option(
        2, kind=Kind.INT, minimum=1, help="Failed looks in a row that put a node out."
    )
    check_rise: int = option(
        1, kind=Kind.INT, minimum=1, help="Good looks in a row that take it back."
    )
    resubscribe: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, help="Announce the keys that have nodes here to this server."
    )
    resubscribe_bind: str | None = option(
        None, kind=Kind.ADDRESS, help="Send those announcements from this UDP address."
    )
    resubscribe_sign: str | None = option(
        None, kind=Kind.TEXT, help="SCHEME:PEMFILE; sign those announcements with this key."
    )
    stats_server: str | None = option(
        None,
        kind=Kind.ADDRESS,
        aliases=("stats", "ss"),
        help="Show the state of the gateway here, as JSON.",
    )
    zerg: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=parse_server,
        help="Accept on the sockets that the zerg server or pool at this path gives.",
    )
    harakiri: float = option(
        0.0,
        kind=Kind.SECONDS,
        minimum=0.0,
        help="End a gateway process that stands still for this long, and start another; the log "
        "says where it stood. 0: never.",
    )
    uid: str | None = option(None, kind=Kind.TEXT, help="User of the gateway processes.")
    gid: str | None = option(None, kind=Kind.TEXT, help="Group of the gateway processes.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCorerouterOptions(CorerouterOptions):
    """Where requests of the HTTP gateway go."""

    PREFIX: ClassVar[str] = "http-"


@dataclass(frozen=True, slots=True, kw_only=True)
class FastrouterCorerouterOptions(CorerouterOptions):
    """Where requests of the fastrouter go."""

    PREFIX: ClassVar[str] = "fastrouter-"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawrouterCorerouterOptions(CorerouterOptions):
    """Where connections of the rawrouter go."""

    PREFIX: ClassVar[str] = "rawrouter-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SslrouterCorerouterOptions(CorerouterOptions):
    """Where connections of the sslrouter go."""

    PREFIX: ClassVar[str] = "sslrouter-"
