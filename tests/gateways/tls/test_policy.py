"""What is spoken with clients: versions, ciphers, protocols, and both kinds of keys."""

from __future__ import annotations

import ssl

import pytest
from OpenSSL import SSL

from tests.certificates import Authority
from tests.gateways.tls.conftest import ADDRESS, MakeRing, Write
from tests.gateways.tls.conversation import client_context, handshake, talk


@pytest.mark.parametrize(
    ("http2", "offered", "chosen"),
    [
        (True, ["http/1.1", "h2"], "h2"),
        (False, ["h2", "http/1.1"], "http/1.1"),
        (True, ["http/1.1"], "http/1.1"),
        (True, None, None),
    ],
)
def test_the_protocol_is_chosen_by_our_preference(
    ring: MakeRing, http2: bool, offered: list[str] | None, chosen: str | None
) -> None:
    client = client_context(protocols=offered)
    assert talk(ring(http2=http2).context(ADDRESS), None, client).protocol == chosen


def test_a_client_with_no_protocol_of_ours_gets_an_alert(ring: MakeRing) -> None:
    client = client_context(protocols=["spdy/3"])
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        talk(ring(http2=True).context(ADDRESS), None, client)


def test_rsa_and_ecdsa_stand_side_by_side_each_with_its_chain(
    ring: MakeRing, write: Write, root: Authority
) -> None:
    old, new = Authority("Old", root), Authority("New", root)
    rsa, ecdsa = old.server("a.example", kind="rsa"), new.server("a.example")
    (rsa_crt, rsa_key), (ec_crt, ec_key) = (
        write(one, name).split(",") for one, name in ((rsa, "rsa"), (ecdsa, "ecdsa"))
    )
    made = ring(https=(f"{ADDRESS},{rsa_crt}|{ec_crt},{rsa_key}|{ec_key}",))
    shown = []
    for ciphers in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"):
        client = client_context(trusted=root.pem, maximum=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
        shown.append(talk(made.context(ADDRESS), "a.example", client).certificate)
    assert shown == [rsa.der, ecdsa.der]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(ring: MakeRing, version: ssl.TLSVersion) -> None:
    client = client_context(maximum=version, ciphers="ALL:@SECLEVEL=0")
    client.minimum_version = version
    with pytest.raises(ssl.SSLError, match="alert protocol version"):
        talk(ring().context(ADDRESS), None, client)


def test_tls_1_3_can_be_the_least(ring: MakeRing) -> None:
    client = client_context(maximum=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError, match="alert protocol version"):
        talk(ring(ssl_min_version="1.3").context(ADDRESS), None, client)


@pytest.mark.parametrize("ciphers", ["AES128-SHA256", "ECDHE-ECDSA-AES128-SHA", "DHE"])
def test_old_ciphers_are_not_spoken(ring: MakeRing, ciphers: str) -> None:
    client = client_context(maximum=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
    with pytest.raises(ssl.SSLError, match="alert handshake failure"):
        talk(ring().context(ADDRESS), None, client)


@pytest.mark.parametrize(
    ("first", "chosen"),
    [("CHACHA20", "ECDHE-ECDSA-CHACHA20-POLY1305"), ("AES256", "ECDHE-ECDSA-AES128-GCM-SHA256")],
)
def test_a_client_that_prefers_chacha_gets_it(ring: MakeRing, first: str, chosen: str) -> None:
    client = client_context(
        maximum=ssl.TLSVersion.TLSv1_2, ciphers=f"ECDHE+{first}:ECDHE+AESGCM:ECDHE+CHACHA20"
    )
    assert talk(ring().context(ADDRESS), None, client).cipher == chosen


def test_a_client_may_not_renegotiate(ring: MakeRing) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client, server = SSL.Connection(context), SSL.Connection(ring().context(ADDRESS))
    client.set_connect_state()
    server.set_accept_state()
    handshake(client, server)
    client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    server.bio_write(client.bio_read(65536))
    with pytest.raises(SSL.WantReadError):
        server.recv(100)
    client.bio_write(server.bio_read(65536))
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client.do_handshake()


@pytest.mark.skipif(SSL.OPENSSL_VERSION_NUMBER < 0x30500000, reason="this OpenSSL knows no ML-KEM")
def test_keys_are_exchanged_in_a_way_that_quantum_computers_do_not_break(ring: MakeRing) -> None:
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    server = SSL.Connection(ring().context(ADDRESS))
    client.set_connect_state()
    server.set_accept_state()
    handshake(client, server)
    assert server.get_group_name() == "X25519MLKEM768"
