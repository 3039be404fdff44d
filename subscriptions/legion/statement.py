"""What a node says in a sealed packet: a uwsgi dictionary, like uWSGI's announcements.

Every statement is the whole state of its sender, so losing one loses nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from uwgate.gateways.wire.uwsgi import PacketError, decode_block, encode_var
from uwgate.subscriptions.legion.packet import MAX_VALOR, number, text
from uwgate.subscriptions.legion.refusal import Reason, Refused

UUID_SIZE = 16  # bytes
MAX_MEMBERS = 256  # nodes that one node listens to; each takes an ECHO in every packet
MAX_HOLD = 3_600_000  # milliseconds
MAX_TERM = 1 << 62  # terms go on from the highest seen: leave room to
ECHO = struct.Struct("<16sQ")  # sender, the highest number heard from it
GRANT = struct.Struct("<16sQQ")  # candidate, term, number of the packet that asked


@dataclass(frozen=True, slots=True)
class Grant:
    """A promise: nobody but ``candidate`` gets ours, for as long as ``hold`` says.

    It was made, or renewed, on the candidate's packet number ``sequence``.
    """

    candidate: bytes
    term: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one node says.

    ``term`` is the highest that the sender knows of, ``claim`` the one in which it is or wants
    to be lord (0: in none), ``acting`` whether it is, ``freed`` the last one in which it has
    stopped for good. ``wish`` is who should be lord in its view, ``quorate`` whether it
    hears enough members to be lord itself. ``hold`` is how long it keeps its promises, in
    milliseconds. ``echoes``: of whom it has heard what last. ``answer``: asks for no answer.
    """

    sender: bytes
    sequence: int
    name: bytes
    valor: int
    hold: int
    term: int = 0
    claim: int = 0
    acting: bool = False
    freed: int = 0
    wish: bytes | None = None
    grant: Grant | None = None
    quorate: bool = False
    answer: bool = False
    dead: bool = False
    scroll: bytes = b""
    echoes: tuple[tuple[bytes, int], ...] = ()


FLAGS = ("acting", "quorate", "answer", "dead")


def encode(statement: Statement) -> bytes:
    """The dictionary; sender and sequence number stand in the packet's header."""
    variables = [
        (b"name", statement.name),
        (b"valor", b"%d" % statement.valor),
        (b"hold", b"%d" % statement.hold),
        (b"term", b"%d" % statement.term),
        (b"claim", b"%d" % statement.claim),
        (b"freed", b"%d" % statement.freed),
        (b"echoes", b"".join(ECHO.pack(*echo) for echo in statement.echoes)),
    ]
    variables += [(flag.encode(), b"1") for flag in FLAGS if getattr(statement, flag)]
    if statement.wish is not None:
        variables.append((b"wish", statement.wish))
    if statement.grant is not None:
        grant = statement.grant
        variables.append((b"grant", GRANT.pack(grant.candidate, grant.term, grant.sequence)))
    if statement.scroll:
        variables.append((b"scroll", statement.scroll))
    return b"".join(encode_var(key, value) for key, value in variables)


def decode(sender: bytes, sequence: int, plaintext: bytes) -> Statement:
    """What an opened packet says. Unknown keys are ignored, so later versions may add some.

    Raises:
        Refused: a key is missing or breaks its format (MALFORMED).
    """
    try:
        found = dict(decode_block(plaintext))
    except PacketError as error:
        raise Refused(Reason.MALFORMED, str(error)) from None
    echoes = found.get(b"echoes", b"")
    wish = found.get(b"wish")
    grant = found.get(b"grant")
    if (
        len(echoes) % ECHO.size
        or len(echoes) > ECHO.size * MAX_MEMBERS
        or (wish is not None and len(wish) != UUID_SIZE)
        or (grant is not None and len(grant) != GRANT.size)
    ):
        raise Refused(Reason.MALFORMED, "echoes, wish or grant of a wrong length")
    return Statement(
        sender=sender,
        sequence=sequence,
        name=text(found, b"name"),
        valor=number(found, b"valor", MAX_VALOR),
        hold=number(found, b"hold", MAX_HOLD),
        term=number(found, b"term", MAX_TERM),
        claim=number(found, b"claim", MAX_TERM),
        freed=number(found, b"freed", MAX_TERM),
        wish=wish,
        grant=None if grant is None else Grant(*GRANT.unpack(grant)),
        acting=b"acting" in found,
        quorate=b"quorate" in found,
        answer=b"answer" in found,
        dead=b"dead" in found,
        scroll=found.get(b"scroll", b""),
        echoes=tuple(ECHO.iter_unpack(echoes)),
    )
