"""The values of the subscription options (subscriptions/spec.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf.address import Address, AddressKind
from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.signature import SCHEMES
from uwgate.subscriptions.spec import (
    SchemePath,
    Subscription,
    parse_server,
    parse_sign_check,
    parse_subscribe2,
    parse_subscribe_to,
    read_keys,
)

UDP = Address(kind=AddressKind.TCP, host="127.0.0.1", port=4040)
PATH = Address(kind=AddressKind.UNIX, path="/run/s.sock")
SIGN = SchemePath(SCHEMES["SHA1"], "key.pem")


def subscribe_to(text: str) -> Subscription:
    return parse_subscribe_to("subscribe-to", text)


def subscribe2(text: str) -> Subscription:
    return parse_subscribe2("subscribe2", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:4040:foo.com", Subscription(server=UDP, key="foo.com")),
        ("127.0.0.1:4040:foo.com:80", Subscription(server=UDP, key="foo.com:80")),
        ("127.0.0.1:4040:foo.com,5", Subscription(server=UDP, key="foo.com", modifier1=5)),
        ("127.0.0.1:4040:foo.com,", Subscription(server=UDP, key="foo.com")),
        (
            "127.0.0.1:4040:k,0,SHA1:key.pem",
            Subscription(server=UDP, key="k", modifier1=0, sign=SIGN),
        ),
        ("/run/s.sock:foo.com", Subscription(server=PATH, key="foo.com")),
        ("/run/s.sock:foo.com:80,5", Subscription(server=PATH, key="foo.com:80", modifier1=5)),
        ("10.0.0.1:99=127.0.0.1:4040:k", Subscription(server=UDP, key="k", address="10.0.0.1:99")),
        ("/node.sock=/run/s.sock:k", Subscription(server=PATH, key="k", address="/node.sock")),
        ("=0=127.0.0.1:4040:k", Subscription(server=UDP, key="k", shared_socket=0)),
        ("127.0.0.1:4040:@/etc/keys", Subscription(server=UDP, file="/etc/keys")),
        (
            "@gate:k",
            Subscription(server=Address(kind=AddressKind.ABSTRACT, path="gate"), key="k"),
        ),
        (
            "[::1]:4040:k:80",
            Subscription(server=Address(kind=AddressKind.TCP, host="::1", port=4040), key="k:80"),
        ),
    ],
)
def test_a_value_of_subscribe_to_is_understood(text: str, expected: Subscription) -> None:
    assert subscribe_to(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected SERVER:KEY"),
        ("foo.com", "expected SERVER:KEY"),
        ("127.0.0.1:4040", "expected SERVER:KEY"),
        ("/run/s.sock", "expected SERVER:KEY"),
        ("127.0.0.1:4040:", "key of 0 bytes"),
        ("127.0.0.1:4040:" + "k" * 256, "key of 256 bytes, expected 1 to 255"),
        ("127.0.0.1:4040:k,x", "modifier1 is 'x', expected a number from 0 to 255"),
        ("127.0.0.1:4040:k,256", "modifier1 is '256'"),
        ("127.0.0.1:4040:k,,SHA1:x", "modifier1 is ''"),
        ("127.0.0.1:4040:k,0,SHA1", "'SHA1': expected SCHEME:PATH"),
        ("127.0.0.1:4040:k,0,SHA9:x", "'SHA9' is not one of: ED25519"),
        ("127.0.0.1:4040:@", "no file name"),
        ("127.0.0.1:0:k", "needs a port"),
        ("=0:k", "expected =N="),
        ("=x=127.0.0.1:4040:k", "shared socket is 'x'"),
        ("127.0.0.1:4040:k=v", "expected SERVER:KEY"),
        ("[::1:4040:k", "IPv6"),
        ("127.0.0.1:4040:a\nb", "cannot be shown"),
    ],
)
def test_what_subscribe_to_does_not_mean_is_an_error(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        subscribe_to(text)
    assert str(caught.value).startswith(f"subscribe-to = {text}: ")
    assert why in str(caught.value)


def test_every_pair_of_subscribe2_is_understood() -> None:
    text = (
        "server=127.0.0.1:4040,key=a\\,b,addr=10.0.0.1:99,socket=1,weight=3,modifier1=5,"
        "modifier2=6,backup=1,sign=SHA1:key.pem,check=/off,sni_key=/k,sni_crt=/c,sni_ca=!/a,"
        "proto=h,algo=lrc,vassal=v.ini,inactive=1"
    )
    assert subscribe2(text) == Subscription(
        server=UDP,
        key="a,b",
        address="10.0.0.1:99",
        socket=1,
        weight=3,
        modifier1=5,
        modifier2=6,
        backup=1,
        sign=SIGN,
        check="/off",
        sni_key="/k",
        sni_crt="/c",
        sni_ca="!/a",
        proto="h",
        algo="lrc",
        vassal="v.ini",
        inactive="1",
    )


def test_a_backslash_protects_itself() -> None:
    assert subscribe2(r"server=/run/s.sock,key=a\\b\c").key == r"a\bc"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'': expected one of addr"),
        ("key=k", "no server="),
        ("server=/run/s.sock", "no key="),
        ("server=/run/s.sock,key=", "key of 0 bytes"),
        ("server=/run/s.sock,key=k,colour=red", "'colour=red': expected one of addr"),
        ("server=/run/s.sock,key=k,weight", "'weight': expected one of"),
        ("server=/run/s.sock,key=k,weight=1x", "weight is '1x'"),
        ("server=/run/s.sock,key=k,weight=1000001", "from 0 to 1000000"),
        ("server=/run/s.sock,key=k,addr=a:1,address=a:2", "addr stands there twice"),
        ("server=127.0.0.1,key=k,socket=-1", "socket is '-1'"),
        ("server=a:b,key=k", "a port from 0 to 65535"),
        ("server=/run/s.sock,key=k,sign=x", "expected SCHEME:PATH"),
    ],
)
def test_what_subscribe2_does_not_mean_is_an_error(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        subscribe2(text)
    assert str(caught.value).startswith(f"subscribe2 = {text}: ")
    assert why in str(caught.value)


@given(st.text(max_size=60))
def test_any_value_is_understood_or_an_error(text: str) -> None:
    for parse in (subscribe_to, subscribe2):
        try:
            found = parse(text)
        except ConfigError:
            continue
        assert found.key or found.file


def test_a_file_has_a_key_on_each_line() -> None:
    text = "# two names\n\nfoo.com\n  bar.com,5  \r\nbaz.com"
    assert list(read_keys("subscribe-to", "keys", text)) == [
        ("foo.com", None),
        ("bar.com", 5),
        ("baz.com", None),
    ]


def test_a_wrong_line_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match=r"subscribe-to = @keys:2: b,x: modifier1 is 'x'"):
        list(read_keys("subscribe-to", "keys", "a\nb,x"))


@pytest.mark.parametrize(
    "text", ["127.0.0.1:4040", ":4040", "[::]:4040", "/run/s.sock", "@gate", "225.1.1.1:4040"]
)
def test_a_subscription_server_listens_at_an_address(text: str) -> None:
    assert str(parse_server("http-subscription-server", text)) == text


@pytest.mark.parametrize("text", ["", "fd://3", "=0", "127.0.0.1:x"])
def test_a_subscription_server_listens_nowhere_else(text: str) -> None:
    with pytest.raises(ConfigError, match=f"^http-subscription-server = {text}: "):
        parse_server("http-subscription-server", text)


def test_sign_check_names_a_scheme_and_a_folder() -> None:
    assert parse_sign_check("subscriptions-sign-check", "ed25519:/keys") == SchemePath(
        SCHEMES["ED25519"], "/keys"
    )
    with pytest.raises(ConfigError, match=r"^subscriptions-sign-check = /keys: "):
        parse_sign_check("subscriptions-sign-check", "/keys")
