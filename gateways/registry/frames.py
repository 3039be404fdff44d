"""Frames between the registry and those that it tells: a length, and a JSON object.

An object has a ``type``; who does not know one passes it over, because the other side may be of
another release. ``kind`` is the kind of gateway, ``key`` and ``node`` name a node
(``Node.name``), times are in seconds of the machine's monotonic clock.

From a gateway, or from a registry that wants to take over:

``hello``     ``kind`` of the gateway, "registry" for a registry; ``pid``. The first frame.
``rows``, ``end``   the answer to ``ask``, like below
``out``       requests of mine have put a node out: ``cause``, ``at``, ``until``, ``ejections``
``figures``   a part of the answer to ``count``: its ``id``, ``row`` (figures.py)
``counted``   that was all of it: ``id``; 0 for what is said unasked, before the process ends

From the registry:

``ask``       what do you know? Asked by one that has just been born
``begin``     a table follows, for ``kind``
``rows``      a part of it: ``rows`` (subscriptions/state.py)
``end``       that was all: who was in no row, nor announced since ``begin``, is gone
``packet``    an admitted announcement: ``now``, ``packet``, ``sender``, ``sni``
``gone``      the announcements of a node have stopped
``health``    a node is out or back: ``cause``, ``health``
``count``     what have you counted? The answer has the same ``id``

From the registry to another one only:

``marks``     ``marks``: what was signed last (subscriptions/signature.py)
``counts``    ``accepted`` and ``refused`` until now
``complete``  that was all there is
``ledger``    a part of what gateways have counted: ``row`` (ledger.py)
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

LENGTH = struct.Struct("<I")
MAX_FRAME = 4 << 20  # bytes; a row of 64 nodes that are as large as they may be has less

Message = dict[str, Any]


class FrameError(ValueError):
    """The other side does not speak our language."""


def encode(type: str, **fields: object) -> bytes:
    """One frame."""
    body = json.dumps({"type": type, **fields}, separators=(",", ":")).encode()
    return LENGTH.pack(len(body)) + body


class Decoder:
    """Cuts what is received into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now.

        Raises:
            FrameError: a frame is too long, or holds no message.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= LENGTH.size:
                (length,) = LENGTH.unpack_from(buffer, start)
                if length > MAX_FRAME:
                    raise FrameError(f"frame of {length} bytes, limit {MAX_FRAME}")
                begin = start + LENGTH.size
                if len(buffer) - begin < length:
                    break
                start = begin + length
                yield _message(bytes(buffer[begin:start]))
        finally:
            del buffer[:start]


def _message(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"no JSON: {body[:80]!r}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise FrameError(f"no message: {body[:80]!r}")
    return message


ASK = encode("ask")
COMPLETE = encode("complete")
