"""Certificates of clients: asked for, wanted, and never taken over from another name."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from OpenSSL import SSL

from tests.certificates import Authority, Certificate
from tests.gateways.tls.conftest import ADDRESS, MakeRing, Write, material
from tests.gateways.tls.conversation import client_context, talk
from uwgate.gateways.tls.ring import Ring

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SECRET = "secret.example"


@pytest.fixture
def person(people: Authority, tmp_path: Path) -> tuple[str, str]:
    """A client's certificate and key, as files."""
    crt, key = people.client("ann").write(tmp_path, "ann")
    return str(crt), str(key)


@pytest.fixture
def stranger(tmp_path: Path) -> tuple[str, str]:
    """A certificate of an authority that nobody trusts."""
    crt, key = Authority("Elsewhere").client("eve").write(tmp_path, "eve")
    return str(crt), str(key)


@pytest.fixture(params=["https", "sni", "sni-regexp"])
def secret(
    request: pytest.FixtureRequest,
    ring: MakeRing,
    write: Write,
    people: Authority,
    root: Authority,
    tmp_path: Path,
) -> Callable[[str], Ring]:
    """Rings that verify clients of SECRET, in each way that there is."""

    def make(mark: str) -> Ring:
        value = f"{write(root.server(SECRET), SECRET)},,{mark}{people.write(tmp_path, 'people')}"
        if request.param == "https":
            return ring(https=(f"{ADDRESS},{value}",))
        if request.param == "sni":
            return ring(sni=(f"{SECRET} {value}",))
        return ring(sni_regexp=(f"^sec {value}",))

    return make


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_proves_who_it_is_comes_in(
    secret: Callable[[str], Ring], person: tuple[str, str], version: ssl.TLSVersion
) -> None:
    client = client_context(maximum=version, certificate=person)
    assert talk(secret("!").context(ADDRESS), SECRET, client).client_name == "CN=ann"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_without_a_certificate_stays_outside_where_one_is_required(
    secret: Callable[[str], Ring], version: ssl.TLSVersion
) -> None:
    with pytest.raises(ssl.SSLError, match=r"certificate required|handshake failure"):
        talk(secret("!").context(ADDRESS), SECRET, client_context(maximum=version))


@pytest.mark.parametrize("mark", ["", "!"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_that_nobody_trusts_is_refused(
    secret: Callable[[str], Ring],
    stranger: tuple[str, str],
    mark: str,
    version: ssl.TLSVersion,
) -> None:
    client = client_context(maximum=version, certificate=stranger)
    with pytest.raises(ssl.SSLError, match=r"unknown ca"):
        talk(secret(mark).context(ADDRESS), SECRET, client)


def test_a_client_may_come_without_a_certificate_where_none_is_required(
    secret: Callable[[str], Ring],
) -> None:
    assert talk(secret("").context(ADDRESS), SECRET).client_name is None


def test_the_first_client_of_a_name_in_a_folder_is_verified_already(
    ring: MakeRing,
    write: Write,
    root: Authority,
    people: Authority,
    tmp_path: Path,
    stranger: tuple[str, str],
) -> None:
    write(root.server(SECRET), SECRET)
    people.write(tmp_path, f"{SECRET}.ca")
    made = ring(sni_dir=str(tmp_path))
    with pytest.raises(ssl.SSLError, match="unknown ca"):
        talk(made.context(ADDRESS), SECRET, client_context(certificate=stranger))


@pytest.fixture
def beside(
    ring: MakeRing, write: Write, root: Authority, people: Authority, tmp_path: Path
) -> Ring:
    """A name that wants certificates, beside an address that does not."""
    value = f"{write(root.server(SECRET), SECRET)},,!{people.write(tmp_path, 'people')}"
    return ring(sni=(f"{SECRET} {value}",))


def test_a_ticket_of_an_open_name_does_not_open_another_one(beside: Ring) -> None:
    client = client_context()
    first = talk(beside.context(ADDRESS), "open.example", client)
    assert first.session
    refused = talk(beside.context(ADDRESS), SECRET, client, session=first.session)
    assert refused.answer == b""
    assert isinstance(refused.server_error, SSL.ZeroReturnError)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_from_before_a_name_wanted_certificates_is_refused(
    ring: MakeRing,
    write: Write,
    people: Authority,
    default: Certificate,
    version: ssl.TLSVersion,
) -> None:
    made = ring()
    client = client_context(maximum=version)
    first = talk(made.context(ADDRESS), None, client)
    verifying = material(default, client_ca=people.pem, client_required=True)
    made.renew(ADDRESS, verifying)
    refused = talk(made.context(ADDRESS), None, client, session=first.session)
    assert refused.answer == b""
    assert isinstance(refused.server_error, SSL.ZeroReturnError)


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_of_verified_clients_are_not_resumed(
    beside: Ring, person: tuple[str, str], version: ssl.TLSVersion
) -> None:
    client = client_context(maximum=version, certificate=person)
    first = talk(beside.context(ADDRESS), SECRET, client)
    again = talk(beside.context(ADDRESS), SECRET, client, session=first.session)
    assert (again.resumed, again.client_name) == (False, "CN=ann")


@pytest.mark.parametrize(("depth", "comes_in"), [(0, False), (1, True)])
def test_a_chain_of_a_client_is_followed_as_deep_as_the_option_says(
    ring: MakeRing,
    write: Write,
    default: Certificate,
    people: Authority,
    tmp_path: Path,
    depth: int,
    comes_in: bool,
) -> None:
    crt, key = Authority("Team", people).client("bob").write(tmp_path, "bob")
    files = write(default, "default")
    made = ring(
        https=(f"{ADDRESS},{files},,!{people.write(tmp_path, 'people')}",),
        ssl_verify_depth=depth,
    )
    client = client_context(certificate=(str(crt), str(key)))
    try:
        name = talk(made.context(ADDRESS), None, client).client_name
    except ssl.SSLError:
        name = None
    assert name == ("CN=bob" if comes_in else None)
