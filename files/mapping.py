"""Where a path's file may be: candidates, in the order of uWSGI (spec part B2).

Unlike there a prefix ends where a segment does, so that ``/m=/srv/docs`` is not asked for
``/m../docs2``; and a path with ``..`` or a NUL byte is no file's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place to look: ``inside`` is a path in ``root``, without a slash in front."""

    root: bytes
    inside: bytes

    @property
    def path(self) -> bytes:
        """Both together."""
        return self.root.rstrip(b"/") + b"/" + self.inside


@dataclass(frozen=True, slots=True)
class Mapping:
    """Paths below a prefix, and the directory (or file) that they are in.

    ``prefix`` has no slash at its end; empty: every path. ``whole``: the prefix is a part of the
    path in the directory as well (``static-map2``, ``check-static``).
    """

    prefix: bytes
    root: bytes
    whole: bool = False

    def candidate(self, path: bytes) -> Candidate | None:
        """Where the path is; None: not here."""
        if not path.startswith(self.prefix):
            return None
        rest = path[len(self.prefix) :]
        if rest and not rest.startswith(b"/"):
            return None
        return Candidate(self.root, (path if self.whole else rest).lstrip(b"/"))


def candidates(
    mappings: tuple[Mapping, ...], path: bytes, document_root: bytes | None
) -> Iterator[tuple[int, Candidate]]:
    """The places where a path may be, each with the number of its mapping."""
    for number, mapping in enumerate(mappings):
        found = mapping.candidate(path)
        if found is not None:
            yield number, found
    if document_root:
        yield len(mappings), Candidate(document_root, path.lstrip(b"/"))


def problem_of(path: bytes) -> str | None:
    """Why a path is no file's, whatever is on the disk; None: it may be."""
    if b"\0" in path:
        return "a NUL byte in the path"
    if b".." in path.split(b"/"):
        return "a path that leads up"
    return None
