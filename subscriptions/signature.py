"""Signed announcements: who may speak for a name, and how old the words may be.

Two families of schemes. The digests are those of uWSGI (spec/subscriptions.md section 7): the
signature covers the block before it but not the command, so a captured packet can be turned
into its opposite as long as its number was not used. ``ED25519`` and ``RSA-PSS-SHA256`` are
ours: they cover the command as well, and their packets carry microseconds.

Against replay every pair of key and address has a mark, the newest time that was accepted. It
stays when the node goes, as long as an older packet would still be young enough. uWSGI signs an
unsubscribe with the second that follows; a node that comes back within that second is refused
until its first announcement after it, since its packet is the same as the flipped unsubscribe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa

from uwgate.conf.errors import ConfigError
from uwgate.gateways.wire.uwsgi import HEADER
from uwgate.subscriptions.packet import MICROS, Command, Packet, encode, signed_part
from uwgate.subscriptions.refusal import Refusal, Refused

TOLERANCE = 86400.0  # seconds; subscriptions-sign-check-tolerance (section 7)
AHEAD = 60.0  # seconds that a sender's clock may be in front of ours
MAX_MARKS = 200_000
MIN_RSA_BITS = 1024  # what throw-away setups of uWSGI use; new keys have 2048 and more
DOMAIN = b"uwgate subscription\0"  # a signature made for something else fits nowhere here

PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey | ed25519.Ed25519PrivateKey
)
PublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | dsa.DSAPublicKey | ed25519.Ed25519PublicKey
)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How packets are signed. ``digest`` is None where the key decides it (Ed25519)."""

    name: str
    digest: hashes.HashAlgorithm | None
    modern: bool = False

    def message(self, datagram: bytes, signature: bytes) -> bytes:
        """What the signature of this datagram is made over."""
        part = signed_part(datagram, signature)
        return DOMAIN + datagram[3:4] + part if self.modern else part

    def fits(self, key: PrivateKey | PublicKey) -> bool:
        """Whether a key of this type can sign this way."""
        if self.digest is None:
            return isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey)
        if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
            return key.key_size >= MIN_RSA_BITS
        return not self.modern and not isinstance(
            key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey
        )

    def sign(self, key: PrivateKey, message: bytes) -> bytes:
        """The signature.

        Raises:
            ConfigError: this build of OpenSSL refuses the digest.
        """
        try:
            if isinstance(key, ed25519.Ed25519PrivateKey):
                return key.sign(message)
            assert self.digest is not None
            if isinstance(key, rsa.RSAPrivateKey):
                return key.sign(message, self._padding(), self.digest)
            if isinstance(key, ec.EllipticCurvePrivateKey):
                return key.sign(message, ec.ECDSA(self.digest))
            return key.sign(message, self.digest)
        except (UnsupportedAlgorithm, ValueError) as error:
            raise ConfigError(f"cannot sign with {self.name} and this key: {error}") from error

    def is_valid(self, key: PublicKey, signature: bytes, message: bytes) -> bool:
        """Whether the owner of ``key`` signed this message."""
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
            elif self.digest is None:
                return False
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, message, self._padding(), self.digest)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, message, ec.ECDSA(self.digest))
            else:
                key.verify(signature, message, self.digest)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True

    def _padding(self) -> padding.PSS | padding.PKCS1v15:
        if not self.modern:
            return padding.PKCS1v15()
        return padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


DIGESTS: tuple[tuple[str, hashes.HashAlgorithm], ...] = (
    ("MD5", hashes.MD5()),  # what old setups of uWSGI use
    ("SHA1", hashes.SHA1()),
    ("SHA224", hashes.SHA224()),
    ("SHA256", hashes.SHA256()),
    ("SHA384", hashes.SHA384()),
    ("SHA512", hashes.SHA512()),
)
SCHEMES = {
    "ED25519": Scheme("ED25519", None, modern=True),
    "RSA-PSS-SHA256": Scheme("RSA-PSS-SHA256", hashes.SHA256(), modern=True),
    **{name: Scheme(name, digest) for name, digest in DIGESTS},
}


def scheme_named(name: str) -> Scheme:
    """The scheme of this name; case does not matter, and ``SHA-256`` is ``SHA256``.

    Raises:
        ConfigError: there is none.
    """
    wanted = name.upper()
    scheme = SCHEMES.get(wanted) or SCHEMES.get(wanted.replace("SHA-", "SHA"))
    if scheme is None:
        raise ConfigError(f"{name!r} is not one of: {', '.join(SCHEMES)}")
    return scheme


def load_private_key(pem: bytes, scheme: Scheme) -> PrivateKey:
    """A private key without a passphrase.

    Raises:
        ConfigError: it is none, or of a type that the scheme does not use.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"no private key without a passphrase: {error}") from error
    if not isinstance(key, PrivateKey) or not scheme.fits(key):
        raise ConfigError(f"{_describe(key)} does not fit {scheme.name}")
    return key


def load_public_key(pem: bytes, scheme: Scheme) -> PublicKey:
    """A public key in PEM ("PUBLIC KEY").

    Raises:
        ConfigError: it is none, or of a type that the scheme does not use.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"no public key: {error}") from error
    if not isinstance(key, PublicKey) or not scheme.fits(key):
        raise ConfigError(f"{_describe(key)} does not fit {scheme.name}")
    return key


def _describe(key: object) -> str:
    bits = getattr(key, "key_size", None)
    return f"a {type(key).__name__}" + (f" of {bits} bits" if bits else "")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs what a node says."""

    scheme: Scheme
    key: PrivateKey

    def sign(self, packet: Packet, now: float) -> bytes:
        """The datagram of a packet; ``now`` is seconds since 1970.

        uWSGI's packets name the second plus the command, so that an unsubscribe is newer
        than a subscribe of the same second (section 4).
        """
        seconds = int(now)
        if self.scheme.modern:
            dated = replace(packet, unix=seconds, micros=int((now - seconds) * MICROS))
        else:
            dated = replace(packet, unix=seconds + packet.command, micros=None)
        block = encode(replace(dated, signature=b""))
        message = block[HEADER.size :]
        if self.scheme.modern:
            message = DOMAIN + bytes([packet.command]) + message
        return encode(replace(dated, signature=self.scheme.sign(self.key, message)))


class Verifier:
    """Decides whether a signed packet is genuine, young and new.

    ``public_key`` gives the key for a name, or raises ``Refused``. ``tolerance`` and
    ``ahead`` are seconds into the past and the future. Only packets that pass change it.
    """

    def __init__(
        self,
        scheme: Scheme,
        public_key: Callable[[str], PublicKey],
        *,
        tolerance: float = TOLERANCE,
        ahead: float = AHEAD,
        max_marks: int = MAX_MARKS,
    ) -> None:
        self.scheme = scheme
        self.public_key = public_key
        self.tolerance = tolerance
        self.ahead = ahead
        self.max_marks = max_marks
        self._marks: dict[tuple[str, str], int] = {}  # microseconds; oldest use first

    def verify(self, datagram: bytes, packet: Packet, now: float) -> None:
        """Accept a packet, or raise; ``now`` is seconds since 1970.

        What costs little is looked at first: a flood of forged packets with old or used
        times is refused without a look at any key.

        Raises:
            Refused: with the reason.
        """
        if not packet.signature or packet.unix is None:
            raise Refused(Refusal.UNSIGNED, f"{packet.key}: not signed")
        age = now - packet.unix
        if age > self.tolerance:
            raise Refused(
                Refusal.EXPIRED, f"{packet.key}: {age:.0f} s old, limit {self.tolerance:.0f} s"
            )
        # uWSGI's unsubscribe is a second ahead of its clock.
        if -age > self.ahead + (packet.command is Command.UNSUBSCRIBE):
            raise Refused(
                Refusal.FUTURE, f"{packet.key}: {-age:.0f} s ahead, limit {self.ahead:.0f} s"
            )
        owner = (packet.key, packet.address)
        time = packet.said
        mark = self._marks.get(owner)
        if mark is not None and time <= mark:
            raise Refused(
                Refusal.REPLAYED, f"{packet.key}: {packet.address} has said something newer"
            )
        key = self.public_key(packet.key)
        message = self.scheme.message(datagram, packet.signature)
        if not self.scheme.is_valid(key, packet.signature, message):
            raise Refused(Refusal.BAD_SIGNATURE, f"{packet.key}: wrong signature")
        self._forget(now)
        if mark is None and len(self._marks) >= self.max_marks:
            raise Refused(Refusal.FULL, f"{packet.key}: {self.max_marks} nodes have marks already")
        self._marks.pop(owner, None)
        self._marks[owner] = time

    def marks(self) -> list[tuple[str, str, int]]:
        """Key, address and time in microseconds of all marks: for who takes over."""
        return [(key, address, time) for (key, address), time in self._marks.items()]

    def take_over(self, marks: Iterable[tuple[str, str, int]]) -> None:
        """Go on from another's marks; where both have one, the newer counts."""
        for key, address, time in marks:
            known = self._marks.get((key, address), 0)
            if known or len(self._marks) < self.max_marks:
                self._marks[key, address] = max(known, time)

    def _forget(self, now: float) -> None:
        """Drop marks that protect nothing: what they would refuse is too old anyway."""
        oldest = (now - self.tolerance) * MICROS
        while self._marks:
            owner = next(iter(self._marks))
            if self._marks[owner] >= oldest:
                break
            del self._marks[owner]
