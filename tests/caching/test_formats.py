"""Datagrams, commands, seals and dumps: bytes as real uWSGI sends them (spec part A4)."""

from __future__ import annotations

import struct
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.caching import commands, datagrams, dump, sealing
from uwgate.caching.arithmetic import Operation, compute, number_of
from uwgate.caching.commands import Order, Success, Verb
from uwgate.caching.datagrams import DatagramError, Removed, Stored
from uwgate.caching.dump import DumpError
from uwgate.caching.records import NUMBER, DamagedError, Item, decode, encode, key_of, place_of
from uwgate.conf.caches import parse_cache2
from uwgate.gateways.wire.uwsgi import PacketError

SECRET = b"a secret of 24 bytes ..."

# Datagrams


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("6f09000a 0100 6b 0100 76 0100 30", Stored(b"k", b"v")),
        (
            "6f13000a 0100 6b 0200 7732 0a00 31373935323038313332",
            Stored(b"k", b"w2", 1795208132),
        ),
        ("6f10000a 0100 6e 0800 0100000000000000 0100 30", Stored(b"n", NUMBER.pack(1))),
        ("6f06000a 0100 6b 0100 76", Stored(b"k", b"v")),
        ("6f03000b 0100 6b", Removed(b"k")),
        ("6f06000b 0200 756b 0000", Removed(b"uk")),
    ],
)
def test_datagrams_of_uwsgi_are_understood(text: str, change: datagrams.Change) -> None:
    assert datagrams.decode(bytes.fromhex(text)) == change


def test_what_is_stored_is_sent_as_uwsgi_sends_it() -> None:
    datagram = datagrams.encode(Stored(b"k", b"w2", 1795208132))
    assert datagram == bytes.fromhex("6f13000a01006b020077320a0031373935323038313332")


def test_what_is_removed_is_sent_so_that_uwsgi_removes_it() -> None:
    assert datagrams.encode(Removed(b"uk")) == bytes.fromhex("6f06000b0200756b0000")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "too short"),
        ("6f0000", "too short"),
        ("700000 0a", "not for a cache"),
        ("6f0100 0a", "wrong length"),
        ("6f0000 0a", "cut short"),
        ("6f02000b 0000", "no key"),
        ("6f03000c 0100 6b", "unknown command"),
        ("6f03000a 0100 6b", "cut short"),
        ("6f05000a 0100 6b 0000", "no value"),
        ("6f06000a 0100 6b 0200 76", "cut short"),
        ("6f09000a 0100 6b 0100 76 0100 78", "wrong time"),
        ("6f09000a 0100 6b 0100 76 0100 b2", "wrong time"),
        ("6f08000a 0100 6b 0100 76 0500", "cut short"),
    ],
)
def test_other_datagrams_are_refused(text: str, reason: str) -> None:
    with pytest.raises(DatagramError, match=reason):
        datagrams.decode(bytes.fromhex(text))


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=100), st.integers(0, 1 << 62))
def test_a_change_survives_its_datagram(key: bytes, value: bytes, expires: int) -> None:
    change = Stored(key + b"k", value, expires)
    assert datagrams.decode(datagrams.encode(change) or b"") == change
    removed = Removed(key + b"k")
    assert datagrams.decode(datagrams.encode(removed) or b"") == removed


@given(st.binary(max_size=64))
def test_any_bytes_are_a_change_or_refused(data: bytes) -> None:
    try:
        change = datagrams.decode(b"\x6f" + data)
    except DatagramError:
        return
    assert change.key


def test_what_is_too_long_for_a_datagram_is_none() -> None:
    assert datagrams.encode(Stored(b"k", b"v" * 65536)) is None
    assert datagrams.encode(Stored(b"k", b"v" * 65500)) is None
    assert datagrams.encode(Removed(b"k" * 65536)) is None


# Seals


def sealed(now: float = 1000.0, nonce: bytes = b"n" * 16, cache: str = "c") -> bytes:
    found = sealing.seal(SECRET, cache, b"datagram", now=now, nonce=nonce)
    assert found is not None
    return found


def opener(*, since: float = 0.0) -> sealing.Opener:
    return sealing.Opener(SECRET, "c", skew=30.0, since=since)


def test_a_sealed_datagram_opens_once() -> None:
    one = opener()
    assert one.open(sealed(), 1000.0) == b"datagram"
    with pytest.raises(DatagramError, match="sent again"):
        one.open(sealed(), 1001.0)


@pytest.mark.parametrize("at", range(len(sealed())))
def test_a_changed_byte_anywhere_is_refused(at: int) -> None:
    broken = bytearray(sealed())
    broken[at] ^= 1
    with pytest.raises(DatagramError, match=r"wrong signature|not signed"):
        opener().open(bytes(broken), 1000.0)


@pytest.mark.parametrize("cut", range(len(sealed())))
def test_a_sealed_datagram_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(DatagramError):
        opener().open(sealed()[:cut], 1000.0)


def test_a_plain_datagram_is_refused() -> None:
    with pytest.raises(DatagramError, match="not signed"):
        opener().open(datagrams.encode(Removed(b"k")) or b"", 1000.0)


def test_another_caches_datagram_is_refused() -> None:
    with pytest.raises(DatagramError, match="wrong signature"):
        opener().open(sealed(cache="d"), 1000.0)


@pytest.mark.parametrize("now", [969.0, 1031.0])
def test_a_datagram_of_another_time_is_refused(now: float) -> None:
    with pytest.raises(DatagramError, match="too old, or from the future"):
        opener().open(sealed(), now)


def test_a_datagram_from_before_the_receiver_was_there_is_refused() -> None:
    with pytest.raises(DatagramError, match="too old"):
        opener(since=1000.5).open(sealed(), 1001.0)


def test_what_was_forgotten_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MOST_NONCES", 2)
    one = opener()
    for number in range(4):
        one.open(sealed(1000.0 + number, bytes([number] * 16)), 1003.0)
    for number in range(2):
        with pytest.raises(DatagramError, match="too old"):
            one.open(sealed(1000.0 + number, bytes([number] * 16)), 1003.0)


# Commands


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (
            Order(Verb.SET, b"k", 1, 5, "c"),
            "6f3a00110300636d64030073657403006b657901006b040073697a65010031"
            "070065787069726573010035040073697a650100310500636163686501006376",
        ),
        (
            Order(Verb.GET, b"k"),
            "6f1b00110300636d64030067657403006b657901006b050063616368650000",
        ),
        (
            Order(Verb.EXISTS, b"k", cache="c"),
            "6f1f00110300636d64060065786973747303006b657901006b05006361636865010063",
        ),
        (
            Order(Verb.DELETE, b"k", cache="c"),
            "6f1c00110300636d64030064656c03006b657901006b05006361636865010063",
        ),
        (Order(Verb.CLEAR, cache="c"), "6f1600110300636d640500636c65617205006361636865010063"),
    ],
)
def test_commands_are_those_of_uwsgi(order: Order, text: str) -> None:
    packet = bytes.fromhex(text)
    value = packet[-1:] if order.size else b""
    assert commands.encode_order(order) + value == packet
    assert commands.decode_order(packet[4 : len(packet) - len(value)]) == order


@pytest.mark.parametrize(
    ("success", "text"),
    [
        (Success(5), "6f150011060073746174757302006f6b040073697a65010035"),
        (
            Success(3, 1795208181),
            "6f2a0011060073746174757302006f6b040073697a65010033"
            "0700657870697265730a0031373935323038313831",
        ),
        (Success(), "6f0c0011060073746174757302006f6b"),
    ],
)
def test_answers_are_those_of_uwsgi(success: Success, text: str) -> None:
    assert commands.encode_success(success) == bytes.fromhex(text)
    assert commands.decode_success(bytes.fromhex(text)[4:]) == success


@pytest.mark.parametrize(
    "variables",
    [b"", b"\x03\x00cmd\x04\x00boom", b"\x03\x00cmd\x03\x00get\x04\x00size\x01\x00x", b"\x01"],
)
def test_what_is_no_command_is_refused(variables: bytes) -> None:
    with pytest.raises(PacketError):
        commands.decode_order(variables)


@pytest.mark.parametrize("cut", range(8))
def test_a_pair_cut_short_anywhere_is_refused(cut: int) -> None:
    block = b"\x03\x00key\x01\x00v"
    assert commands.split_pair(block) == (b"key", b"v")
    with pytest.raises(PacketError):
        commands.split_pair(block[:cut])


# Dumps

ITEMS = [Stored(b"k%d" % n, b"value %d" % n, n) for n in range(5)]


@pytest.mark.parametrize(
    "text",
    [
        "items=10,blocksize=10,blocks=20",
        "items=10,blocksize=3,blocks=40,bitmap=1",
        "items=6,hash=murmur2,hashsize=1,blocksize=10",
    ],
)
def test_a_dump_has_the_size_of_uwsgis_and_what_was_put_into_it(text: str) -> None:
    spec = parse_cache2(f"name=c,keysize=100,{text}")
    with tempfile.TemporaryFile() as file:
        dump.write(file.fileno(), spec, ITEMS)
        assert file.seek(0, 2) == dump.size_of(spec)
        assert list(dump.read(file.fileno(), spec)) == ITEMS


def test_items_without_room_in_a_dump_are_left_out() -> None:
    spec = parse_cache2("name=c,items=3,blocksize=10,keysize=10")
    with tempfile.TemporaryFile() as file:
        dump.write(file.fileno(), spec, ITEMS)
        assert list(dump.read(file.fileno(), spec)) == ITEMS[:2]


@pytest.mark.parametrize(
    "fields", [(0, 200, 0, 1, 1), (0, 1, 0, 11, 1), (0, 1, 0, 1, 10), (0, 1, 0, 10, 1 << 60)]
)
def test_sizes_that_cannot_be_right_are_refused(fields: tuple[int, ...]) -> None:
    spec = parse_cache2("name=c,items=10,blocksize=10,keysize=10")
    with tempfile.TemporaryFile() as file:
        file.truncate(dump.size_of(spec))
        file.seek(98)
        file.write(struct.pack("<5Q", *fields))
        file.flush()
        with pytest.raises(DumpError):
            list(dump.read(file.fileno(), spec))


def test_a_dump_that_ends_early_is_refused() -> None:
    spec = parse_cache2("name=c,items=10,blocksize=10,keysize=10")
    with tempfile.TemporaryFile() as file, pytest.raises(DumpError, match="cut short"):
        list(dump.read(file.fileno(), spec))


def test_the_shape_of_a_cache_goes_before_its_dump() -> None:
    spec = parse_cache2("name=c,items=10,blocksize=10")
    packet = dump.encode_shape(spec)
    assert dump.decode_shape(packet[:4], packet[4:]) == (10, 10)
    with pytest.raises(DumpError, match="items=11"):
        dump.check_shape(spec, dump.Shape(11, 10))
    with pytest.raises(DumpError, match="no dump"):
        dump.decode_shape(packet[:4], packet[5:])


# Records


@given(st.binary(min_size=1, max_size=600), st.binary(max_size=50), st.booleans())
def test_a_record_gives_back_its_item_and_key(key: bytes, value: bytes, checked: bool) -> None:
    place = place_of(key)
    record = encode(place, key, value, 7, checked=checked)
    assert decode(key, record) == Item(value, 7)
    assert key_of(place, record) == key


@pytest.mark.parametrize("at", range(16, 21))
def test_a_changed_byte_of_a_checked_record_shows(at: int) -> None:
    record = bytearray(encode(place_of(b"k"), b"k", b"value", 7, checked=True))
    record[at] ^= 1
    with pytest.raises(DamagedError):
        decode(b"k", bytes(record))


def test_the_record_of_another_long_key_shows() -> None:
    key = b"k" * 500
    with pytest.raises(DamagedError, match="another key"):
        decode(b"j" * 500, encode(place_of(key), key, b"v", 0, checked=False))


@pytest.mark.parametrize("size", range(16))
def test_a_record_without_a_whole_head_shows(size: int) -> None:
    with pytest.raises(DamagedError):
        decode(b"k", bytes(size))


# Numbers


@pytest.mark.parametrize(
    ("operation", "number", "operand", "result"),
    [
        (Operation.ADD, 1, 2, 3),
        (Operation.SUBTRACT, 1, 2, -1),
        (Operation.MULTIPLY, 3, -2, -6),
        (Operation.DIVIDE, 7, 2, 3),
        (Operation.DIVIDE, -7, 2, -3),
        (Operation.DIVIDE, 7, -2, -3),
        (Operation.DIVIDE, 7, 0, 0),
        (Operation.SET, 7, 9, 9),
        (Operation.ADD, (1 << 63) - 1, 1, -(1 << 63)),
        (Operation.DIVIDE, -(1 << 63), -1, -(1 << 63)),
    ],
)
def test_numbers_have_64_bits(operation: Operation, number: int, operand: int, result: int) -> None:
    assert compute(operation, number, operand) == result


@pytest.mark.parametrize("size", [0, 1, 7, 9])
def test_what_has_not_8_bytes_is_no_number(size: int) -> None:
    assert number_of(bytes(size)) is None
