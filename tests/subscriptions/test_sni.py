"""Certificates that nodes bring (subscriptions/sni.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from uwgate.subscriptions.change import Change, SniBrought, SniGone, SniPaths
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.sni import are_within, paths_of, server_name
from uwgate.subscriptions.state import Copy, rows
from uwgate.subscriptions.table import Table

PACKET = Packet(key="k.com", address="a:1", sni_key="/tls/k", sni_crt="/tls/c", sni_ca="!/tls/a")
PATHS = SniPaths("/tls/k", "/tls/c", "!/tls/a")
OTHER = SniPaths("/new/k", "/new/c", "!/tls/a")


def follow(table: Table, packet: Packet) -> list[Change]:
    """What an announcement changes about certificates."""
    changes = table.follow(packet, 0.0, sni=True)
    return [change for change in changes if isinstance(change, SniBrought | SniGone)]


def renewed(packet: Packet) -> Packet:
    return replace(packet, sni_key="/new/k", sni_crt="/new/c")


def gone(packet: Packet) -> Packet:
    return replace(packet, command=Command.UNSUBSCRIBE)


def test_the_first_node_brings_the_certificate_of_its_name() -> None:
    assert follow(Table(), PACKET) == [SniBrought("k.com", PATHS)]


def test_it_is_brought_once() -> None:
    table = Table()
    follow(table, PACKET)
    assert follow(table, PACKET) == []
    assert follow(table, replace(PACKET, address="a:2")) == []


def test_paths_of_a_sender_that_is_not_trusted_are_not_used() -> None:
    table = Table()
    assert len(table.follow(PACKET, 0.0)) == 1
    assert table.sni.find("k.com") is None


def test_it_goes_with_the_last_node_even_with_a_port_in_the_key() -> None:
    table = Table()
    packet = replace(PACKET, key="k.com:8000")
    assert follow(table, packet) == [SniBrought("k.com", PATHS)]
    follow(table, replace(packet, address="a:2"))
    assert follow(table, gone(packet)) == []
    assert follow(table, gone(replace(packet, address="a:2"))) == [SniGone("k.com")]


def test_it_stays_as_long_as_another_key_has_the_name() -> None:
    table = Table()
    follow(table, PACKET)
    follow(table, renewed(replace(PACKET, key="k.com:8000")))
    assert follow(table, gone(PACKET)) == [SniBrought("k.com", OTHER)]
    assert follow(table, gone(replace(PACKET, key="k.com:8000"))) == [SniGone("k.com")]


def test_the_same_certificate_of_another_key_is_not_loaded_again() -> None:
    table = Table()
    follow(table, PACKET)
    assert follow(table, replace(PACKET, key="k.com:8000")) == []
    assert follow(table, gone(PACKET)) == []


def test_the_node_that_brought_it_may_change_it() -> None:
    table = Table()
    follow(table, PACKET)
    assert follow(table, renewed(PACKET)) == [SniBrought("k.com", OTHER)]


def test_nodes_that_disagree_do_not_take_turns() -> None:
    table = Table()
    follow(table, PACKET)
    assert follow(table, renewed(replace(PACKET, address="a:2"))) == []
    follow(table, gone(PACKET))
    assert follow(table, renewed(replace(PACKET, address="a:2"))) == [SniBrought("k.com", OTHER)]


def test_a_node_without_a_certificate_takes_none_with_it() -> None:
    table = Table()
    plain = Packet(key="k.com", address="a:1")
    assert follow(table, plain) == []
    assert follow(table, gone(plain)) == []


def test_certificates_are_handed_over() -> None:
    old, new = Table(), Table()
    follow(old, PACKET)
    copy = Copy(new)
    for row in rows(old, old.slots):
        copy.put(row, 0.0)
    assert new.sni.find("k.com") == PATHS
    assert list(rows(new, new.slots)) == list(rows(old, old.slots))


@pytest.mark.parametrize("missing", ["sni_key", "sni_crt"])
def test_a_key_and_a_certificate_are_both_needed(missing: str) -> None:
    packet = replace(PACKET, sni_key="") if missing == "sni_key" else replace(PACKET, sni_crt="")
    assert paths_of(packet) is None


@pytest.mark.parametrize(
    ("key", "name"), [("k.com", "k.com"), ("k.com:8000", "k.com"), ("k.com/shop", "k.com")]
)
def test_the_server_name_is_the_key_without_port_and_mountpoint(key: str, name: str) -> None:
    assert server_name(key) == name


@pytest.mark.parametrize(
    ("crt", "allowed"),
    [
        ("/tls/c", True),
        ("/tls/sub/c", True),
        ("/tls/../etc/c", False),
        ("/tlsx/c", False),
        ("/tls", False),
        ("tls/c", False),
    ],
)
def test_paths_have_to_lie_below_a_folder(crt: str, allowed: bool) -> None:
    assert are_within(SniPaths("/tls/k", crt, "!/tls/a"), ["/srv", "/tls/"]) is allowed


def test_the_mark_of_a_mandatory_certificate_is_no_part_of_the_path() -> None:
    assert not are_within(SniPaths("/tls/k", "/tls/c", "!/etc/a"), ["/tls"])
    assert are_within(SniPaths("/tls/k", "/tls/c"), ["/tls"])
