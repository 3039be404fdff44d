"""Sockets for announcements (src/uwgate/datagrams.py): bound, shared, kept, removed."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import free_port
from uwgate.conf.address import Address, AddressKind, parse_listen
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.corerouter import HttpCorerouterOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.conf.groups.sockets import SocketOptions
from uwgate.conf.groups.subscriptions import SubscriptionOptions
from uwgate.conf.settings import Settings
from uwgate.datagrams import asks_who, bind_datagrams
from uwgate.identity import KEEP_OWNER
from uwgate.sockets import Sockets, bind_all

Bind = Callable[..., Sockets]


@pytest.fixture
def bind() -> Iterator[Bind]:
    """``bind("127.0.0.1:0", ...)`` binds subscription servers, and one address for HTTP."""
    with contextlib.ExitStack() as stack:

        def bind_them(*servers: str, previous: Sockets | None = None, **options: Any) -> Sockets:
            settings = Settings(
                http=HttpOptions(http=("127.0.0.1:0",)),
                http_corerouter=HttpCorerouterOptions(subscription_server=servers),
                sockets=SocketOptions(**options),
            )
            sockets = bind_all(settings, lambda note: None, previous=previous)
            stack.callback(sockets.close_and_vacuum)
            return sockets

        yield bind_them


def inbox(sockets: Sockets, number: int = 0) -> socket.socket:
    listener = sockets.of("http-subscription")[number]
    (found,) = (one.socket for one in sockets.bound.values() if one.socket.fileno() == listener.fd)
    return found


def arrives(sockets: Sockets, number: int = 0) -> bool:
    """Whether a datagram to the address that the log names reaches the socket."""
    here = inbox(sockets, number)
    with socket.socket(here.family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hello", here.getsockname())
    return here.recv(100) == b"hello"


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", ":0", "localhost:0", "@{}", "{}"])
def test_every_kind_of_address_takes_datagrams(bind: Bind, tmp_path: Path, address: str) -> None:
    assert arrives(bind(address.format(tmp_path / "announce")))


def test_the_registry_gets_all_of_them_and_a_socket_for_gateways(bind: Bind) -> None:
    sockets = bind("127.0.0.1:0", "127.0.0.1:0")
    roles = [one.role for one in sockets.registry_listeners]
    assert sorted(roles) == ["http-subscription", "http-subscription", "registry"]
    assert sockets.registry_address is not None
    assert sockets.gateway_listeners == sockets.of("http")


def test_there_is_no_registry_without_a_server(bind: Bind) -> None:
    sockets = bind()
    assert sockets.registry_address is None
    assert sockets.registry_listeners == ()


def test_a_port_may_be_used_for_http_and_for_announcements(bind: Bind) -> None:
    name = f"127.0.0.1:{free_port()}"  # 0 would be anybody's port for the other protocol
    bind(name)
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", int(name.rpartition(":")[2])))


def test_both_kinds_of_ip_may_have_one_port(bind: Bind) -> None:
    port = free_port(socket.SOCK_DGRAM)
    assert arrives(bind(f":{port}"))
    assert arrives(bind(f"[::]:{port}"))


def test_a_multicast_group_is_joined_and_may_be_shared() -> None:
    address = parse_listen("239.255.43.21:0")
    first = bind_datagrams(address, SocketOptions(), KEEP_OWNER)
    with first.socket, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        port = first.socket.getsockname()[1]
        same = Address(kind=AddressKind.TCP, host=address.host, port=port)
        second = bind_datagrams(same, SocketOptions(), KEEP_OWNER)
        with second.socket:
            try:
                sender.sendto(b"to all", (address.host, port))
            except OSError as error:
                pytest.skip(f"no way to a multicast group here: {error}")
            for bound in (first, second):
                bound.socket.settimeout(60)
                assert bound.socket.recv(100) == b"to all"


def test_no_other_address_may_be_shared(bind: Bind) -> None:
    name = bind("127.0.0.1:0").of("http-subscription")[0].name
    with pytest.raises(ConfigError, match=f"http-subscription-server: {name}: in use"):
        bind(name)


@pytest.mark.parametrize("address", ["fd://3", "=0", "nohost.invalid:80", "203.0.113.1:0"])
def test_what_cannot_be_bound_is_an_error_with_its_option(bind: Bind, address: str) -> None:
    with pytest.raises(ConfigError, match="http-subscription-server"):
        bind(address)


def test_a_socket_that_nobody_receives_on_is_replaced(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "announce"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    assert arrives(bind(str(path)))


def test_one_that_somebody_receives_on_is_not(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "announce"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as alive:
        alive.bind(str(path))
        with pytest.raises(ConfigError, match="somebody receives there"):
            bind(str(path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as stream:
        stream.bind(str(path))
        stream.listen()
        with pytest.raises(ConfigError, match="in use"):
            bind(str(path))


def test_other_files_are_left_alone(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "announce"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="is not a socket"):
        bind(str(path))
    assert path.read_text() == "precious"


def test_the_file_gets_the_configured_permissions(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "announce"
    first = bind(str(path), chmod_socket=0o620)
    assert stat.S_IMODE(path.stat().st_mode) == 0o620
    bind(str(path), chmod_socket=0o600, previous=first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_reload_keeps_what_waits_in_the_socket(bind: Bind, tmp_path: Path) -> None:
    servers = ("127.0.0.1:0", str(tmp_path / "announce"))
    first = bind(*servers)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"waiting", servers[1])
    second = bind(*servers, previous=first)
    assert inbox(second, 0) is inbox(first, 0)
    assert inbox(second, 1).recv(100) == b"waiting"
    assert second.registry_address == first.registry_address


def test_a_file_that_was_removed_is_made_again(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "announce"
    first = bind(str(path))
    path.unlink()
    assert arrives(bind(str(path), previous=first))


def test_vacuum_removes_the_file(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "announce"
    bind(str(path)).close_and_vacuum()
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, False),
        ({"subscriptions_use_credentials": True}, True),
        ({"subscriptions_credentials_check": ("/k/",)}, True),
        ({"subscriptions_sign_skip_uid": ("33",)}, True),
    ],
)
def test_the_kernel_is_asked_who_sends_where_that_matters(
    tmp_path: Path, options: dict[str, Any], answer: bool
) -> None:
    settings = Settings(
        http_corerouter=HttpCorerouterOptions(subscription_server=(str(tmp_path / "s"),)),
        subscriptions=SubscriptionOptions(**options),
    )
    assert asks_who(settings) is answer
    sockets = bind_all(settings, lambda note: None)
    try:
        here = inbox(sockets)
        assert bool(here.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED)) is answer
    finally:
        sockets.close_and_vacuum()


def test_there_is_room_for_a_whole_fleet(bind: Bind) -> None:
    default = int(Path("/proc/sys/net/core/rmem_default").read_text())
    buffer = inbox(bind("127.0.0.1:0")).getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert buffer > default
    assert os.geteuid() != 0 or buffer >= 4 << 20
