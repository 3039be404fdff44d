"""Whether certificates and keys are fit to be served: what OpenSSL would refuse, in words.

Pure: bytes in, values out. The time is an argument.
"""

from __future__ import annotations

import datetime
import itertools
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from uwgate.conf.errors import ConfigError

MIN_RSA_BITS = 2048  # OpenSSL's security level 2: 112 bits
WEAK_HASHES = frozenset({"md5", "sha1"})  # refused at the same level
SOON_SECONDS = 14 * 86400
MAX_PEM_BYTES = 1 << 20

ENCRYPTED = re.compile(rb"BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: *4,ENCRYPTED")
CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
KEY = re.compile(
    rb"-----BEGIN (?P<kind>(?:[A-Z]+ )?PRIVATE KEY)-----.*?-----END (?P=kind)-----", re.DOTALL
)

# What cryptography raises for certificates that are none.
BROKEN = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A certificate with its chain, leaf first, and the key that fits it.

    ``warnings`` is what the operator should know and what stops nothing.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey
    warnings: tuple[str, ...] = ()

    @property
    def chain_pem(self) -> bytes:
        """The chain as PEM and nothing else."""
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in self.chain)

    @property
    def key_pem(self) -> bytes:
        """The key as PEM, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def kind(self) -> str:
        """The kind of key; a context holds one certificate of each."""
        match self.key:
            case rsa.RSAPrivateKey():
                return "RSA"
            case ec.EllipticCurvePrivateKey():
                return "ECDSA"
            case ed25519.Ed25519PrivateKey():
                return "Ed25519"
            case _:
                return "Ed448"


def check_pair(
    certificate: bytes, key: bytes, *, password: bytes | None, now: datetime.datetime
) -> Checked:
    """A pair of PEM texts that can be served.

    ``password`` opens an encrypted key; None: there is none.

    Raises:
        ConfigError: something is missing, broken, too weak, or does not fit.
    """
    chain = _chain(certificate)
    private = _private(key, password)
    leaf = chain[0]
    _check_strength(chain)
    if _spki(leaf.public_key()) != _spki(private.public_key()):
        others = [
            one for one in chain[1:] if _spki(one.public_key()) == _spki(private.public_key())
        ]
        hint = "; the server's own certificate has to be the first of the file" if others else ""
        raise ConfigError(f"the key does not match the certificate of {_subject(leaf)}{hint}")
    return Checked(chain=chain, key=private, warnings=tuple(_warnings(chain, now)))


def check_authorities(text: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates that clients' certificates are checked against.

    Raises:
        ConfigError: there is none, or one is broken.
    """
    return _chain(text)


def _chain(text: bytes) -> tuple[x509.Certificate, ...]:
    blocks = [match[0] for match in CERTIFICATE.finditer(text)]
    if not blocks:
        what = "is empty" if not text.strip() else "has no PEM certificate in it"
        raise ConfigError(f"{what}, expected -----BEGIN CERTIFICATE-----")
    try:
        return tuple(_certificate(block) for block in blocks)
    except BROKEN as error:
        raise ConfigError(f"holds a broken certificate: {_first_line(error)}") from error


def _certificate(block: bytes) -> x509.Certificate:
    """A certificate whose parts can be read too: parsing leaves most of them for later."""
    certificate = x509.load_pem_x509_certificate(block)
    certificate.public_key()
    certificate.subject.rfc4514_string()
    certificate.issuer.rfc4514_string()
    for _ in certificate.extensions:
        pass
    return certificate


def _private(text: bytes, password: bytes | None) -> PrivateKey:
    match = KEY.search(text)
    if match is None:
        what = "is empty" if not text.strip() else "has no PEM key in it"
        raise ConfigError(f"{what}, expected -----BEGIN PRIVATE KEY-----")
    encrypted = ENCRYPTED.search(match[0]) is not None
    if encrypted and password is None:
        raise ConfigError(
            "the key is encrypted: name its password with ssl-key-password-file or "
            "ssl-key-password-env, or decrypt it (openssl pkey -in KEY -out NEW)"
        )
    try:
        key = serialization.load_pem_private_key(match[0], password if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise ConfigError("the key cannot be decrypted with the password given") from error
        raise ConfigError(f"holds a broken key: {_first_line(error)}") from error
    if not isinstance(key, PrivateKey):
        kind = "DSA" if isinstance(key, dsa.DSAPrivateKey) else type(key).__name__
        raise ConfigError(f"a key of kind {kind} cannot be used, expected RSA, ECDSA or Ed25519")
    return key


def _check_strength(chain: tuple[x509.Certificate, ...]) -> None:
    for one in chain:
        public = one.public_key()
        if isinstance(public, rsa.RSAPublicKey) and public.key_size < MIN_RSA_BITS:
            raise ConfigError(
                f"{_subject(one)}: an RSA key of {public.key_size} bits, "
                f"expected at least {MIN_RSA_BITS}"
            )
        if one.issuer == one.subject:
            continue  # nobody trusts a root because of its signature
        try:
            algorithm = one.signature_hash_algorithm
        except UnsupportedAlgorithm:  # newer than cryptography: none of the weak ones
            continue
        if algorithm is not None and algorithm.name in WEAK_HASHES:
            raise ConfigError(
                f"{_subject(one)}: signed with {algorithm.name.upper()}, which is broken; "
                "get a new certificate"
            )


def _warnings(chain: tuple[x509.Certificate, ...], now: datetime.datetime) -> list[str]:
    found: list[str] = []
    for one in chain:
        left = (one.not_valid_after_utc - now).total_seconds()
        if left < 0:
            found.append(f"{_subject(one)}: expired on {one.not_valid_after_utc:%Y-%m-%d}")
        elif left < SOON_SECONDS and one is chain[0]:
            found.append(f"{_subject(one)}: expires on {one.not_valid_after_utc:%Y-%m-%d %H:%M}")
        if one.not_valid_before_utc > now:
            found.append(f"{_subject(one)}: not valid before {one.not_valid_before_utc:%Y-%m-%d}")
    for below, above in itertools.pairwise(chain):
        if below.issuer != above.subject:
            found.append(f"{_subject(above)} did not sign {_subject(below)}, which it follows")
    return found


def _spki(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]  # every public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"serial number {certificate.serial_number:x}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
