"""Which certificate answers which name, and what survives a renewal."""

from __future__ import annotations

import ssl

import pytest

from tests.certificates import Authority, Certificate
from tests.gateways.tls.conftest import ADDRESS, MakeRing, Write
from tests.gateways.tls.conversation import client_context, serves, talk
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.tls.vault import Vault

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def test_a_client_without_a_name_gets_the_addresss_certificate(
    ring: MakeRing, default: Certificate
) -> None:
    assert serves(talk(ring().context(ADDRESS), None), default)


def test_an_unknown_name_gets_the_addresss_certificate(
    ring: MakeRing, default: Certificate
) -> None:
    assert serves(talk(ring().context(ADDRESS), "nobody.example"), default)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["www.example", "WWW.EXAMPLE"])
def test_a_name_of_its_own_gets_its_certificate(
    ring: MakeRing, write: Write, root: Authority, name: str, version: ssl.TLSVersion
) -> None:
    www = root.server("www.example")
    made = ring(sni=(f"www.example {write(www, 'www')}",))
    client = client_context(trusted=root.pem, maximum=version)
    assert serves(talk(made.context(ADDRESS), name, client), www)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_from_before_a_renewal_resumes(
    ring: MakeRing, write: Write, root: Authority, version: ssl.TLSVersion
) -> None:
    made = ring()
    client = client_context(maximum=version)
    first = talk(made.context(ADDRESS), "a.example", client)
    renewed = root.server("default.example", number=2)
    options = HttpsOptions(https=(f"{ADDRESS},{write(renewed, 'renewed')}",))
    material = Vault(options).material(ADDRESS)
    assert material is not None
    made.renew(ADDRESS, material)
    again = talk(made.context(ADDRESS), "a.example", client, session=first.session)
    assert (first.resumed, again.resumed) == (False, True)
    assert serves(talk(made.context(ADDRESS), "a.example"), renewed)
