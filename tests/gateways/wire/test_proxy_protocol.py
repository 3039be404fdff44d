"""PROXY headers (gateways/wire/proxy_protocol.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire.proxy_protocol import (
    MAX_V1,
    MAX_V2,
    SIGNATURE,
    TLV_SSL,
    ProxyError,
    ProxyHeader,
    crc32c,
    decode,
    encode_v1,
    encode_v2,
)

CLIENT, SERVER = ("203.0.113.7", 56324), ("192.0.2.1", 443)
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
# Taken from "haproxy send-proxy-v2"'s layout by hand: section 2.2.
V2 = SIGNATURE + bytes.fromhex("21 11 000c cb007107 c0000201 dc04 01bb")
V6 = ProxyHeader(source=("2001:db8::1", 1), destination=("2001:db8::2", 65535))


def header_of(data: bytes) -> ProxyHeader:
    """The header that is exactly ``data``."""
    found = decode(data)
    assert found is not None
    assert found[1] == len(data)
    return found[0]


def v2(tail: str, *, command: int = 0x21, family: int = 0x11, length: int | None = None) -> bytes:
    block = bytes.fromhex(tail)
    size = len(block) if length is None else length
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2, "big") + block


TCP4 = "cb007107 c0000201 dc04 01bb"


@pytest.mark.parametrize("data", [V1, V2])
def test_both_versions_say_who_the_client_is(data: bytes) -> None:
    assert header_of(data) == ProxyHeader(source=CLIENT, destination=SERVER)


@pytest.mark.parametrize("data", [V1, V2])
def test_what_follows_a_header_is_left_alone(data: bytes) -> None:
    assert decode(data + b"GET / HTTP/1.1\r\n") == (header_of(data), len(data))


@pytest.mark.parametrize(
    "data", [V1, V2, encode_v2(V6, checksum=True), b"PROXY UNKNOWN with more\r\n"]
)
def test_a_header_cut_short_anywhere_asks_for_more(data: bytes) -> None:
    assert [decode(data[:cut]) for cut in range(len(data))] == [None] * len(data)


def test_tcp6_in_both_versions() -> None:
    assert header_of(encode_v2(V6)) == V6
    assert header_of(b"PROXY TCP6 2001:0DB8::1 2001:db8:0:0::2 1 65535\r\n") == V6


def test_unknown_says_nothing_whatever_follows_the_word() -> None:
    assert header_of(b"PROXY UNKNOWN\r\n") == ProxyHeader()
    assert header_of(b"PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n") == ProxyHeader()


def test_local_is_the_proxy_itself_whatever_the_block_holds() -> None:
    assert header_of(v2("ff" * 30, command=0x20, family=0x77)) == ProxyHeader(is_local=True)


def test_unspec_is_skipped_with_its_block() -> None:
    assert header_of(v2("ff" * 30, family=0)) == ProxyHeader()


def test_unix_sockets_have_paths() -> None:
    header = ProxyHeader(source=b"/run/client", destination=b"/run/" + b"x" * 103)
    assert header_of(encode_v2(header)) == header


def test_tlvs_are_kept_in_order_and_the_checksum_is_not_one_of_them() -> None:
    header = ProxyHeader(source=CLIENT, destination=SERVER, tlvs=((1, b"h2"), (4, b""), (1, b"x")))
    assert header_of(encode_v2(header, checksum=True)) == header


@pytest.mark.parametrize(
    ("value", "spoke"), [(b"\x01\0\0\0\0", True), (b"\0\0\0\0\0", False), (b"", False)]
)
def test_the_client_spoke_tls_if_the_tlv_says_so(value: bytes, spoke: bool) -> None:
    assert ProxyHeader(tlvs=((TLV_SSL, value),)).client_spoke_tls is spoke


def test_the_checksum_is_castagnolis() -> None:
    # RFC 3720 section B.4: 32 bytes of zeros, and the numbers from 0 to 31.
    assert crc32c((bytes(32),)) == 0x8A9136AA
    assert crc32c((bytes(range(10)), bytes(range(10, 32)))) == 0x46DD794E


@pytest.mark.parametrize("octet", range(12, 16 + 12))
def test_a_flipped_bit_anywhere_breaks_the_checksum_or_the_header(octet: int) -> None:
    data = bytearray(encode_v2(ProxyHeader(source=CLIENT, destination=SERVER), checksum=True))
    data[octet] ^= 0x40
    with pytest.raises(ProxyError):
        # Bytes enough for whatever length a flipped bit makes of it.
        decode(bytes(data) + bytes(MAX_V2))


BROKEN = {
    "another protocol": b"GET / HTTP/1.1\r\n",
    "tls": b"\x16\x03\x01",
    "lower case": b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    "tab": b"PROXY\tTCP4",
    "no family": b"PROXY \r\n",
    "unknown family": b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
    "few words": b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
    "many words": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
    "two spaces": b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
    "space behind": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
    "other family": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "other family too": b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
    "octet": b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
    "octal": b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
    "scope": b"PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
    "name": b"PROXY TCP4 localhost 1.2.3.4 1 2\r\n",
    "port": b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
    "port with a sign": b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
    "port with a zero": b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
    "port with an underscore": b"PROXY TCP4 1.2.3.4 1.2.3.4 1_0 2\r\n",
    "arabic digits": "PROXY TCP4 1.2.3.4 1.2.3.4 1 ٢\r\n".encode(),
    "bare lf": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
    "endless": b"PROXY UNKNOWN " + b"x" * MAX_V1,
    "nul": b"PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n",
    "version": v2(TCP4, command=0x31),
    "command": v2(TCP4, command=0x22),
    "datagrams": v2(TCP4, family=0x12),
    "family": v2(TCP4, family=0x41),
    "short addresses": v2(TCP4[:-2]),
    "short addresses of unix": v2(TCP4, family=0x31),
    "too long": v2("", length=MAX_V2),
    "tlv cut short": v2(TCP4 + "0100"),
    "tlv past the end": v2(TCP4 + "01000200"),
    "checksum of three bytes": v2(TCP4 + "030003000000"),
    "wrong checksum": v2(TCP4 + "03000400000000"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))
def test_broken_headers_are_refused(data: bytes) -> None:
    with pytest.raises(ProxyError):
        decode(data)


def test_the_largest_header_is_taken() -> None:
    room = MAX_V2 - len(V2) - 3
    header = ProxyHeader(source=CLIENT, destination=SERVER, tlvs=((4, bytes(room)),))
    data = encode_v2(header)
    assert len(data) == MAX_V2
    assert header_of(data) == header
    with pytest.raises(ValueError, match="limit 4096"):
        encode_v2(ProxyHeader(source=CLIENT, destination=SERVER, tlvs=((4, bytes(room + 1)),)))


def test_version_1_is_written_for_one_family_and_else_unknown() -> None:
    assert encode_v1(CLIENT, SERVER) == V1
    assert encode_v1(V6.source, V6.destination) == b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"
    assert encode_v1(CLIENT, V6.destination) == b"PROXY UNKNOWN\r\n"
    assert encode_v1(b"/run/x", None) == b"PROXY UNKNOWN\r\n"


def test_version_2_is_not_written_for_two_families() -> None:
    for source, destination in ((CLIENT, V6.destination), (CLIENT, b"/run/x"), (b"/x", SERVER)):
        with pytest.raises(ValueError, match="in one PROXY header"):
            encode_v2(ProxyHeader(source=source, destination=destination))
    with pytest.raises(ValueError, match="limit 108"):
        encode_v2(ProxyHeader(source=b"x" * 109, destination=b""))


ports = st.integers(0, 0xFFFF)
ends = [st.tuples(st.ip_addresses(v=version).map(str), ports) for version in (4, 6)]
headers = st.builds(
    lambda ends, tlvs: ProxyHeader(source=ends[0], destination=ends[1], tlvs=tuple(tlvs)),
    st.one_of(st.tuples(ends[0], ends[0]), st.tuples(ends[1], ends[1])),
    st.lists(st.tuples(st.sampled_from([1, 2, 4, 5, 32, 48]), st.binary(max_size=99)), max_size=5),
)


@given(headers, st.booleans())
def test_a_header_is_read_as_it_was_written(header: ProxyHeader, checksum: bool) -> None:
    assert header_of(encode_v2(header, checksum=checksum)) == header
    plain = ProxyHeader(source=header.source, destination=header.destination)
    assert header_of(encode_v1(header.source, header.destination)) == plain


noise = st.binary(max_size=300)


@given(st.one_of(noise, noise.map(SIGNATURE.__add__), noise.map(b"PROXY ".__add__)))
def test_noise_is_refused_or_read_but_never_an_error_of_another_kind(data: bytes) -> None:
    try:
        found = decode(data)
    except ProxyError:
        return
    assert found is None or found[1] <= len(data)
