"""Addresses: every form, and what is no address."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.address import Address, AddressKind, parse_backend, parse_listen
from uwgate.conf.errors import ConfigError

TCP, UNIX, ABSTRACT = AddressKind.TCP, AddressKind.UNIX, AddressKind.ABSTRACT


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address(kind=TCP, host="127.0.0.1", port=8080)),
        (":8080", Address(kind=TCP, port=8080)),
        ("*:80", Address(kind=TCP, port=80)),
        ("[::1]:80", Address(kind=TCP, host="::1", port=80)),
        ("[::]:80", Address(kind=TCP, host="::", port=80)),
        ("localhost:0", Address(kind=TCP, host="localhost", port=0)),
        ("app_1.my-net:3031", Address(kind=TCP, host="app_1.my-net", port=3031)),
        ("/run/app.sock", Address(kind=UNIX, path="/run/app.sock")),
        ("/run/a:b.sock", Address(kind=UNIX, path="/run/a:b.sock")),
        ("app.sock", Address(kind=UNIX, path="app.sock")),
        ("./a:1", Address(kind=UNIX, path="./a:1")),
        ("@name", Address(kind=ABSTRACT, path="name")),
        ("\\0name", Address(kind=ABSTRACT, path="name")),
    ],
)
def test_listeners_and_backends_share_these_forms(text: str, address: Address) -> None:
    assert parse_listen(text) == address


def test_a_listener_may_be_an_inherited_descriptor() -> None:
    assert parse_listen("fd://3") == Address(kind=AddressKind.FD, number=3)


def test_a_listener_may_be_a_shared_socket() -> None:
    assert parse_listen("=0") == Address(kind=AddressKind.SHARED, number=0)


@pytest.mark.parametrize("text", ["fd://3", "=0", "127.0.0.1:0", ":0"])
def test_what_can_only_be_listened_on_is_no_backend(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_backend(text)


def test_a_backend_on_a_port_or_a_path_is_taken() -> None:
    assert parse_backend(":3031") == Address(kind=TCP, port=3031)
    assert parse_backend("/run/app.sock") == Address(kind=UNIX, path="/run/app.sock")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no address"),
        ("@", "no address"),
        ("8080", "write ':8080'"),
        ("host:", "expected a port"),
        ("host:http", "expected a port"),
        ("host:٣", "expected a port"),
        ("host:65536", "limit 65535"),
        ("host:-1", "expected a port"),
        ("::1:80", "stands in brackets"),
        ("[::1", "stands in brackets"),
        ("[nonsense]:80", "no IPv6 address"),
        ("256.0.0.1:80", "no IPv4 address"),
        ("1.2.3:80", "no IPv4 address"),
        ("a b:80", "neither an IP address nor a host name"),
        ("http://host:80", "stands in brackets"),
        ("fd://x", "fd:// and a number"),
        ("fd://", "fd:// and a number"),
        ("=x", "= and the number"),
        ("=", "= and the number"),
        ("a\0b", "NUL byte"),
        ("/" + "x" * 107, "108 bytes, limit 107"),
        ("@" + "ä" * 60, "120 bytes, limit 106"),
    ],
)
def test_what_is_no_address_says_why(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_listen(text)
    assert reason in str(caught.value)
    assert repr(text) in str(caught.value)


addresses = st.one_of(
    st.builds(
        Address,
        kind=st.just(TCP),
        host=st.sampled_from(["", "127.0.0.1", "::1", "example.org"]),
        port=st.integers(0, 65535),
    ),
    st.builds(Address, kind=st.just(AddressKind.FD), number=st.integers(0, 1023)),
    st.builds(Address, kind=st.just(AddressKind.SHARED), number=st.integers(0, 63)),
    st.builds(
        Address,
        kind=st.sampled_from([UNIX, ABSTRACT]),
        path=st.from_regex(r"/[a-z/]{1,50}", fullmatch=True),
    ),
)


@given(addresses)
def test_the_text_of_an_address_is_read_back_as_the_same(address: Address) -> None:
    assert parse_listen(str(address)) == address


@given(st.text(max_size=120))
def test_any_text_is_an_address_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        address = parse_listen(text)
        assert parse_listen(str(address)) == address
