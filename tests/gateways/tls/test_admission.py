"""Which hosts a connection may ask for, where some of them verify clients."""

from __future__ import annotations

from pathlib import Path

import pytest
from OpenSSL import SSL

from tests.certificates import Authority
from tests.gateways.tls.conftest import ADDRESS, MakeRing, Write
from tests.gateways.tls.conversation import handshake
from uwgate.gateways.tls.ring import Ring, admission


@pytest.fixture
def guarded(
    ring: MakeRing, write: Write, root: Authority, people: Authority, tmp_path: Path
) -> Ring:
    """Names with different ideas of clients."""
    files = write(root.server("a.example"), "a")
    ours, theirs = people.write(tmp_path, "ours"), Authority("X").write(tmp_path, "theirs")
    return ring(
        sni=(
            f"open.example {files}",
            f"ask.example {files},,{ours}",
            f"must.example {files},,!{ours}",
            f"other.example {files},,!{theirs}",
        )
    )


@pytest.mark.parametrize(
    ("server_name", "host", "admitted"),
    [
        ("open.example", "open.example", True),
        ("must.example", "must.example", True),
        ("must.example", "MUST.example", True),
        ("must.example", "open.example", True),
        ("must.example", "ask.example", True),
        (None, "open.example", True),
        (None, "unknown.example", True),
        ("must.example", "not a name", True),
        ("open.example", "must.example", False),
        ("open.example", "ask.example", False),
        ("ask.example", "must.example", False),
        ("must.example", "other.example", False),
        (None, "must.example", False),
        ("unknown.example", "MUST.example.", False),
    ],
)
def test_a_host_that_verifies_clients_is_not_reached_under_another_name(
    guarded: Ring, server_name: str | None, host: str, admitted: bool
) -> None:
    assert guarded.admits(server_name, host, ADDRESS) is admitted


def shaken(ring: Ring, name: bytes | None) -> SSL.Connection:
    """The server's side of a connection after the handshake."""
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    server = SSL.Connection(ring.context(ADDRESS))
    client.set_connect_state()
    server.set_accept_state()
    if name is not None:
        client.set_tlsext_host_name(name)
    handshake(client, server)
    return server


@pytest.mark.parametrize(
    ("authority", "admitted"),
    [
        (b"open.example", True),
        (b"open.example:8443", True),
        (b"", True),
        (b"[::1]:443", True),
        (b"[::1]", True),
        (b"\xff", True),
        (b"must.example", False),
        (b"must.example:443", False),
        (b"must.example:", False),
        (b"MUST.example.:443", False),
    ],
)
@pytest.mark.parametrize("name", [b"open.example", None])
def test_a_connection_says_which_authorities_its_requests_may_name(
    guarded: Ring, name: bytes | None, authority: bytes, admitted: bool
) -> None:
    admits = admission(shaken(guarded, name))
    assert admits is not None
    assert admits(authority) is admitted


def test_where_no_client_is_verified_a_connection_may_name_anything(
    ring: MakeRing, write: Write, root: Authority
) -> None:
    made = ring(sni=(f"www.example {write(root.server('www.example'), 'www')}",))
    assert admission(shaken(made, b"www.example")) is None


def test_without_names_every_host_is_admitted(ring: MakeRing) -> None:
    assert ring().admits(None, "a.example", ADDRESS)
