"""Subscription packets: how a node says which name it serves, and where.

A packet is one datagram: a uwsgi header with modifier1 224, the command in modifier2, and a
block of variables (spec/subscriptions.md section 2). Those of uWSGI 2.1 (section 13) and our
own stand among them; a 2.0.31 reads only what it knows, and so do we.

Ours are ``free`` (cores without a request), ``via`` (the gateways that passed the
announcement on, separated by commas) and ``micros`` (microseconds to be added to ``unix``).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from uwgate.gateways.wire import uwsgi
from uwgate.subscriptions.refusal import Refusal, Refused

MODIFIER1 = 224
MAX_DATAGRAM = 4096  # bytes; the receive buffer of uWSGI (section 1)
MAX_NAME = 255  # bytes of key, address, vassal and the like; uWSGI's fields hold that
MAX_NOTIFY = 101  # bytes; uWSGI takes less than 102 (section 2.1)
MAX_WEIGHT = 1_000_000  # the shares of one cycle are counted one by one
MAX_BACKUP = 255
MAX_NUMBER = (1 << 63) - 1
MICROS = 1_000_000
MAX_MICROS = MICROS - 1
MAX_SIGNATURE = 1024  # bytes; RSA keys of 8192 bits
SIGN_VARIABLE = 2 + len(b"sign") + 2  # bytes of the last variable before its value


class Command(enum.IntEnum):
    """modifier2 of the packet."""

    SUBSCRIBE = 0
    UNSUBSCRIBE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One announcement.

    Empty texts, None and a backup level of 0 are not sent. ``weight`` 0 counts as 1.
    ``unix`` is seconds since 1970 and ``micros`` what to add to it; only signed packets
    have them. An empty ``address`` is a vassal that does not run (section 13).
    """

    command: Command = Command.SUBSCRIBE
    key: str
    address: str = ""
    modifier1: int = 0
    modifier2: int = 0
    cores: int = 0
    load: int = 0
    weight: int = 0
    backup: int = 0
    vassal: str = ""
    sni_key: str = ""
    sni_crt: str = ""
    sni_ca: str = ""
    proto: str = ""
    algo: str = ""
    inactive: str = ""
    notify: str = ""
    clear: int | None = None
    free: int | None = None
    via: str = ""
    micros: int | None = None
    unix: int | None = None
    signature: bytes = b""

    @property
    def said(self) -> int:
        """When it was made, in microseconds since 1970; 0 if it does not say."""
        return (self.unix or 0) * MICROS + (self.micros or 0)


def encode(packet: Packet) -> bytes:
    """The datagram, variables in the order in which uWSGI sends them.

    Raises:
        Refused: a field has no room in a packet; nobody would accept it.
    """
    variables: list[tuple[bytes, bytes]] = []
    for name, attribute, check in FIELDS:
        value = getattr(packet, attribute)
        if attribute not in ALWAYS and value == DEFAULTS[attribute]:
            continue
        raw = value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")
        check(name, raw)
        variables.append((name.encode(), raw))
    datagram = uwsgi.encode(variables, MODIFIER1, packet.command)
    if len(datagram) > MAX_DATAGRAM:
        raise Refused(Refusal.TOO_LARGE, f"packet of {len(datagram)} bytes, limit {MAX_DATAGRAM}")
    return datagram


def decode(datagram: bytes) -> Packet:
    """What a datagram says.

    Unknown variables are passed over. uWSGI would also take packets with a wrong header or
    a damaged end (section 2); a packet that two parties may read differently is refused.

    Raises:
        Refused: MALFORMED or TOO_LARGE.
    """
    if len(datagram) > MAX_DATAGRAM:
        raise Refused(Refusal.TOO_LARGE, f"datagram of {len(datagram)} bytes, limit {MAX_DATAGRAM}")
    if len(datagram) < uwsgi.HEADER.size:
        raise _malformed(f"datagram of {len(datagram)} bytes has no whole header")
    modifier1, size, modifier2 = uwsgi.HEADER.unpack_from(datagram)
    if modifier1 != MODIFIER1 or modifier2 not in COMMANDS:
        raise _malformed(f"modifiers {modifier1} and {modifier2}, expected {MODIFIER1} and 0 or 1")
    if size != len(datagram) - uwsgi.HEADER.size:
        raise _malformed(f"block of {size} bytes in a datagram of {len(datagram)}")
    found: dict[str, Any] = {}
    try:
        for name, value in uwsgi.decode_block(datagram[uwsgi.HEADER.size :]):
            if "signature" in found:
                raise _malformed("a variable behind the signature")
            if (field := BY_NAME.get(name)) is None:
                continue
            label, attribute, check = field
            if attribute in found:
                raise _malformed(f"{label} stands there twice")
            found[attribute] = check(label, value)
    except uwsgi.PacketError as error:
        raise _malformed(str(error)) from error
    if not found.get("key"):
        raise _malformed("no key")
    if not (found.get("address") or found.get("vassal")):
        raise _malformed("no address")
    return Packet(command=Command(modifier2), **found)


def signed_part(datagram: bytes, signature: bytes) -> bytes:
    """The bytes of a packet that its signature is for: the block before ``sign`` (section 7)."""
    return datagram[uwsgi.HEADER.size : len(datagram) - SIGN_VARIABLE - len(signature)]


def _malformed(text: str) -> Refused:
    return Refused(Refusal.MALFORMED, text)


def _text(limit: int) -> Callable[[str, bytes], str]:
    def check(name: str, value: bytes) -> str:
        if len(value) > limit:
            raise Refused(Refusal.TOO_LARGE, f"{name} of {len(value)} bytes, limit {limit}")
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            raise _malformed(f"{name} is not UTF-8: {value!r}") from error
        if not text.isprintable():  # such a name could write lines of its own into a log
            raise _malformed(f"{name} has characters that cannot be shown: {value!r}")
        return text

    return check


def _number(limit: int) -> Callable[[str, bytes], int]:
    def check(name: str, value: bytes) -> int:
        if not value.isdigit() or len(value) > 20:  # bytes.isdigit knows ASCII only
            raise _malformed(f"{name} is {value[:40]!r}, expected a decimal number")
        number = int(value)
        if number > limit:
            raise Refused(Refusal.TOO_LARGE, f"{name} is {number}, limit {limit}")
        return number

    return check


def _signature(name: str, value: bytes) -> bytes:
    if not 1 <= len(value) <= MAX_SIGNATURE:
        raise Refused(
            Refusal.TOO_LARGE, f"{name} of {len(value)} bytes, expected 1 to {MAX_SIGNATURE}"
        )
    return value


Check = Callable[[str, bytes], Any]
# name on the wire, attribute, check; in the order of sections 2.1 and 13
FIELDS: tuple[tuple[str, str, Check], ...] = (
    ("key", "key", _text(MAX_NAME)),
    ("address", "address", _text(MAX_NAME)),
    ("modifier1", "modifier1", _number(255)),
    ("modifier2", "modifier2", _number(255)),
    ("cores", "cores", _number(MAX_NUMBER)),
    ("load", "load", _number(MAX_NUMBER)),
    ("weight", "weight", _number(MAX_WEIGHT)),
    ("backup", "backup", _number(MAX_BACKUP)),
    ("vassal", "vassal", _text(MAX_NAME)),
    ("sni_key", "sni_key", _text(MAX_DATAGRAM)),
    ("sni_crt", "sni_crt", _text(MAX_DATAGRAM)),
    ("sni_ca", "sni_ca", _text(MAX_DATAGRAM)),
    ("proto", "proto", _text(MAX_NAME)),
    ("algo", "algo", _text(MAX_NAME)),
    ("inactive", "inactive", _text(MAX_NAME)),
    ("notify", "notify", _text(MAX_NOTIFY)),
    ("clear", "clear", _number(MAX_NUMBER)),
    ("free", "free", _number(MAX_NUMBER)),
    ("via", "via", _text(MAX_DATAGRAM)),
    ("micros", "micros", _number(MAX_MICROS)),
    ("unix", "unix", _number(MAX_NUMBER)),
    ("sign", "signature", _signature),
)
BY_NAME = {name.encode(): (name, attribute, check) for name, attribute, check in FIELDS}
COMMANDS = frozenset(int(command) for command in Command)
ALWAYS = frozenset({"key", "address", "modifier1", "modifier2", "cores", "load", "weight"})
DEFAULTS = {field.name: field.default for field in fields(Packet)}
