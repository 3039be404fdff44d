"""What is sent: a status, header fields, and pieces of a body."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from uwgate.files.disk import OpenFile

Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of the plan's file, for ``os.sendfile``.

    The file may have become shorter: who gets to its end too early breaks the connection off.
    """

    descriptor: int
    offset: int
    length: int


Piece = bytes | Extent


@dataclass(slots=True)
class Plan:
    """An answer. Whoever has it closes it when the pieces are sent, or will not be.

    ``fields`` are without Date, Server and Connection. ``length``: of all pieces, in bytes; it is
    what Content-Length says, but for HEAD, 304 and the like, which have no pieces.
    """

    status: int
    fields: tuple[Field, ...]
    pieces: tuple[Piece, ...] = ()
    file: OpenFile | None = None

    @property
    def length(self) -> int:
        """The bytes of the body."""
        return sum(
            piece.length if isinstance(piece, Extent) else len(piece) for piece in self.pieces
        )

    def field(self, name: bytes) -> bytes | None:
        """The value of a field; ``name`` is as it is sent."""
        return next((value for one, value in self.fields if one == name), None)

    def close(self) -> None:
        """Close the file; a second time it does nothing."""
        if self.file is not None:
            self.file.close()


@contextmanager
def closing_on_error(file: OpenFile | Plan) -> Iterator[None]:
    """Close a file, or a plan's, if the block, which was to hand it on, fails."""
    try:
        yield
    except BaseException:
        file.close()
        raise
