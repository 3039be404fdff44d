"""Sealed packets: announcements of clusters without uWSGI nodes.

    offset 0   u8   modifier1 = 108
    offset 1   u16  little endian: how many bytes follow the header
    offset 3   u8   modifier2: the suite, 1 AES-256-GCM, 2 ChaCha20-Poly1305
    offset 4   4    key id
    offset 8   16   sender: a random uuid, new at every start
    offset 24  u64  little endian: sequence number, from 1
    offset 32       sealed dictionary and its 16-byte tag; the bytes above are authenticated too

The secret goes through scrypt (the legion's name is the salt) once, at start. From that key
HKDF makes the key id and, for every sender and suite, a key that only this sender uses. The nonce
is the sequence number. So a nonce comes twice under one key only if two starts draw the same 122
random bits or one start sends 2**64 packets; nothing has to be remembered over a restart.

Key ids let a secret be replaced without a gap: give every node the new secret as another one
to accept; make it the first one everywhere, which is the one that seals; drop the old one.

Against replays each sender has a window of sequence numbers. That needs no clock. What was said
before *we* started is unknown to the window; the election trusts a sender only once it has
repeated a number of ours, which no old packet can (``promises``).
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from uwgate.conf.errors import ConfigError
from uwgate.gateways.wire.uwsgi import MAX_BLOCK
from uwgate.subscriptions.legion.refusal import Reason, Refused

MODIFIER = 108  # unused by uWSGI, whose legion has 109
HEADER = struct.Struct("<BHB4s16sQ")  # modifier1, size, suite, key id, sender, sequence number
PREFIX = 4  # bytes of the header that its size field does not count
TAG = 16  # bytes
NONCE = struct.Struct("<4xQ")
MAX_PLAINTEXT = MAX_BLOCK - (HEADER.size - PREFIX) - TAG
MAX_SECRETS = 4  # each costs an scrypt at start; a rotation needs two
MAX_OPENERS = 256  # senders whose keys are kept; deriving one again takes some 20 µs
WINDOW = 64  # sequence numbers below the highest that may still come

# RFC 7914 asks for more work as machines get faster; 2**15 * 8 * 128 bytes are 32 MB and some
# 80 ms, once for each secret at start.
SCRYPT_N = 2**15
SCRYPT_R = 8
SCRYPT_P = 1

AEAD = AESGCM | ChaCha20Poly1305
SUITES: dict[str, tuple[int, Callable[[bytes], AEAD]]] = {
    "aes-256-gcm": (1, AESGCM),
    "chacha20-poly1305": (2, ChaCha20Poly1305),
}
MAKERS = dict(SUITES.values())


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What one secret gives: an id to tell it by, and the key of every sender."""

    id: bytes
    key: bytes = field(repr=False)

    def sender_key(self, sender: bytes, suite: int) -> bytes:
        """The key that only this sender seals with."""
        return expand(self.key, b"sender" + bytes([suite]) + sender, 32)


def derive(legion: bytes, secret: bytes) -> MasterKey:
    """Stretch a secret. Takes 32 MB and some tens of milliseconds, on purpose."""
    salt = b"uwgate legion 1\0" + legion
    key = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(secret)
    return MasterKey(expand(key, b"id", 4), key)


def expand(key: bytes, info: bytes, size: int) -> bytes:
    """HKDF-Expand (RFC 5869 section 2.3)."""
    return HKDFExpand(algorithm=SHA256(), length=size, info=b"uwgate legion 1\0" + info).derive(key)


class Sealer:
    """Seals what this start of this node sends.

    ``sender`` must be random and new (``uuid.uuid4().bytes``): the nonces depend on it.
    """

    def __init__(self, master: MasterKey, sender: bytes, suite: str) -> None:
        self.suite, make = SUITES[suite]
        self.master = master
        self.sender = sender
        self._aead = make(master.sender_key(sender, self.suite))
        self._last = 0

    def seal(self, sequence: int, plaintext: bytes) -> bytes:
        """The datagram with this number.

        Raises:
            ValueError: the number does not rise, or the plaintext is longer than MAX_PLAINTEXT.
        """
        if sequence <= self._last:
            raise ValueError(f"sequence number {sequence} after {self._last}")
        if len(plaintext) > MAX_PLAINTEXT:
            raise ValueError(f"announcement of {len(plaintext)} bytes, limit {MAX_PLAINTEXT}")
        self._last = sequence
        size = HEADER.size - PREFIX + len(plaintext) + TAG
        header = HEADER.pack(MODIFIER, size, self.suite, self.master.id, self.sender, sequence)
        return header + self._aead.encrypt(NONCE.pack(sequence), plaintext, header)


@dataclass(frozen=True, slots=True)
class Opened:
    """A packet whose seal holds."""

    sender: bytes
    sequence: int
    plaintext: bytes


class Opener:
    """Opens the packets of every sender that seals with one of our secrets.

    Raises:
        ConfigError: too many secrets, or the same one twice.
    """

    def __init__(self, masters: Sequence[MasterKey]) -> None:
        if not 1 <= len(masters) <= MAX_SECRETS:
            raise ConfigError(f"{len(masters)} secrets, 1 to {MAX_SECRETS} are possible")
        self._masters = {master.id: master for master in masters}
        if len(self._masters) < len(masters):
            raise ConfigError("the same secret twice")
        self._aeads: OrderedDict[tuple[bytes, bytes, int], AEAD] = OrderedDict()

    def open(self, datagram: bytes) -> Opened:
        """What a datagram holds. Whether it came before is the window's question.

        Raises:
            Refused: it is none of ours, or somebody has changed it.
        """
        if len(datagram) < HEADER.size + TAG:
            raise Refused(Reason.SHORT, f"datagram of {len(datagram)} bytes")
        modifier1, size, suite, key_id, sender, sequence = HEADER.unpack_from(datagram)
        if modifier1 != MODIFIER:
            raise Refused(Reason.FOREIGN, f"modifier1 {modifier1}, expected {MODIFIER}")
        if size != len(datagram) - PREFIX:
            raise Refused(Reason.SHORT, f"{len(datagram) - PREFIX} bytes, the header says {size}")
        master = self._masters.get(key_id)
        if master is None:
            raise Refused(Reason.UNKNOWN_KEY, f"sealed with the secret of key id {key_id.hex()}")
        if suite not in MAKERS or not sequence:
            raise Refused(Reason.FORGED, f"suite {suite}, sequence number {sequence}")
        name = (key_id, sender, suite)
        aead = self._aeads.get(name) or MAKERS[suite](master.sender_key(sender, suite))
        try:
            plaintext = aead.decrypt(
                NONCE.pack(sequence), datagram[HEADER.size :], datagram[: HEADER.size]
            )
        except InvalidTag:
            raise Refused(Reason.FORGED, "the seal is broken") from None
        # Only after the seal: a stranger's packets must not push known keys out.
        self._aeads[name] = aead
        self._aeads.move_to_end(name)
        if len(self._aeads) > MAX_OPENERS:
            self._aeads.popitem(last=False)
        return Opened(sender, sequence, plaintext)


class ReplayWindow:
    """Which numbers of one sender have come (after RFC 4303 section 3.4.3)."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 0  # bit n: highest - n has come

    def admit(self, sequence: int) -> Reason | None:
        """Note that a number came, and say why its packet must not be used, if so.

        Every announcement replaces the ones before, so one that others have overtaken is
        noted and not used. None: use it.
        """
        ahead = sequence - self._highest
        if ahead > 0:
            self._seen = 1 if ahead >= WINDOW else (self._seen << ahead | 1) & (1 << WINDOW) - 1
            self._highest = sequence
            return None
        if -ahead >= WINDOW or self._seen >> -ahead & 1:
            return Reason.REPLAYED
        self._seen |= 1 << -ahead
        return Reason.OVERTAKEN
