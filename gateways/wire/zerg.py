"""What a zerg server says: who it is, and how many descriptors it gives (spec/gateways.md 10.1).

It is one message on a UNIX stream socket, with the descriptors beside it, and then end of file.
Who wants them only connects.
"""

from __future__ import annotations

import struct

from uwgate.conf.errors import ConfigError

CODE = b"uwsgi-zerg"
SIZE = 14  # bytes; no padding in front of the number
COUNT = struct.Struct("@i")  # native order: both sides run on one machine
MAX_SOCKETS = 253  # SCM_MAX_FD, the most that the kernel passes at once (unix(7))


def encode(count: int) -> bytes:
    """The message for ``count`` descriptors."""
    assert 0 < count <= MAX_SOCKETS
    return CODE + COUNT.pack(count)


def decode(data: bytes) -> int | None:
    """How many descriptors belong to the message; None while bytes of it are missing.

    Raises:
        ConfigError: it is no message of a zerg server, or one that cannot be true.
    """
    if data[: len(CODE)] != CODE[: len(data)]:
        raise ConfigError(f"not a zerg server: it begins with {data[:16]!r}")
    if len(data) < SIZE:
        return None
    if len(data) > SIZE:
        raise ConfigError(f"{len(data)} bytes or more, a zerg server says {SIZE}")
    count: int = COUNT.unpack_from(data, len(CODE))[0]
    if not 0 < count <= MAX_SOCKETS:
        raise ConfigError(f"it announces {count} sockets, expected 1 to {MAX_SOCKETS}")
    return count
