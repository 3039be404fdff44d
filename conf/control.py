"""Messages between the master and its children, on a SOCK_SEQPACKET pair.

One packet is one JSON object with a ``type``. From the master: ``drain`` (finish what runs,
take nothing new, exit 0; to a gateway with ``idle``, the seconds that idle connections may
still bring one last request in, 0 when the instance stops) and ``stop`` (exit at once); to the
spawner also ``pause`` (workers accept nothing), ``resume``, ``signal`` (its ``number``: raise
it), and ``alarm`` (``name`` and ``text``, a character for each byte: trigger it).
From a gateway: ``ready``, and ``signal`` and ``alarm``, which go on to the spawner. From the
spawner: ``ready`` (every worker accepts), ``failed`` (``reason`` text, ``code`` exit code),
``worker`` (``worker`` number, ``pid``; one more worker runs), ``gone`` (``worker``, ``pid``,
``status`` as of waitpid). From the legion also ``signal``, which goes on to the spawner. To the
attendant also ``reload``; from it ``minute`` (its number: its
commands were run), ``rested`` (its daemons have ended), ``control`` (``reason`` to stop), and
``worker`` and ``gone`` of the process groups of its daemons. End of file means that the other
side is dead.
"""

from __future__ import annotations

import json
from typing import Any

MAX_MESSAGE = 65536  # bytes; a traceback longer than this is cut by its sender


def encode(type: str, **fields: Any) -> bytes:
    """One message as a packet."""
    return json.dumps({"type": type, **fields}).encode()


def decode(packet: bytes) -> dict[str, Any]:
    """The message of one packet.

    Raises:
        ValueError: the packet is not a JSON object with a type.
    """
    message = json.loads(packet)
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError(f"not a control message: {packet[:80]!r}")
    return message
