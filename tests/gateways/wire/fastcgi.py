"""The other side of FastCGI: what a backend of a test reads and says."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Self

from uwgate.gateways.wire.fastcgi import BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT


def record(kind: int, content: bytes) -> bytes:
    """A record of the only request."""
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


END = record(END_REQUEST, bytes(8))


def answer(text: bytes) -> bytes:
    """A whole answer: each record holds 1000 bytes of it."""
    pieces = [text[start : start + 1000] for start in range(0, len(text), 1000)]
    return b"".join(record(STDOUT, piece) for piece in (*pieces, b"")) + END


@dataclass(slots=True)
class Asked:
    """A request with its whole body."""

    variables: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def read(cls, data: bytes) -> Self | None:
        """The request that is there; None while something of it is missing."""
        kinds: list[int] = []
        streams = {PARAMS: bytearray(), STDIN: bytearray()}
        while len(data) >= 8:
            version, kind, number, size, padding = struct.unpack_from("!BBHHBx", data)
            if len(data) < 8 + size + padding:
                return None
            content, data = data[8 : 8 + size], data[8 + size + padding :]
            assert (version, number) == (1, 1)
            kinds.append(kind)
            if kind == BEGIN_REQUEST:
                assert content == b"\0\1" + bytes(6)  # a responder, and no connection to keep
                continue
            streams[kind] += content
            if kind == STDIN and not size:
                assert kinds == sorted(kinds)
                assert not data
                return cls(dict(_pairs(bytes(streams[PARAMS]))), bytes(streams[STDIN]))
        return None


def _pairs(data: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    while data:
        sizes = []
        for _ in range(2):
            wide = data[0] & 0x80
            sizes.append(struct.unpack_from("!I", data)[0] & 0x7FFFFFFF if wide else data[0])
            data = data[4 if wide else 1 :]
        name, value = data[: sizes[0]], data[sizes[0] : sum(sizes)]
        found.append((name, value))
        data = data[sum(sizes) :]
    return found
