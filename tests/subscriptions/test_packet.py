"""Subscription packets (subscriptions/packet.py), against what uWSGI 2.0.31 sends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire import uwsgi
from uwgate.subscriptions.packet import (
    MAX_DATAGRAM,
    MAX_WEIGHT,
    Command,
    Packet,
    decode,
    encode,
)
from uwgate.subscriptions.refusal import Refusal, Refused

from .cases import NAMES, captured

NODE = "127.0.0.1:43031"
PLAIN = Packet(key="foo.com", address=NODE, cores=1)
SENT = {
    "subscribe2": replace(PLAIN, cores=6),
    "subscribe2-unix": PLAIN,
    "subscribe-to": PLAIN,
    "subscribe-to-modifier": replace(PLAIN, key="foo.com:8000", modifier1=5),
    "subscribe-to-unix": replace(PLAIN, modifier1=5),
    "subscribe-to-local": replace(PLAIN, address="/run/node.sock"),
    "subscribe-to-file-1": PLAIN,
    "subscribe-to-file-2": replace(PLAIN, key="bar.com", modifier1=5),
    "everything": Packet(
        key="foo.com:8000",
        address="10.0.0.1:99",
        modifier1=5,
        modifier2=2,
        cores=1,
        weight=3,
        sni_key="/tls/k.pem",
        sni_crt="/tls/c.pem",
        sni_ca="!/tls/a.pem",
        notify="/run/n.sock",
    ),
    "escaped": replace(PLAIN, key="a,b"),
    "weighted": replace(PLAIN, weight=7),
}
FULL = Packet(
    key="k",
    address="a:1",
    modifier1=1,
    modifier2=2,
    cores=3,
    load=4,
    weight=5,
    backup=6,
    vassal="v.ini",
    sni_key="/k",
    sni_crt="/c",
    sni_ca="/a",
    proto="h",
    algo="lrc",
    inactive="1",
    notify="/n",
    clear=1,
    free=7,
    via="one,two",
    micros=8,
    unix=9,
    signature=b"\0s",
)

texts = st.text(st.characters(categories=["L", "N", "P"]), max_size=40)
numbers = st.integers(0, 255)
packets = st.builds(
    Packet,
    command=st.sampled_from(Command),
    key=texts.filter(bool),
    address=texts.filter(bool),
    modifier1=numbers,
    modifier2=numbers,
    cores=st.integers(0, 1 << 62),
    load=st.integers(0, 1 << 62),
    weight=st.integers(0, MAX_WEIGHT),
    backup=numbers,
    sni_key=texts,
    notify=st.text("abc/.", max_size=101),
    algo=texts,
    clear=st.none() | numbers,
    free=st.none() | numbers,
    via=texts,
    unix=st.none() | st.integers(0, 1 << 40),
    signature=st.binary(max_size=256),
)


def reason_of(datagram: bytes) -> Refusal:
    with pytest.raises(Refused) as caught:
        decode(datagram)
    return caught.value.reason


def outcome(datagram: bytes) -> Refusal | bool:
    """Why a datagram is refused, or whether what was decoded can be encoded and read again."""
    try:
        packet = decode(datagram)
    except Refused as refused:
        return refused.reason
    return 1 <= len(packet.key.encode()) <= 255 and decode(encode(packet)) == packet


def block(*variables: tuple[bytes, bytes], modifier1: int = 224, modifier2: int = 0) -> bytes:
    return uwsgi.encode([(b"key", b"k"), (b"address", b"a:1"), *variables], modifier1, modifier2)


@pytest.mark.parametrize("name", SENT)
def test_a_subscribe_is_encoded_as_uwsgi_does(name: str) -> None:
    assert encode(SENT[name]) == captured(f"{name}.subscribe")


@pytest.mark.parametrize("name", SENT)
def test_an_unsubscribe_is_encoded_as_uwsgi_does(name: str) -> None:
    packet = replace(SENT[name], command=Command.UNSUBSCRIBE)
    assert encode(packet) == captured(f"{name}.unsubscribe")


@pytest.mark.parametrize("name", SENT)
def test_what_uwsgi_sends_is_understood(name: str) -> None:
    assert decode(captured(f"{name}.subscribe")) == SENT[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_captured_datagram_is_encoded_again_byte_by_byte(name: str) -> None:
    assert encode(decode(captured(name))) == captured(name)


def test_the_variables_of_2_1_and_ours_stand_before_the_signature_in_order() -> None:
    names = [name for name, _ in uwsgi.decode_block(encode(FULL)[4:])]
    assert b" ".join(names) == (
        b"key address modifier1 modifier2 cores load weight backup vassal sni_key sni_crt sni_ca "
        b"proto algo inactive notify clear free via micros unix sign"
    )
    assert decode(encode(FULL)) == FULL


@given(packets)
def test_what_is_encoded_is_decoded(packet: Packet) -> None:
    assert decode(encode(packet)) == packet


@given(st.binary(max_size=300))
def test_any_datagram_is_decoded_or_refused(datagram: bytes) -> None:
    assert outcome(datagram) in (Refusal.MALFORMED, Refusal.TOO_LARGE, True)


@given(st.sampled_from(NAMES), st.data())
def test_a_damaged_datagram_of_uwsgi_is_decoded_or_refused(name: str, data: st.DataObject) -> None:
    datagram = bytearray(captured(name))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(datagram) - 1))
        datagram[at] = data.draw(st.integers(0, 255))
    assert outcome(bytes(datagram)) in (Refusal.MALFORMED, Refusal.TOO_LARGE, True)


@pytest.mark.parametrize("cut", range(len(captured("everything.subscribe"))))
def test_a_datagram_cut_short_anywhere_is_refused(cut: int) -> None:
    assert reason_of(captured("everything.subscribe")[:cut]) is Refusal.MALFORMED


def test_unknown_variables_are_passed_over() -> None:
    assert decode(block((b"colour", b"\xff\0"))) == Packet(key="k", address="a:1")


@pytest.mark.parametrize(
    "datagram",
    [
        block(modifier1=7),
        block(modifier2=2),
        block() + b"x",
        uwsgi.encode([(b"address", b"a:1")], 224),
        uwsgi.encode([(b"key", b""), (b"address", b"a:1")], 224),
        uwsgi.encode([(b"key", b"k")], 224),
        block((b"key", b"other")),
        block((b"weight", b"")),
        block((b"weight", b"-1")),
        block((b"weight", b"1x")),
        block((b"weight", "٣".encode())),
        block((b"sign", b"s"), (b"unix", b"1")),
        block((b"sni_key", b"/a\nb")),
        block((b"sni_key", b"/a\0b")),
        block((b"sni_key", b"/\xff")),
    ],
)
def test_a_packet_that_may_be_read_differently_is_refused(datagram: bytes) -> None:
    assert reason_of(datagram) is Refusal.MALFORMED


@pytest.mark.parametrize(
    "datagram",
    [
        uwsgi.encode([(b"key", b"k" * 256), (b"address", b"a:1")], 224),
        uwsgi.encode([(b"key", b"k"), (b"address", b"a" * 256)], 224),
        block((b"modifier1", b"256")),
        block((b"weight", b"1000001")),
        block((b"load", b"9" * 20)),
        block((b"notify", b"/" * 102)),
        block((b"sign", b"")),
        block((b"sign", b"s" * 1025)),
        block((b"junk", b"j" * MAX_DATAGRAM)),
    ],
)
def test_what_is_too_large_for_its_field_is_refused(datagram: bytes) -> None:
    assert reason_of(datagram) is Refusal.TOO_LARGE


def test_names_of_255_bytes_are_accepted() -> None:
    packet = Packet(key="k" * 255, address="a" * 255)
    assert decode(encode(packet)) == packet


def test_a_vassal_may_come_without_an_address() -> None:
    packet = Packet(key="k", vassal="v.ini")
    assert decode(encode(packet)) == packet


def test_a_packet_that_no_receiver_would_take_is_not_made() -> None:
    long = "/" + "x" * 2000
    with pytest.raises(Refused, match="limit 4096"):
        encode(Packet(key="k", address="a:1", sni_key=long, sni_crt=long, sni_ca=long))
    with pytest.raises(Refused, match="key of 256 bytes, limit 255"):
        encode(Packet(key="k" * 256, address="a:1"))
