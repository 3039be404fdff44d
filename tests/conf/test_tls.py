"""How the values of the TLS options are read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwgate.conf import tls
from uwgate.conf.errors import ConfigError
from uwgate.conf.tls import Endpoint, Identity, Redirect

PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n"


def identity(**values: object) -> Identity:
    values = {"certificate": ("c",), "key": ("k",)} | values
    return Identity(**values)  # type: ignore[arg-type]  # the names are the tests'


@pytest.mark.parametrize(
    ("text", "address", "expected"),
    [
        (":443,c,k", ":443", identity()),
        ("[::1]:443,c,k", "[::1]:443", identity()),
        ("=0,c,k", "=0", identity()),
        ("fd://3,c,k", "fd://3", identity()),
        ("/run/x.sock,c,k", "/run/x.sock", identity()),
        (":443,c,k,HIGH:!aNULL", ":443", identity(ciphers="HIGH:!aNULL")),
        (":443,c,k,HIGH,ca", ":443", identity(ciphers="HIGH", client_ca="ca")),
        (":443,c,k,,ca", ":443", identity(client_ca="ca")),
        (":443,c,k,,!ca", ":443", identity(client_ca="ca", client_required=True)),
        (":443,c,k,,", ":443", identity()),
        (":443,c|d,k|l", ":443", identity(certificate=("c", "d"), key=("k", "l"))),
        (f":443,c,{PEM}", ":443", identity(key=(PEM,))),
    ],
)
def test_https_has_an_address_and_what_is_served_there(
    text: str, address: str, expected: Identity
) -> None:
    assert tls.parse_https(text) == Endpoint(address=address, identity=expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no address"),
        (":443", "0 parts, expected CERTIFICATE,KEY"),
        (":443,c", "1 parts, expected"),
        (":443,c,k,x,ca,more", "use https2, which knows backslashes"),
        (":443,,k", "is empty"),
        (":443,c,k|", "is empty"),
        (":443,c|d,k", "2 certificates and 1 keys"),
        (":443,a|b|c|d|e,a|b|c|d|e", "5 certificates, limit 4"),
        (":443,c,k,,!", "no client CA behind the '!'"),
        ("443,c,k", "for a TCP port write ':443'"),
        (":x,c,k", "expected a port"),
    ],
)
def test_a_bad_https_says_what_was_expected(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason.replace("|", r"\|")):
        tls.parse_https(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("addr=:443,cert=c,key=k", identity()),
        ("key=k,crt=c,addr=:443", identity()),
        ("addr=:443,cert=c,key=k,spdy=1", identity()),
        ("addr=:443,cert=c,key=k,ciphers=A=B", identity(ciphers="A=B")),
        ("addr=:443,cert=c,key=k,clientca=ca", identity(client_ca="ca")),
        (
            "addr=:443,cert=c,key=k,client_ca=!ca",
            identity(client_ca="ca", client_required=True),
        ),
        (r"addr=:443,cert=a\,b,key=k\\x", identity(certificate=("a,b",), key=("k\\x",))),
        ("addr=:443,cert=c|d,key=k|l", identity(certificate=("c", "d"), key=("k", "l"))),
    ],
)
def test_https2_names_its_parts(text: str, expected: Identity) -> None:
    assert tls.parse_https2(text) == Endpoint(address=":443", identity=expected)


def test_https2_takes_a_shared_socket() -> None:
    assert tls.parse_https2("addr==0,cert=c,key=k").address == "=0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("addr=:443,cert=c", "key= is missing"),
        ("cert=c,key=k", "addr= is missing"),
        ("addr=:443,cert=c,key=k,color=red", "'color': expected one of addr"),
        ("addr=:443,cert=c,crt=d,key=k", "crt= stands there twice"),
        ("addr=:443,,cert=c,key=k", "'': expected one of"),
        (":443,c,k", "':443': expected one of"),
    ],
)
def test_a_bad_https2_says_what_was_expected(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        tls.parse_https2(text)


@given(st.text(alphabet="abc,\\=| /"))
def test_a_backslash_lets_any_path_through(path: str) -> None:
    escaped = path.replace("\\", "\\\\").replace(",", "\\,")
    try:
        found = tls.parse_https2(f"addr=:1,cert={escaped},key=k{'|k' * path.count('|')}")
    except ConfigError:
        assert not all(path.split("|")) or path.count("|") >= tls.MAX_PAIRS
    else:
        assert "|".join(found.identity.certificate) == path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("www.example c,k", "www.example"),
        ("WWW.Example. c,k", "www.example"),
        ("*.example c,k", "*.example"),
        ("xn--bcher-kva.example  c,k", "xn--bcher-kva.example"),
        ("my_container c,k", "my_container"),
    ],
)
def test_sni_has_a_name_in_lower_case(text: str, name: str) -> None:
    assert tls.parse_sni(text) == (name, identity())


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        (tls.parse_sni, "www.example", "expected a name, a blank"),
        (tls.parse_sni, "www.example,c,k", "expected a name, a blank"),
        (tls.parse_sni, "www.*.example c,k", "is no server name"),
        (tls.parse_sni, "a/b c,k", "is no server name"),
        (tls.parse_sni, "www.example c", "1 parts"),
        (tls.parse_sni_regexp, "( c,k", "is no regular expression"),
    ],
)
def test_a_bad_name_says_what_was_expected(
    parse: Callable[[str], object], text: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse(text)


def test_a_regular_expression_stays_as_it_is() -> None:
    assert tls.parse_sni_regexp(r"^Shop-\d+\. c,k") == (r"^Shop-\d+\.", identity())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":80", Redirect(address=":80")),
        (":80,8443", Redirect(address=":80", port=8443)),
        ("=1,443", Redirect(address="=1", port=443)),
    ],
)
def test_a_redirect_has_an_address_and_perhaps_a_port(text: str, expected: Redirect) -> None:
    assert tls.parse_redirect(text) == expected


@pytest.mark.parametrize("text", [":80,", ":80,0", ":80,65536", ":80,x", ":80,443,1", ":80,²"])
def test_a_bad_port_of_a_redirect_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a port from 1 to 65535"):
        tls.parse_redirect(text)


@given(st.text(max_size=300))
def test_no_server_name_is_a_way_out_of_a_folder(text: str) -> None:
    name = tls.server_name(text)
    assert name is None or not (set(name) & set("/\\\0 ") or ".." in name or name[0] == ".")


def test_pem_text_is_not_shown() -> None:
    assert tls.without_pem(f":443,c,{PEM},HIGH") == ":443,c,PEM text,HIGH"
