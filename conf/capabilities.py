"""Keeping single capabilities of root while giving up the rest (capabilities(7))."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

from uwgate.conf.errors import ConfigError

NET_ADMIN = 12
NET_RAW = 13
NAMES = {NET_ADMIN: "CAP_NET_ADMIN", NET_RAW: "CAP_NET_RAW"}
PR_SET_KEEPCAPS = 8
VERSION_3 = 0x20080522  # two 32-bit words a set
HEADER = struct.Struct("=Ii")  # version, pid
DATA = struct.Struct("=IIIIII")  # effective, permitted, inheritable: low words, then high words
STATUS = Path("/proc/self/status")


def permitted() -> int:
    """The bits of what this process may have."""
    for line in STATUS.read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def has(*capabilities: int) -> bool:
    """Whether this process may have all of these."""
    return all(permitted() >> one & 1 for one in capabilities)


def keep(capabilities: tuple[int, ...], drop: Callable[[], None]) -> None:
    """Run ``drop``, which changes the user, and keep these capabilities over it, and no other.

    Programs that this process starts do not get them, unless they run as root.

    Raises:
        ConfigError: this process does not have them.
    """
    if not has(*capabilities):
        names = " and ".join(NAMES[one] for one in capabilities)
        raise ConfigError(f"this needs {names}, which the process does not have")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0:
        raise ConfigError(f"prctl(PR_SET_KEEPCAPS): {os.strerror(ctypes.get_errno())}")
    drop()
    bits = sum(1 << one for one in capabilities)
    data = ctypes.create_string_buffer(DATA.pack(bits, bits, 0, 0, 0, 0), DATA.size)
    header = ctypes.create_string_buffer(HEADER.pack(VERSION_3, 0), HEADER.size)
    if libc.capset(header, data) != 0:
        raise ConfigError(f"capset: {os.strerror(ctypes.get_errno())}")
