"""The hello of a TLS client, as it comes and as it should not."""

from __future__ import annotations

import socket
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.gateways.wire.client_hello import (
    DECODE_ERROR,
    ENCRYPTED_CLIENT_HELLO,
    MAX_HELLO,
    UNEXPECTED_MESSAGE,
    ClientHello,
    HelloError,
    HelloReader,
    fatal_alert,
    parse,
)

GREASE = 0x3A3A  # RFC 8701


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, data)


def name(text: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, bytes((kind,)) + vector(2, text)))


def alpn(*protocols: bytes) -> bytes:
    return extension(16, vector(2, b"".join(vector(1, one) for one in protocols)))


def body(*extensions: bytes) -> bytes:
    return (
        b"\x03\x03" + bytes(32) + vector(1, bytes(32)) + vector(2, b"\x13\x01\x3a\x3a")
        + vector(1, b"\0") + vector(2, b"".join(extensions))
    )  # fmt: skip


def message(*extensions: bytes) -> bytes:
    return b"\x01" + vector(3, body(*extensions))


def records(data: bytes, size: int = 1 << 14) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"\x16\x03\x01" + vector(2, piece) for piece in pieces)


HELLO = message(extension(GREASE, b"\0"), name(b"a.example"), alpn(b"h2", b"http/1.1"))
WANTED = ClientHello(server_name=b"a.example", protocols=(b"h2", b"http/1.1"))


def read(data: bytes) -> ClientHello | None:
    return HelloReader().feed(data)


def openssl_hello(server_name: str | None, *protocols: str) -> bytes:
    """What a real client sends."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_hello_of_openssl_is_understood() -> None:
    found = read(openssl_hello("a.example", "h2", "http/1.1"))
    assert found == WANTED


def test_a_hello_without_name_and_protocols_is_understood() -> None:
    assert read(openssl_hello(None)) == ClientHello()


def test_a_hello_without_extensions_is_understood() -> None:
    bare = body()[:-2]
    assert parse(bare) == ClientHello()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 50, len(HELLO) - 1])
def test_a_hello_may_be_spread_over_records(size: int) -> None:
    assert read(records(HELLO, size)) == WANTED


@pytest.mark.parametrize("cut", range(len(records(HELLO))))
def test_a_hello_cut_short_anywhere_asks_for_more(cut: int) -> None:
    reader = HelloReader()
    data = records(HELLO)
    assert reader.feed(data[:cut]) is None
    assert reader.feed(data[cut:]) == WANTED


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 100))
def test_how_it_is_cut_makes_no_difference(cuts: list[int], size: int) -> None:
    data = records(HELLO, size) + b"early data"
    reader = HelloReader()
    at = 0
    found = None
    for cut in [*cuts, len(data)]:
        found = found or reader.feed(data[at : at + cut])
        at += cut
    assert found == WANTED


def test_everything_that_came_is_kept_to_be_sent_on() -> None:
    reader = HelloReader()
    reader.feed(records(HELLO) + b"more")
    assert reader.received == records(HELLO) + b"more"


def test_an_encrypted_hello_is_noticed_and_the_outer_name_counts() -> None:
    found = parse(body(name(b"public.example"), extension(ENCRYPTED_CLIENT_HELLO, b"\0" * 99)))
    assert found == ClientHello(server_name=b"public.example", is_encrypted=True)


def test_names_of_unknown_kinds_are_passed_over() -> None:
    two = b"\x07" + vector(2, b"?") + b"\0" + vector(2, b"b.example")
    assert parse(body(extension(0, vector(2, two)))).server_name == b"b.example"


@pytest.mark.parametrize(
    ("data", "alert"),
    [
        (b"G", UNEXPECTED_MESSAGE),
        (b"\x80\x2e\x01\x03\x01", UNEXPECTED_MESSAGE),  # SSL 2
        (b"\x15\x03\x03\0\x02\x02\x28", UNEXPECTED_MESSAGE),
        (b"\x16\x02", UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\0\0", DECODE_ERROR),
        (b"\x16\x03\x01\x40\x01", DECODE_ERROR),
        (records(b"\x02"), UNEXPECTED_MESSAGE),
        (records(b"\x01" + (MAX_HELLO + 1).to_bytes(3, "big")), DECODE_ERROR),
        (records(b"\x01" + MAX_HELLO.to_bytes(3, "big") + bytes(10_000), 1), DECODE_ERROR),
    ],
)
def test_what_is_no_hello_is_refused_at_once(data: bytes, alert: int) -> None:
    with pytest.raises(HelloError) as caught:
        read(data)
    assert caught.value.alert == alert


@pytest.mark.parametrize(
    "broken",
    [
        body() + b"\0",
        body(name(b"a"), name(b"b")),
        body(name(b"")),
        body(extension(0, b"\0\0")),
        body(extension(0, b"")),
        body(extension(0, vector(2, b"\0" + vector(2, b"a")) + b"x")),
        body(extension(0, vector(2, (b"\0" + vector(2, b"a")) * 2))),
        body(extension(0, vector(2, b"\0\0\x09a"))),
        body(alpn(b"")),
        body(extension(16, b"\0\0")),
        body(extension(16, b"\0\x05\x02h2")),
        body(extension(16, b"\0\x03\x02h2x")),
        b"\x03\x03" + bytes(32) + vector(1, bytes(33)) + body()[67:],
        b"\x03\x03" + bytes(32) + b"\0" + vector(2, b"\x13") + b"\x01\0",
        b"\x03\x03" + bytes(32) + b"\0" + vector(2, b"") + b"\x01\0",
        b"\x03\x03" + bytes(32) + b"\0" + vector(2, b"\x13\x01") + b"\0",
    ],
)
def test_a_malformed_hello_is_refused(broken: bytes) -> None:
    with pytest.raises(HelloError):
        parse(broken)


@given(st.integers(0, len(body(name(b"a.example"))) - 1))
def test_a_body_cut_short_is_refused_unless_its_extensions_are_missing(cut: int) -> None:
    whole = body(name(b"a.example"))
    start = len(body()) - 2
    try:
        found = parse(whole[:cut])
    except HelloError:
        return
    assert cut == start
    assert found == ClientHello()


@given(st.binary(max_size=200), st.integers(0, len(HELLO) - 1))
def test_nonsense_is_refused_or_understood_and_nothing_else(noise: bytes, at: int) -> None:
    mutated = HELLO[:at] + noise + HELLO[at + len(noise) :]
    for data in (noise, records(mutated)):
        try:
            found = read(data)
        except HelloError:
            continue
        assert found is None or isinstance(found, ClientHello)


def test_an_alert_is_one_that_openssl_understands() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.sendall(fatal_alert(112))
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            context.wrap_socket(far, server_hostname="a.example")


def test_an_alert_has_seven_bytes() -> None:
    assert struct.unpack(">BHHBB", fatal_alert(80)) == (21, 0x0303, 2, 2, 80)
