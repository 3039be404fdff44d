"""On which sockets legions hear and speak (src/uwgate/legion/sockets.py)."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.legion import LegionOptions
from uwgate.legion.sockets import bind
from uwgate.subscriptions.legion.spec import LegionSpec, read_all


def spec(address: str) -> LegionSpec:
    """One with that address; port 0, which no option may name, lets the kernel choose."""
    host, _, port = address.rpartition(":")
    known = f"{host}:1" if host else address
    made = read_all([("legion", f"ring {known} 1 aes-256-cbc:secret")])["ring"]
    return replace(made, listen=replace(made.listen, port=int(port))) if host else made


def number(sock: socket.socket, option: int) -> int:
    return sock.getsockopt(socket.IPPROTO_IP, option)


def test_packets_to_groups_go_as_far_as_the_options_say() -> None:
    with bind(spec("127.0.0.1:0"), LegionOptions()) as sock:
        assert number(sock, socket.IP_MULTICAST_TTL) == 1
        assert number(sock, socket.IP_MULTICAST_LOOP) == 1
    options = LegionOptions(multicast_ttl=7, multicast_loop=False)
    with bind(spec("127.0.0.1:0"), options) as sock:
        assert number(sock, socket.IP_MULTICAST_TTL) == 7
        assert number(sock, socket.IP_MULTICAST_LOOP) == 0


def test_instances_of_a_machine_share_the_port_of_a_broadcast() -> None:
    with bind(spec("255.255.255.255:0"), LegionOptions()) as first:
        port = first.getsockname()[1]
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
        with bind(spec(f"255.255.255.255:{port}"), LegionOptions()) as second:
            assert second.getsockname()[1] == port


def test_an_address_of_its_own_is_not_shared() -> None:
    with bind(spec("127.0.0.1:0"), LegionOptions()) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"legion ring: cannot listen on 127.0.0.1:{port}: "):
            bind(spec(f"127.0.0.1:{port}"), LegionOptions())


def test_a_path_reaches_nobody_and_is_refused() -> None:
    with pytest.raises(ConfigError, match="other nodes cannot be reached from a UNIX socket"):
        bind(spec("/run/legion"), LegionOptions())
