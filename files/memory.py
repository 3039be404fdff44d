"""Small files that are kept in memory, and the answers that were made of them.

Nothing is believed: what is at a path, and what is not at those that come before it, is asked of
the disk for every request. A file that has changed less than a second ago is not kept, because it
may change once more without a change of its time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from uwgate.files.answer import GRAIN_NS
from uwgate.files.disk import Disk
from uwgate.files.finder import Found

MAX_FILE = 65536  # bytes of a file that is kept
OVERHEAD = 1024  # bytes that an entry takes besides its file
MAX_ANSWERS = 8  # to different wishes, of one file

# What of a request decides about the answer: the method and the fields that matter.
Wishes = tuple[bytes, tuple[tuple[bytes, bytes], ...]]


@dataclass(slots=True)
class Whole:
    """A whole answer: ``head`` and ``flags`` as in ``gateways/wire/lease``."""

    flags: int
    head: bytes
    body: bytes


@dataclass(slots=True)
class Kept:
    """A file without its descriptor, and its bytes.

    ``answers`` are good in the second that they were made in: dates are in them.
    """

    found: Found
    body: bytes
    size: int
    second: int = 0
    answers: dict[Wishes, Whole] = field(default_factory=dict)


class Memory:
    """Kept files by the path of the request; the one that was asked for longest ago goes first.

    ``limit``: bytes of all together.
    """

    def __init__(self, limit: int, disk: Disk) -> None:
        self.size = 0
        self._limit = limit
        self._disk = disk
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def get(self, path: bytes) -> Kept | None:
        """What is kept of the file that a path is for, if that is still so."""
        kept = self._kept.get(path)
        if kept is None:
            return None
        found = kept.found
        disk = self._disk
        if disk.stamp(found.file.place) == found.file.stamp and (
            not found.before or all(map(disk.is_absent, found.before))
        ):
            self._kept.move_to_end(path)
            return kept
        self._drop(path)
        return None

    def answer(self, kept: Kept, wishes: Wishes, second: int) -> Whole | None:
        """An answer that was made in this very second."""
        if kept.second != second:
            kept.second = second
            self._forget_answers(kept)
        return kept.answers.get(wishes)

    def add_answer(self, kept: Kept, wishes: Wishes, whole: Whole) -> None:
        """Remember an answer that was made in ``kept.second``."""
        if not kept.size:  # it has gone meanwhile
            return
        if len(kept.answers) >= MAX_ANSWERS:
            self._forget_answers(kept)
        if whole.body is not kept.body:
            kept.size += len(whole.body)
            self.size += len(whole.body)
        kept.answers[wishes] = whole
        self._make_room()

    def keep(self, path: bytes, found: Found, body: bytes, now: float) -> Kept | None:
        """Keep a file that was just read; None: it is not worth it, or not certain enough.

        ``now`` in seconds since the epoch. The file is not closed.
        """
        file = found.file
        latest = max(file.stamp[3:])
        size = len(body) + OVERHEAD
        if (
            found.before is None
            or not file.place
            or len(body) > MAX_FILE
            or size > self._limit
            or len(body) != file.size
            or not 0 <= latest < int(now * 1_000_000_000) - GRAIN_NS
        ):
            return None
        self._drop(path)
        kept = Kept(replace(found, file=replace(file, descriptor=-1)), body, size)
        self._kept[path] = kept
        self.size += size
        self._make_room()
        return kept

    def _forget_answers(self, kept: Kept) -> None:
        more = sum(len(one.body) for one in kept.answers.values() if one.body is not kept.body)
        kept.size -= more
        self.size -= more
        kept.answers.clear()

    def _make_room(self) -> None:
        while self.size > self._limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, path: bytes) -> None:
        kept = self._kept.pop(path, None)
        if kept is not None:
            self.size -= kept.size
            kept.size = 0
