"""Announcements as uWSGI sends them: modifier1 109 and an encrypted dictionary.

spec/legion.md 3. There is no seal on these packets: whoever can change bytes under way can
change what they say (docs/design.md, "The two modes of the legion").
"""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.gateways.wire.uwsgi import HEADER, MAX_BLOCK, PacketError, decode_block, encode_var
from uwgate.subscriptions.legion.cipher import LegionCipher
from uwgate.subscriptions.legion.refusal import Reason, Refused

MODIFIER = 109
UUID_SIZE = 36  # bytes: lower-case hex with dashes
NOBODY = b"\0" * UUID_SIZE  # the lord's uuid in a packet sent before the first election
MAX_VALOR = 0xFFFF  # uWSGI stores 16 bits of a member's valor and compares 64 of them
MAX_NUMBER = 1 << 64
MAX_NAME = 255  # bytes of a host or legion name; Linux host names have 64 at most
MAX_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a node says of itself; every datagram is one.

    ``unix`` is the sender's clock in seconds. ``lord`` is 0, or the second at which the
    sender became lord. ``lord_valor`` and ``lord_uuid`` are its vote, ``checksum`` its
    view of the members; all three are empty before its first election.
    """

    legion: bytes
    valor: int
    unix: int
    lord: int
    name: bytes
    pid: int
    uuid: bytes
    checksum: int = 0
    lord_valor: int = 0
    lord_uuid: bytes = NOBODY
    scroll: bytes = b""
    dead: bool = False


def encode(announcement: Announcement, cipher: LegionCipher) -> bytes:
    """The datagram, byte for byte as uWSGI would send it.

    Raises:
        PacketError: it does not fit into 16 bits.
    """
    plaintext = encode_plain(announcement)
    if len(plaintext) > MAX_BLOCK - cipher.block:
        raise PacketError(
            f"announcement of {len(plaintext)} bytes, limit {MAX_BLOCK - cipher.block}"
        )
    return HEADER.pack(MODIFIER, len(plaintext), 0) + cipher.encrypt(plaintext)


def encode_plain(announcement: Announcement) -> bytes:
    """The dictionary, in the order in which uWSGI writes it."""
    variables = [
        (b"legion", announcement.legion),
        (b"valor", b"%d" % announcement.valor),
        (b"unix", b"%d" % announcement.unix),
        (b"lord", b"%d" % announcement.lord),
        (b"name", announcement.name),
        (b"pid", b"%d" % announcement.pid),
        (b"uuid", announcement.uuid),
        (b"checksum", b"%d" % announcement.checksum),
        (b"lord_valor", b"%d" % announcement.lord_valor),
        (b"lord_uuid", announcement.lord_uuid),
    ]
    if announcement.scroll:
        variables.append((b"scroll", announcement.scroll))
    if announcement.dead:
        variables.append((b"dead", b"1"))
    return b"".join(encode_var(key, value) for key, value in variables)


def decode(datagram: bytes, cipher: LegionCipher) -> Announcement:
    """What a datagram says, if this cipher opens it.

    Which legion it names, how old it is and whether it came before is for the inbox.

    Raises:
        Refused: it is no announcement under this cipher.
    """
    if len(datagram) < HEADER.size:
        raise Refused(Reason.SHORT, f"datagram of {len(datagram)} bytes")
    modifier1, size, _ = HEADER.unpack_from(datagram)
    if modifier1 != MODIFIER:
        raise Refused(Reason.FOREIGN, f"modifier1 {modifier1}, expected {MODIFIER}")
    plaintext = cipher.decrypt(datagram[HEADER.size :])
    if len(plaintext) != size:
        raise Refused(Reason.FORGED, f"{len(plaintext)} bytes, the header says {size}")
    return decode_plain(plaintext)


def decode_plain(plaintext: bytes) -> Announcement:
    """What a decrypted dictionary says. Unknown keys are ignored, of repeated ones the last counts.

    Raises:
        Refused: a key is missing or breaks its format (MALFORMED).
    """
    try:
        found = dict(decode_block(plaintext))
    except PacketError as error:
        raise Refused(Reason.MALFORMED, str(error)) from None
    return Announcement(
        legion=text(found, b"legion"),
        valor=number(found, b"valor", MAX_VALOR),
        unix=number(found, b"unix"),
        lord=number(found, b"lord", default=0),  # uWSGI ignores it
        name=text(found, b"name"),
        pid=number(found, b"pid"),
        uuid=identity(found, b"uuid"),
        checksum=number(found, b"checksum"),
        lord_valor=number(found, b"lord_valor", MAX_VALOR),
        lord_uuid=identity(found, b"lord_uuid"),
        scroll=found.get(b"scroll", b""),
        dead=b"dead" in found,  # its presence is what counts, not its value
    )


def number(
    found: dict[bytes, bytes],
    key: bytes,
    limit: int = MAX_NUMBER,
    *,
    default: int | None = None,
) -> int:
    """A variable of ASCII digits.

    Raises:
        Refused: anything else, or more than ``limit`` (MALFORMED).
    """
    digits = found.get(key)
    if digits is None and default is not None:
        return default
    if digits is None or not digits.isdigit() or len(digits) > MAX_DIGITS or int(digits) > limit:
        raise Refused(Reason.MALFORMED, f"{key.decode()}: no number from 0 to {limit}")
    return int(digits)


def text(found: dict[bytes, bytes], key: bytes) -> bytes:
    """A name.

    Raises:
        Refused: it is missing, empty or too long (MALFORMED).
    """
    value = found.get(key, b"")
    if not 1 <= len(value) <= MAX_NAME:
        raise Refused(Reason.MALFORMED, f"{key.decode()}: {len(value)} bytes, 1 to {MAX_NAME}")
    return value


def identity(found: dict[bytes, bytes], key: bytes) -> bytes:
    """A uuid.

    Raises:
        Refused: it is missing or not of 36 bytes (MALFORMED).
    """
    value = found.get(key, b"")
    if len(value) != UUID_SIZE:
        raise Refused(Reason.MALFORMED, f"{key.decode()}: {len(value)} bytes, not {UUID_SIZE}")
    return value
