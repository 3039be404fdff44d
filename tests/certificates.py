"""Certificates for tests: authorities, and what they sign. Keys are made once per process."""

from __future__ import annotations

import datetime
import functools
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
PASSWORD = b"open sesame"
SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@functools.cache
def private_key(kind: str, number: int) -> Key:
    """A key of a kind: rsa, rsa1024, ecdsa, ed25519. RSA keys are slow to make."""
    if kind == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 1024 if kind == "rsa1024" else 2048)


@dataclass(frozen=True)
class Certificate:
    """A certificate with its chain (without the root) and its key."""

    chain: tuple[x509.Certificate, ...]
    key: Key

    @property
    def pem(self) -> bytes:
        """The chain, leaf first."""
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in self.chain)

    @property
    def der(self) -> bytes:
        """The certificate itself."""
        return self.chain[0].public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The key, not encrypted."""
        return self._key(serialization.NoEncryption())

    @property
    def encrypted_key_pem(self) -> bytes:
        """The key, encrypted with PASSWORD."""
        return self._key(serialization.BestAvailableEncryption(PASSWORD))

    def write(self, folder: Path, name: str, *, encrypted: bool = False) -> tuple[Path, Path]:
        """Write NAME.crt and NAME.key; returns their paths."""
        paths = folder / f"{name}.crt", folder / f"{name}.key"
        paths[0].write_bytes(self.pem)
        paths[1].write_bytes(self.encrypted_key_pem if encrypted else self.key_pem)
        paths[1].chmod(0o600)
        return paths

    def _key(self, encryption: serialization.KeySerializationEncryption) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )


class Authority:
    """Signs certificates. ``parent`` None: a root."""

    _count = 0

    def __init__(
        self, name: str = "Test Root", parent: Authority | None = None, kind: str = "ecdsa"
    ) -> None:
        Authority._count += 1
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = private_key(kind, -Authority._count)
        self._parent = parent
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(parent.name if parent else self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 400 * DAY)
            .not_valid_after(NOW + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(SIGNS, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
        )
        if parent is not None:
            builder = builder.add_extension(parent.identifier, critical=False)
        self.certificate = builder.sign(parent.key if parent else self.key, hashes.SHA256())

    @property
    def identifier(self) -> x509.AuthorityKeyIdentifier:
        """What certificates say of the key that signed them; strict clients want it."""
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path, name: str) -> Path:
        """Write the authority's certificate to NAME; returns the path."""
        path = folder / name
        path.write_bytes(self.pem)
        return path

    def server(
        self,
        *names: str,
        kind: str = "ecdsa",
        number: int = 0,
        valid: tuple[datetime.datetime, datetime.datetime] = (NOW - DAY, NOW + 90 * DAY),
        responder: str | None = None,
        algorithm: hashes.HashAlgorithm | None = None,
    ) -> Certificate:
        """A server's certificate; names may be IP addresses. ``number`` chooses the key."""
        key = private_key(kind, number)
        builder = self._builder(names[0], key, valid).add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
        if responder is not None:
            access = x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(responder)
            )
            builder = builder.add_extension(
                x509.AuthorityInformationAccess([access]), critical=False
            )
        return self._signed(builder, key, ExtendedKeyUsageOID.SERVER_AUTH, algorithm)

    def expired(self, *names: str) -> Certificate:
        """A server's certificate that was valid until yesterday."""
        return self.server(*names, valid=(NOW - 90 * DAY, NOW - DAY))

    def responder(self, name: str) -> Certificate:
        """A certificate to sign OCSP responses with."""
        key = private_key("ecdsa", 0)
        builder = self._builder(name, key, (NOW - DAY, NOW + 90 * DAY))
        return self._signed(builder, key, ExtendedKeyUsageOID.OCSP_SIGNING, None)

    def client(self, name: str, *, number: int = 0) -> Certificate:
        """A client's certificate."""
        key = private_key("ecdsa", number)
        builder = self._builder(name, key, (NOW - DAY, NOW + 90 * DAY))
        return self._signed(builder, key, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _builder(
        self, name: str, key: Key, valid: tuple[datetime.datetime, datetime.datetime]
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(valid[0])
            .not_valid_after(valid[1])
            .add_extension(self.identifier, critical=False)
        )

    def _signed(
        self,
        builder: x509.CertificateBuilder,
        key: Key,
        usage: x509.ObjectIdentifier,
        algorithm: hashes.HashAlgorithm | None,
    ) -> Certificate:
        leaf = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False).sign(
            self.key,
            algorithm or hashes.SHA256(),  # type: ignore[arg-type]  # tests sign with SHA-1 too
        )
        chain = [leaf]
        above: Authority | None = self
        while above is not None and above._parent is not None:
            chain.append(above.certificate)
            above = above._parent
        return Certificate(tuple(chain), key)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
