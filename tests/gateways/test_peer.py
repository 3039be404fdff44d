"""Who a client is (gateways/peer.py)."""

from __future__ import annotations

import pytest

from uwgate.conf.groups.edge import EdgeOptions
from uwgate.gateways.peer import Crowd, Peer, Peers, group_of
from uwgate.gateways.wire.uwsgi import decode_block

PEERS = Peers(EdgeOptions())
PUBLIC = b"203.0.113.7"


def test_a_peer_has_its_address_and_port_as_variables() -> None:
    peer = PEERS.make(b"\x01\0A\x01\0b", PUBLIC, b"1024")
    assert dict(decode_block(peer.block)) == {
        b"A": b"b",
        b"REMOTE_ADDR": PUBLIC,
        b"REMOTE_PORT": b"1024",
    }
    assert str(peer) == "203.0.113.7:1024"


@pytest.mark.parametrize(
    ("address", "trusted"), [(PUBLIC, False), (b"127.0.0.1", True), (b"fd00::1", True)]
)
def test_neighbours_are_trusted_and_not_counted(address: bytes, trusted: bool) -> None:
    peer = PEERS.make(b"", address, b"1")
    assert (peer.is_trusted, peer.group == b"") == (trusted, trusted)


def test_the_client_of_a_unix_socket_has_no_address() -> None:
    peer = PEERS.make_local(b"")
    assert (peer.address, peer.port, peer.is_trusted, peer.group) == (b"0.0.0.0", b"0", True, b"")


def test_who_is_unknown_is_not_trusted() -> None:
    assert not PEERS.make_unknown(b"", b"127.0.0.1", b"1").is_trusted


def test_more_variables_change_nothing_else() -> None:
    peer = PEERS.make(b"", PUBLIC, b"1")
    more = peer + b"\x01\0A\x01\0b"
    assert more.block == peer.block + b"\x01\0A\x01\0b"
    assert (more.group, more.is_trusted, more.is_secure) == (PUBLIC, False, False)
    assert more.secured(b"\x01\0C\x01\0d").is_secure


def test_an_ipv6_client_is_its_network_of_64_bits() -> None:
    assert group_of(b"2001:db8::1") == group_of(b"2001:db8:0:0:ffff::2%eth0")
    assert group_of(b"2001:db8:0:1::1") != group_of(b"2001:db8::1")
    assert group_of(PUBLIC) == PUBLIC


def test_a_crowd_counts_and_forgets() -> None:
    crowd = Crowd(2)
    crowd.enter(b"a")
    assert not crowd.is_full(b"a")
    crowd.enter(b"a")
    assert crowd.is_full(b"a")
    assert not crowd.is_full(b"b")
    crowd.leave(b"a")
    crowd.leave(b"a")
    assert crowd._counts == {}


def test_nobody_in_particular_is_never_a_crowd() -> None:
    crowd = Crowd(1)
    for _ in range(3):
        crowd.enter(b"")
    assert not crowd.is_full(b"")
    crowd.leave(b"")


def test_a_peer_is_small() -> None:
    assert not hasattr(Peer(b"", b"", b"", False, False, b""), "__dict__")
