"""Lists of networks (conf/networks.py)."""

from __future__ import annotations

import pytest

from tests.conf.conftest import Configure
from uwgate.conf.errors import ConfigError
from uwgate.conf.networks import parse_networks


@pytest.mark.parametrize(
    ("texts", "address", "belongs"),
    [
        (["192.0.2.0/24"], "192.0.2.255", True),
        (["192.0.2.0/24"], "192.0.3.0", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.7, 2001:db8::/32"], "2001:db8:1::", True),
        (["192.0.2.7 198.51.100.1"], "198.51.100.1", True),
        (["192.0.2.7", "198.51.100.1"], "198.51.100.1", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.1", True),
        (["loopback"], "127.9.9.9", True),
        (["loopback"], "::1", True),
        (["loopback"], "10.0.0.1", False),
        (["private"], "10.0.0.1", True),
        (["private"], "172.31.255.255", True),
        (["private"], "172.32.0.0", False),
        (["private"], "fd00::1", True),
        (["private"], "fe80::1%eth0", True),
        (["private"], "127.0.0.1", False),
        (["all"], "8.8.8.8", True),
        (["all"], "2001:db8::", True),
        (["none"], "127.0.0.1", False),
        (["unix"], "127.0.0.1", False),
        (["all"], "no address", False),
        ([], "127.0.0.1", False),
    ],
)
def test_an_address_belongs_to_a_list_or_not(texts: list[str], address: str, belongs: bool) -> None:
    assert parse_networks(texts).has(address) is belongs


@pytest.mark.parametrize(
    ("texts", "unix"), [(["unix"], True), (["all"], True), (["private"], False), (["none"], False)]
)
def test_unix_sockets_are_a_word_of_their_own(texts: list[str], unix: bool) -> None:
    assert parse_networks(texts).unix is unix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "'localhost': expected a network such as"),
        ("10.0.0.1/8", "host bits are set"),
        ("10.0.0.0/33", "expected a network"),
        ("none, 10.0.0.0/8", "'none' stands alone"),
    ],
)
def test_anything_else_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_networks([text])


def test_a_list_replaces_the_default(configure: Configure) -> None:
    text = "[uwgate]\nhttp-trust-forwarded = 10.0.0.0/8\nhttp-trust-forwarded = unix\n"
    edge = configure(text).settings.edge
    assert edge.http_trust_forwarded == ("10.0.0.0/8", "unix")
    assert edge.http_proxy_protocol_from == ("loopback", "private", "unix")


@pytest.mark.parametrize(
    "option", ["http-trust-forwarded", "http-proxy-protocol-from", "http-stud-prefix"]
)
def test_a_wrong_list_is_an_error_with_its_place(configure: Configure, option: str) -> None:
    with pytest.raises(ConfigError, match=rf"app\.ini:2: {option}: 'nobody': expected a network"):
        configure(f"[uwgate]\n{option} = nobody\n")
