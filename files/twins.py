"""Compressed twins of files: ``a.css.gz`` beside ``a.css``, sent to whom accepts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from uwgate.files.disk import Disk, ForbiddenError, OpenFile, is_inside
from uwgate.gateways.wire.coding import choose
from uwgate.routing.regexp.pattern import Pattern, SubjectTooLongError

SUFFIXES = {b"br": b".br", b"zstd": b".zst", b"gzip": b".gz"}  # the smallest first


@dataclass(frozen=True, slots=True)
class TwinRules:
    """Whose twins are looked for, by the real path."""

    all: bool = False
    directories: tuple[bytes, ...] = ()
    suffixes: tuple[bytes, ...] = ()
    patterns: tuple[Pattern, ...] = field(default=(), repr=False)

    def select(self, path: bytes) -> bool:
        """Whether a file may have twins."""
        if self.all or path.endswith(self.suffixes):
            return True
        return any(is_inside(path, one) for one in self.directories) or any(
            _found(one, path) for one in self.patterns
        )


def open_twin(
    disk: Disk, file: OpenFile, accept: bytes, *, safe: Sequence[bytes], links: bool
) -> tuple[bytes, OpenFile] | None:
    """The coding that the client likes best of those there are, and the open twin.

    None: the file itself is to be sent. A twin that leads elsewhere counts as absent.
    """
    offered = dict(SUFFIXES)
    while offered and (coding := choose(accept, offered)) is not None:
        suffix = offered.pop(coding)
        try:
            twin = disk.open(file.root, file.inside + suffix, safe=safe, links=links)
        except ForbiddenError:
            continue
        if twin is None:
            continue
        if twin.is_file:
            return coding, twin
        twin.close()
    return None


def _found(pattern: Pattern, path: bytes) -> bool:
    try:
        return pattern.search(path) is not None
    except SubjectTooLongError:
        return False
