"""What listens: sockets that the master binds (spec/workers.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """Listening sockets and their properties.

    Addresses are those of ``uwgate.conf.address``.
    """

    socket: tuple[str, ...] = option(
        (),
        kind=Kind.ADDRESS,
        short="s",
        help="Workers listen here with the protocol of the option 'protocol'.",
    )
    uwsgi_socket: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, help="Workers listen here for uwsgi packets (nginx uwsgi_pass)."
    )
    http_socket: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, help="Workers listen here for HTTP, one request a connection."
    )
    http11_socket: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, help="Workers listen here for HTTP/1.1 with keep-alive."
    )
    shared_socket: tuple[str, ...] = option(
        (),
        kind=Kind.ADDRESS,
        aliases=("undeferred-shared-socket",),
        help="Bind an address now, to be used as =0, =1, ... by other options.",
    )
    protocol: str = option(
        "uwsgi",
        kind=Kind.TEXT,
        aliases=("socket-protocol",),
        choices=("uwsgi", "http", "http11"),
        help="What is spoken on 'socket'.",
    )
    listen: int = option(
        1024,
        kind=Kind.INT,
        short="l",
        minimum=1,
        help="Queue of connections not yet accepted; at most net.core.somaxconn.",
    )
    abstract_socket: bool = option(
        False, kind=Kind.BOOL, short="a", help="Make UNIX socket names abstract."
    )
    chmod_socket: int | None = option(
        None,
        kind=Kind.OCTAL,
        short="C",
        aliases=("chmod",),
        optional_value=True,
        true_means=0o666,
        help="Permissions of UNIX sockets, in octal; without a value 666.",
    )
    chown_socket: str | None = option(
        None, kind=Kind.TEXT, help="Owner of UNIX sockets: user or user:group."
    )
    umask: int | None = option(None, kind=Kind.OCTAL, help="File mode creation mask, in octal.")
    reuse_port: bool = option(False, kind=Kind.BOOL, help="Bind with SO_REUSEPORT.")
    freebind: bool = option(False, kind=Kind.BOOL, help="Bind addresses that do not exist yet.")
    tcp_nodelay: bool = option(True, kind=Kind.BOOL, help="Send small answers at once.")
    so_keepalive: bool = option(False, kind=Kind.BOOL, help="Let TCP probe silent peers.")
    vacuum: bool = option(
        False, kind=Kind.BOOL, help="Remove UNIX sockets and pid files when stopping."
    )
