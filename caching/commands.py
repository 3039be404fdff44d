"""Commands to the cache of another instance: uwsgi packets with modifier1 111 (spec part A4.2, 3).

Those with modifier2 17 are what uWSGI's own API sends. The others are answered as they were meant,
which in uWSGI 2.0.31 not all are.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from uwgate.gateways.wire.uwsgi import HEADER, LENGTH, PacketError, decode_block, encode

MODIFIER = 111
MAGIC = 17  # modifier2 of what the API sends
OK = b"ok"
MAX_DIGITS = 19


class Short(enum.IntEnum):
    """Values of modifier2 for what goes without variables."""

    GET = 0
    SET = 1
    DELETE = 2
    ANSWER = 3  # the stored bytes are the response
    ANSWER_TOO = 4
    STREAM = 5
    DUMP = 6


class Verb(enum.Enum):
    """What is wanted with modifier2 17."""

    GET = "get"
    EXISTS = "exists"
    SET = "set"
    UPDATE = "update"
    DELETE = "del"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class Order:
    """A command with modifier2 17. ``size`` bytes of value follow the packet.

    ``cache`` empty: the default one. ``expires`` is in seconds from now on, 0: never.
    """

    verb: Verb
    key: bytes = b""
    size: int = 0
    expires: int = 0
    cache: str = ""


@dataclass(frozen=True, slots=True)
class Success:
    """The answer. ``size`` bytes of value follow; ``expires``: seconds since the epoch, 0: never.

    ``status`` is what the other side says; uWSGI says ``ok``, or closes without a word.
    """

    size: int = 0
    expires: int = 0
    status: bytes = OK


def encode_order(order: Order) -> bytes:
    """The packet; the variables are in the order of uWSGI's, which has size twice.

    Raises:
        PacketError: the key is too long.
    """
    variables = [(b"cmd", order.verb.value.encode())]
    if order.verb is not Verb.CLEAR:
        variables.append((b"key", order.key))
    if order.size:
        variables.append((b"size", b"%d" % order.size))
    if order.expires:
        variables.append((b"expires", b"%d" % order.expires))
    if order.size:
        variables.append((b"size", b"%d" % order.size))
    variables.append((b"cache", order.cache.encode()))
    return encode(variables, MODIFIER, MAGIC)


def decode_order(block: bytes) -> Order:
    """The command in the block of a packet.

    Raises:
        PacketError: it is none.
    """
    variables = dict(decode_block(block))
    word = variables.get(b"cmd", b"")
    try:
        verb = Verb(word.decode("ascii", "replace"))
    except ValueError:
        raise PacketError(f"cache command {word[:20]!r}") from None
    return Order(
        verb,
        variables.get(b"key", b""),
        _number(variables.get(b"size", b"0")),
        _number(variables.get(b"expires", b"0")),
        variables.get(b"cache", b"").decode("utf-8", "replace"),
    )


def encode_success(success: Success) -> bytes:
    """The packet."""
    variables = [(b"status", success.status)]
    if success.size:
        variables.append((b"size", b"%d" % success.size))
    if success.expires:
        variables.append((b"expires", b"%d" % success.expires))
    return encode(variables, MODIFIER, MAGIC)


def decode_success(block: bytes) -> Success:
    """The answer in the block of a packet.

    Raises:
        PacketError: it is none.
    """
    variables = dict(decode_block(block))
    return Success(
        _number(variables.get(b"size", b"0")),
        _number(variables.get(b"expires", b"0")),
        variables.get(b"status", b""),
    )


def split_pair(block: bytes) -> tuple[bytes, bytes]:
    """Key and value of a block of ``Short.SET``. What follows them is ignored.

    Raises:
        PacketError: it is cut short.
    """
    parts: list[bytes] = []
    for _ in range(2):
        if len(block) < LENGTH.size or len(block) < LENGTH.size + LENGTH.unpack_from(block)[0]:
            raise PacketError("cache item cut short")
        end = LENGTH.size + LENGTH.unpack_from(block)[0]
        parts.append(block[LENGTH.size : end])
        block = block[end:]
    return parts[0], parts[1]


def value_head(size: int, *, found: bool) -> bytes:
    """What stands before the value in answers to ``GET`` and ``STREAM``.

    The length has 16 bits, so that of a longer value is its rest; the connection's end counts.
    """
    return HEADER.pack(MODIFIER, size & 0xFFFF, int(found))


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > MAX_DIGITS:
        raise PacketError(f"number {text[:20]!r} in a cache command")
    return int(text)
