"""Files in answers that rules see: those that rules name, and those of the static options."""

from __future__ import annotations

import os
from dataclasses import dataclass

from uwgate.files.disk import NotCachedError
from uwgate.files.mapping import problem_of
from uwgate.files.memory import Whole
from uwgate.files.plan import Extent, Plan
from uwgate.files.resident import ShortenedError, is_resident
from uwgate.gateways.exchange import Request
from uwgate.gateways.files.head import head_of
from uwgate.gateways.files.library import Library, Reply, status_of
from uwgate.gateways.routed.head import split_head
from uwgate.routing.results import ServeFile, ServeStatic
from uwgate.routing.transaction import Header

PIECE = 65536  # bytes read at a time


class NoFileError(Exception):
    """Nothing can be sent; ``status`` is the answer."""

    def __init__(self, reason: str, status: int = 404) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class FileAnswer:
    """A file that is to be sent. ``plan`` is None where ``body`` is all of it.

    ``by_kernel``: no transformation sees it. Whoever has it closes it.
    """

    status: int
    reason: bytes
    headers: list[Header]
    body: bytes
    plan: Plan | None
    by_kernel: bool = False

    def close(self) -> None:
        """Close the file; a second time it does nothing."""
        if self.plan is not None:
            self.plan.close()


class RuleFiles:
    """Finds and opens files."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.are_mapped = library.is_asked  # any request may be for a file
        self.mime_type = library.rules.types.type_of

    def is_none(self, request: Request) -> bool:
        """Whether a request is for no file of the static options; False: it may be for one."""
        try:
            found = self._library.look(request)
        except (NotCachedError, OSError):
            return False
        if isinstance(found, Plan):
            found.close()
        return found is None

    async def find(self, request: Request) -> FileAnswer | None:
        """The file of the static options that a request is for.

        Raises:
            NoFileError: the machine cannot open it.
        """
        try:
            try:
                found = self._library.look(request)
            except NotCachedError:
                found = await self._library.find(request)
        except OSError as error:
            raise NoFileError(str(error.strerror), status_of(error)) from error
        return None if found is None else _answer(found, request)

    async def open(self, wanted: ServeStatic | ServeFile, request: Request) -> FileAnswer:
        """A file that a rule names.

        Raises:
            NoFileError: it is not there, or not to be sent.
        """
        path, name = wanted.path, repr(wanted.path[:200].decode("latin-1"))
        try:
            if isinstance(wanted, ServeStatic):
                problem = problem_of(path)
                if problem is not None:
                    raise NoFileError(f"{name}: {problem}", 403)
                found = await self._library.serve_static(request, path, wanted.root)
            else:
                found = await self._library.serve_bytes(
                    request,
                    path,
                    status=int(wanted.status[:3]),
                    content_type=wanted.content_type if wanted.with_headers else None,
                    mime=wanted.mime and wanted.with_headers,
                    root=wanted.root,
                )
        except OSError as error:
            raise NoFileError(f"{name}: {error.strerror}", status_of(error)) from error
        if found is None:
            raise NoFileError(f"{name}: there is no such file, or it is not to be served")
        answer = _answer(found, request)
        if isinstance(wanted, ServeFile):
            answer.by_kernel = wanted.by_kernel
            answer.reason = wanted.status[4:] or answer.reason
            if not wanted.with_length and not wanted.by_kernel:
                answer.headers = [one for one in answer.headers if one[0] != b"Content-Length"]
        return answer

    def reader(self, plan: Plan) -> PlanReader:
        """Reads the body of a plan."""
        return PlanReader(plan, self._library)


class PlanReader:
    """Reads the body of a plan in order, as ``Exchange.read`` does."""

    def __init__(self, plan: Plan, library: Library) -> None:
        self._library = library
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
        descriptor, offset = piece.descriptor, piece.offset + self._at
        size = min(PIECE, piece.length - self._at)
        if not is_resident(descriptor, offset, size):
            await self._library.bring_in(descriptor, offset, size)
        data = os.pread(descriptor, size, offset)
        if not data:
            raise ShortenedError
        self._at += len(data)
        if self._at == piece.length:
            self._pieces.pop()
            self._at = 0
        return data, not self._pieces


def _answer(found: Reply, request: Request) -> FileAnswer:
    if isinstance(found, Whole):
        return FileAnswer(*split_head(found.head), found.body, None)
    _, head = head_of(found, request.method)
    if found.pieces:
        return FileAnswer(*split_head(head), b"", found)
    found.close()
    return FileAnswer(*split_head(head), b"", None)
