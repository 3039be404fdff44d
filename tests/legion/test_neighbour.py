"""src/uwgate/legion/neighbour.py: frames of ARP and neighbour discovery."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.legion.neighbour import announcements, internet_checksum, owner, probe

MAC = bytes.fromhex("020000000001")
FOUR = ipaddress.IPv4Address("192.0.2.10")
SIX = ipaddress.IPv6Address("2001:db8::10")


def test_an_ipv4_address_is_announced_by_request_and_reply() -> None:
    request, reply = announcements(FOUR, MAC)
    assert request.hex() == (
        "ffffffffffff" "020000000001" "0806"
        "0001" "0800" "06" "04" "0001"
        "020000000001" "c000020a" "000000000000" "c000020a"
    ) + "00" * 18  # fmt: skip
    assert reply[20:22] == b"\0\2"
    assert len(request) == len(reply) == 60


def test_an_ipv6_address_is_announced_to_all_nodes_of_the_link() -> None:
    (frame,) = announcements(SIX, MAC)
    assert frame[:14].hex() == "33330000000102000000000186dd"
    assert frame[14:54].hex() == (
        "60000000" "0020" "3a" "ff" "20010db8000000000000000000000010"
        "ff020000000000000000000000000001"
    )  # fmt: skip
    assert frame[54:56] + frame[58:].hex().encode()[:0] == b"\x88\0"
    assert frame[58:].hex() == (
        "20000000" "20010db8000000000000000000000010" "0201" "020000000001"
    )  # fmt: skip


def test_an_announcement_is_a_claim() -> None:
    assert [owner(FOUR, frame) for frame in announcements(FOUR, MAC)] == [MAC, MAC]
    assert [owner(SIX, frame) for frame in announcements(SIX, MAC)] == [MAC]


def test_a_probe_claims_nothing() -> None:
    assert owner(FOUR, probe(FOUR, MAC)) is None
    assert owner(SIX, probe(SIX, MAC)) is None


def test_a_probe_for_ipv6_goes_to_the_solicited_nodes_group() -> None:
    frame = probe(SIX, MAC)
    assert frame[:6].hex() == "3333ff000010"
    assert frame[22:38] == bytes(16)
    assert frame[38:54].hex() == "ff0200000000000000000001ff000010"
    assert frame[54] == 135


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_claims_of_other_addresses_do_not_matter(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    for frame in announcements(address, MAC):
        assert owner(address + 1, frame) is None


def test_an_advertisement_from_another_link_is_none() -> None:
    (frame,) = announcements(SIX, MAC)
    assert owner(SIX, frame[:21] + b"\xfe" + frame[22:]) is None


def test_a_changed_advertisement_is_none() -> None:
    (frame,) = announcements(SIX, MAC)
    assert owner(SIX, frame[:-1] + b"\xff") is None


@pytest.mark.parametrize("address", [FOUR, SIX])
@pytest.mark.parametrize("cut", range(41))
def test_a_frame_cut_short_is_no_claim(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, cut: int
) -> None:
    assert owner(address, announcements(address, MAC)[0][:cut]) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(frame: bytes) -> None:
    owner(FOUR, frame)
    owner(SIX, frame)


@given(st.binary(max_size=50))
def test_data_with_its_checksum_sums_up_to_nothing(data: bytes) -> None:
    data += b"\0" * (len(data) % 2)
    assert internet_checksum(data + internet_checksum(data).to_bytes(2, "big")) == 0
