"""Fixtures: an authority, folders with certificates, rings over them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from tests.certificates import Authority, Certificate
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.tls.material import Material, Pair
from uwgate.gateways.tls.ring import Ring
from uwgate.gateways.tls.vault import Vault

ADDRESS = "127.0.0.1:443"


def material(certificate: Certificate, **values: object) -> Material:
    """A certificate as the keeper hands it out."""
    pair = Pair(chain=certificate.pem, key=certificate.key_pem)
    return Material(pairs=(pair,), **values)  # type: ignore[arg-type]  # the names are the tests'


class Write(Protocol):
    """Writes a certificate and its key into the folder."""

    def __call__(self, certificate: Certificate, name: str) -> str:
        """Returns ``CERTIFICATE,KEY``."""
        ...


@pytest.fixture(scope="session")
def root() -> Authority:
    """The authority that clients trust."""
    return Authority()


@pytest.fixture(scope="session")
def people() -> Authority:
    """The authority of clients."""
    return Authority("People")


@pytest.fixture(scope="session")
def default(root: Authority) -> Certificate:
    """The certificate of the address itself."""
    return root.server("default.example", number=1)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Put certificates into the test's folder."""

    def write(certificate: Certificate, name: str) -> str:
        crt, key = certificate.write(tmp_path, name)
        return f"{crt},{key}"

    return write


class MakeRing(Protocol):
    """Makes a ring that reads its certificates itself."""

    def __call__(self, *, http2: bool = ..., **options: object) -> Ring:
        """``options`` beside an https line for ADDRESS with the default certificate."""
        ...


@pytest.fixture
def ring(write: Write, default: Certificate) -> MakeRing:
    """Make rings over a vault of their own."""

    def make(*, http2: bool = False, **values: object) -> Ring:
        if "https" not in values:
            values["https"] = (f"{ADDRESS},{write(default, 'default')}",)
        options = HttpsOptions(**values)  # type: ignore[arg-type]  # the names are the tests'
        return Ring(options, Vault(options).material, http2=http2)

    return make
