"""The board: who is lord of each legion, in memory that several processes share.

The master makes it, the legion process writes on it, workers and the master read it. It
describes itself, so readers need nothing but its descriptor. A standing ends by itself at
``until``: a lord whose process is stalled or dead is none, although nobody says so.

    offset 0    8   MAGIC
    offset 8    u32 number of legions; u32 size of an area
    offset 16       the areas: 256 bytes of name (its length first), then three records

A record is two slots, a number that says which one counts, and a checksum in each slot; the
writer fills the other slot and then changes the number. Only one process may write.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = b"uwgboard"
HEAD = struct.Struct("<8sII")
NAME_SIZE = 256
MAX_NAME = 255  # bytes
SLOT = struct.Struct("<II")  # CRC-32, size
STANDING = struct.Struct("<dQQ")  # until, term, since
LENGTH = struct.Struct("<H")
MAX_STATS = 1 << 19  # bytes; 256 members with names of 255 bytes, each of which takes six in JSON
READ_ATTEMPTS = 1000  # a writer would have to write twice within each


def clock() -> float:
    """Seconds of the clock that never steps and runs on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where this node stands. ``until`` (of ``clock``): it is lord before that; 0: it is not.

    ``term`` is the highest that it knows of. ``since``: the second at which it became lord.
    """

    until: float = 0.0
    term: int = 0
    since: int = 0

    @property
    def is_lord(self) -> bool:
        """Whether this node may act as the lord at this moment."""
        return clock() < self.until


@dataclass(frozen=True, slots=True)
class Scrolls:
    """The texts of the nodes. ``lord`` None: no lord is known. ``all``: our own comes first."""

    lord: bytes | None = None
    all: tuple[bytes, ...] = ()


class Record:
    """Bytes that one process writes and others read whole."""

    def __init__(self, memory: mmap.mmap, offset: int, capacity: int) -> None:
        self._memory = memory
        self._offset = offset
        self._capacity = capacity

    @staticmethod
    def size(capacity: int) -> int:
        """How many bytes of memory a record takes."""
        return 8 + 2 * (SLOT.size + capacity)

    def write(self, content: bytes) -> None:
        """Replace what is there.

        Raises:
            ValueError: it does not fit.
        """
        if len(content) > self._capacity:
            raise ValueError(f"{len(content)} bytes, room for {self._capacity}")
        other = 1 - self._memory[self._offset] % 2
        begin = self._begin(other)
        SLOT.pack_into(self._memory, begin, zlib.crc32(content), len(content))
        self._memory[begin + SLOT.size : begin + SLOT.size + len(content)] = content
        self._memory[self._offset] = other

    def read(self) -> bytes:
        """What was written last; empty if nothing was, or if it changes too fast to be read."""
        for _ in range(READ_ATTEMPTS):
            begin = self._begin(self._memory[self._offset] % 2)
            checksum, size = SLOT.unpack_from(self._memory, begin)
            if size <= self._capacity:
                content = self._memory[begin + SLOT.size : begin + SLOT.size + size]
                if zlib.crc32(content) == checksum:
                    return content
        return b""

    def _begin(self, slot: int) -> int:
        return self._offset + 8 + slot * (SLOT.size + self._capacity)


class Notice:
    """What the board says of one legion."""

    def __init__(self, memory: mmap.mmap, offset: int, scrolls: int) -> None:
        offset += NAME_SIZE
        self._standing = Record(memory, offset, STANDING.size)
        offset += Record.size(STANDING.size)
        self._scrolls = Record(memory, offset, scrolls)
        offset += Record.size(scrolls)
        self._stats = Record(memory, offset, MAX_STATS)

    @property
    def standing(self) -> Standing:
        """Where this node stands."""
        content = self._standing.read()
        return Standing(*STANDING.unpack(content)) if content else Standing()

    @standing.setter
    def standing(self, standing: Standing) -> None:
        self._standing.write(STANDING.pack(standing.until, standing.term, standing.since))

    @property
    def scrolls(self) -> Scrolls:
        """The texts of the nodes."""
        parts: list[bytes] = []
        content = self._scrolls.read()
        has_lord, content = content[:1], content[1:]
        while content:
            (size,) = LENGTH.unpack_from(content)
            parts.append(content[LENGTH.size : LENGTH.size + size])
            content = content[LENGTH.size + size :]
        lord = parts.pop(0) if has_lord == b"\1" else None
        return Scrolls(lord, tuple(parts))

    @scrolls.setter
    def scrolls(self, scrolls: Scrolls) -> None:
        parts = list(scrolls.all) if scrolls.lord is None else [scrolls.lord, *scrolls.all]
        packed = b"".join(LENGTH.pack(len(part)) + part for part in parts)
        self._scrolls.write(bytes([scrolls.lord is not None]) + packed)

    @property
    def stats(self) -> bytes:
        """The legion's part of the statistics, a JSON object; empty before the first."""
        return self._stats.read()

    @stats.setter
    def stats(self, text: bytes) -> None:
        self._stats.write(text)


class Board:
    """The notices by name."""

    def __init__(self, fd: int, *, writable: bool = False) -> None:
        """Map the board in the memory file ``fd``, which stays open.

        Raises:
            ValueError: that is no board.
        """
        size = os.fstat(fd).st_size
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        memory = mmap.mmap(fd, size, access=access) if size >= HEAD.size else None
        if memory is None or memory[: len(MAGIC)] != MAGIC:
            raise ValueError(f"descriptor {fd} is no board of legions")
        _, count, area = HEAD.unpack_from(memory)
        rest = area - NAME_SIZE - Record.size(STANDING.size) - Record.size(MAX_STATS)
        scrolls = (rest - Record.size(0)) // 2
        self.notices: dict[str, Notice] = {}
        for number in range(count):
            offset = HEAD.size + number * area
            name = memory[offset + 1 : offset + 1 + memory[offset]]
            self.notices[name.decode("utf-8", "replace")] = Notice(memory, offset, scrolls)


class Lords:
    """Of which legions this node is the lord, for whoever has the board's descriptor.

    ``fd`` None: there is no board, for there are no legions.
    """

    def __init__(self, fd: int | None) -> None:
        self._notices = {} if fd is None else Board(fd).notices

    def is_lord(self, legion: str) -> bool:
        """Whether this node may act as lord at this moment; False if there is no such legion."""
        notice = self.notice(legion)
        return notice is not None and notice.standing.is_lord

    def notice(self, legion: str) -> Notice | None:
        """What the board says of a legion; None if there is no such legion."""
        return self._notices.get(legion)

    def environ(self, legion: str) -> dict[str, str]:
        """What commands are told that only the lord of a legion runs."""
        notice = self.notice(legion)
        term = 0 if notice is None else notice.standing.term
        return {"UWGATE_LEGION_NAME": legion, "UWGATE_LEGION_TERM": str(term)}

    def statistics(self) -> list[bytes]:
        """What each legion's part of the statistics is, a JSON object; in order."""
        return [text for one in self._notices.values() if (text := one.stats)]


def make_board(names: Sequence[str], *, scroll: int, scrolls: int) -> int:
    """A new board in a memory file; returns its descriptor, which may be written to.

    ``scroll`` is the longest text of a node, ``scrolls`` the most of all together, in bytes.
    """
    room = 1 + LENGTH.size + scroll + scrolls
    area = NAME_SIZE + Record.size(STANDING.size) + Record.size(room) + Record.size(MAX_STATS)
    fd = os.memfd_create("uwgate-legion", os.MFD_CLOEXEC)
    os.truncate(fd, HEAD.size + len(names) * area)
    with mmap.mmap(fd, HEAD.size + len(names) * area) as memory:
        HEAD.pack_into(memory, 0, MAGIC, len(names), area)
        for number, name in enumerate(names):
            encoded = name.encode()[:MAX_NAME]
            offset = HEAD.size + number * area
            memory[offset : offset + 1 + len(encoded)] = bytes([len(encoded)]) + encoded
    os.fchmod(fd, 0o600)  # who is given a read-only descriptor cannot open it for writing
    return fd


def open_for_reading(fd: int) -> int:
    """Another descriptor of the board ``fd``, through which nothing can be written."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
