"""Files that rules want to be sent: opened and read in threads, as a disk may take its time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import trio

from uwgate.files.answer import Answerer
from uwgate.files.disk import ForbiddenError, OpenFile, RealDisk
from uwgate.files.finder import Finder, Found, Refused
from uwgate.files.mapping import problem_of
from uwgate.files.plan import Extent, Field, Piece, Plan
from uwgate.files.request import Request
from uwgate.files.rules import StaticRules
from uwgate.routing.results import ServeFile, ServeStatic

THREADS = 8  # that wait for disks at a time; others wait for them
PIECE = 262144  # bytes read at a time


class NoFileError(Exception):
    """Nothing can be sent; ``status`` is the answer."""

    def __init__(self, reason: str, status: int = 404) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Sending:
    """A plan with the whole status line, and whether a transformation may see its body."""

    plan: Plan
    reason: bytes | None = None  # None: the usual one
    by_kernel: bool = False


class RuleFiles:
    """Opens what rules name. Whoever gets a Sending closes its plan."""

    def __init__(self, rules: StaticRules) -> None:
        disk = RealDisk()
        self.types = rules.types
        self._rules = rules
        self._disk = disk
        self._finder = Finder(rules, disk)
        self._answerer = Answerer(rules, disk)
        self._threads = trio.CapacityLimiter(THREADS)

    async def open(self, wanted: ServeStatic | ServeFile, request: Request, now: float) -> Sending:
        """Open a file for a request, at a time in seconds since the epoch.

        Raises:
            NoFileError: it is not there, or not to be sent.
        """
        opened: list[Sending] = []

        def work() -> None:
            if isinstance(wanted, ServeStatic):
                opened.append(self._open_static(wanted, request, now))
            else:
                opened.append(self._open_file(wanted, request))

        try:
            # Not abandoned: an open file whose thread nobody waits for would never be closed.
            await trio.to_thread.run_sync(work, limiter=self._threads)
        except OSError as error:
            raise NoFileError(f"{_shown(wanted.path)}: {error.strerror}", 503) from error
        except trio.Cancelled:
            for one in opened:
                one.plan.close()
            raise
        return opened[0]

    def _open_static(self, wanted: ServeStatic, request: Request, now: float) -> Sending:
        problem = problem_of(wanted.path)
        if problem is not None:
            raise _absent(wanted.path, Refused(wanted.path, problem))
        found = self._finder.find_by_rule(wanted.path, wanted.root)
        if not isinstance(found, Found):
            raise _absent(wanted.path, found)
        return Sending(self._answerer.answer(found, request, now), by_kernel=True)

    def _open_file(self, wanted: ServeFile, request: Request) -> Sending:
        """The bytes of a file, whatever the method: rules decide that."""
        bases = None if wanted.root is None else (wanted.root, *self._rules.safe)
        try:
            file = self._disk.open_named(wanted.path, bases, links=self._rules.links)
        except ForbiddenError as error:
            raise _absent(wanted.path, Refused(wanted.path, str(error))) from error
        if file is None or not file.is_file:
            if file is not None:
                file.close()
            raise _absent(wanted.path, None)
        code, _, reason = wanted.status.partition(b" ")
        pieces: tuple[Piece, ...] = ()
        if file.size and request.method != b"HEAD":
            pieces = (Extent(file.descriptor, 0, file.size),)
        plan = Plan(int(code), tuple(self._fields(wanted, file)), pieces, file)
        return Sending(plan, reason or None, wanted.by_kernel)

    def _fields(self, wanted: ServeFile, file: OpenFile) -> Iterator[Field]:
        if not wanted.with_headers:
            return
        if wanted.with_length or wanted.by_kernel:
            yield b"Content-Length", b"%d" % file.size
        found = self.types.type_of(file.path) if wanted.mime else None
        yield b"Content-Type", found or wanted.content_type


class PlanReader:
    """Reads the body of a plan in order, as ``Exchange.read`` does."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pieces = list(reversed(plan.pieces))
        self._at = 0  # bytes of the piece that have been read

    async def read(self) -> tuple[bytes, bool]:
        """Some bytes, and whether that was the end.

        Raises:
            OSError: the file became shorter, or cannot be read.
        """
        if not self._pieces:
            return b"", True
        piece = self._pieces[-1]
        if not isinstance(piece, Extent):
            self._pieces.pop()
            return piece, not self._pieces
        size = min(PIECE, piece.length - self._at)
        descriptor = os.dup(piece.descriptor)  # the plan may be closed while a thread reads
        try:
            data = await trio.to_thread.run_sync(
                os.pread, descriptor, size, piece.offset + self._at
            )
        finally:
            os.close(descriptor)
        if not data:
            raise OSError(0, "the file became shorter while it was sent")
        self._at += len(data)
        if self._at == piece.length:
            self._pieces.pop()
            self._at = 0
        return data, not self._pieces


def _absent(path: bytes, found: Refused | None) -> NoFileError:
    if found is None:
        return NoFileError(f"there is no file {_shown(path)}")
    return NoFileError(f"{_shown(path)} is not served: {found.reason}", 403)


def _shown(path: bytes) -> str:
    return repr(path[:200].decode("latin-1"))
