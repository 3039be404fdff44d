"""Which file a request is for: a path of a request, or of an application, to an open file."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from uwgate.files.disk import Disk, ForbiddenError, OpenFile
from uwgate.files.mapping import Candidate, Mapping, candidates, problem_of
from uwgate.files.request import Request
from uwgate.files.rules import StaticRules

MAX_REMEMBERED = 10_000  # paths


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file. ``path_info``: the path of the request, with the index that was chosen.

    ``before``: where it was looked for first, and nothing was; None where that is not all that
    this answer depends on. Whoever gets it closes ``file``, or hands it on.
    """

    file: OpenFile
    path_info: bytes
    before: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """There may be a file, but it is not served; for the log and to be counted.

    The request goes on as if there were none: to the application.
    """

    path: bytes
    reason: str


class Finder:
    """Finds files for requests. Calls take as long as the disk does, and wait for nothing else."""

    def __init__(self, rules: StaticRules, disk: Disk) -> None:
        self._rules = rules
        self._disk = disk
        self._remembered: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def find(self, request: Request, now: float) -> Found | Refused | None:
        """The file that a request gets without asking the application. None: there is none.

        ``now`` in seconds on any clock that does not jump.

        Raises:
            OSError: the machine cannot open it (no descriptors left, a broken disk).
        """
        rules = self._rules
        path = request.path
        if request.method not in (b"GET", b"HEAD") or path.endswith(rules.skipped):
            return None
        root = request.document_root if rules.by_document_root else None
        places = list(candidates(rules.mappings, path, root))
        if not places:
            return None
        problem = problem_of(path)
        if problem is not None:
            return Refused(path, problem)
        if rules.remember:
            self._promote(places, path, now)
        refused = None
        tried: list[bytes] = []
        for number, place in places:
            found = self._look(place, path, tried)
            if isinstance(found, Found):
                if rules.remember and len(places) > 1:
                    self._remember(path, number, now)
                    return found
                return replace(found, before=tuple(tried))
            refused = refused or found
            tried.append(place.path)
        return refused

    def find_internal(self, path: bytes) -> Found | Refused | None:
        """The file that an application names by X-Accel-Redirect: a decoded path."""
        problem = problem_of(path)
        if problem is not None:
            return Refused(path, problem)
        return self._first(self._rules.internal, path)

    def find_named(self, path: bytes) -> Found | Refused | None:
        """The file that an application names by X-Sendfile: an absolute path.

        It has to be in one of the directories that are served, or safe.
        """
        rules = self._rules
        mappings = (*rules.mappings, *rules.internal)
        bases = tuple(dict.fromkeys((*rules.safe, *(one.root for one in mappings))))
        problem = problem_of(path)
        if problem is None and not path.startswith(b"/"):
            problem = "no absolute path"
        if problem is not None:
            return Refused(path, problem)
        return self._named(path, bases)

    def find_by_rule(self, path: bytes, root: bytes | None = None) -> Found | Refused | None:
        """The file that a rule of the operator names; in ``root`` if there is one."""
        if b"\0" in path or not path:
            return Refused(path, "no path of a file")
        below = self._below
        return self._named(below(path), None if root is None else (below(root), *self._rules.safe))

    def _below(self, path: bytes) -> bytes:
        folder = self._rules.folder
        return path if not folder or path.startswith(b"/") else folder + b"/" + path

    def _named(self, path: bytes, bases: tuple[bytes, ...] | None) -> Found | Refused | None:
        try:
            file = self._disk.open_named(path, bases, links=self._rules.links)
        except ForbiddenError as error:
            return Refused(path, str(error))
        return None if file is None else self._usable(file, path)

    def _first(self, mappings: tuple[Mapping, ...], path: bytes) -> Found | Refused | None:
        refused = None
        for _, place in candidates(mappings, path, None):
            found = self._look(place, path, [])
            if isinstance(found, Found):
                return found
            refused = refused or found
        return refused

    def _look(self, place: Candidate, path: bytes, tried: list[bytes]) -> Found | Refused | None:
        """What is at one place, or an index of it. ``tried`` gets indexes that are not there."""
        found = self._open(place, path)
        if not isinstance(found, OpenFile):
            return found
        if not found.is_directory:
            return self._usable(found, path)
        found.close()
        refused = None
        for index in self._rules.indexes:
            below = path.rstrip(b"/") + b"/" + index
            inside = place.inside.rstrip(b"/") + b"/" + index
            candidate = Candidate(place.root, inside.lstrip(b"/"))
            file = self._open(candidate, below)
            if isinstance(file, OpenFile):
                if file.is_file:
                    return self._usable(file, below)
                file.close()
            else:
                refused = refused or file
            tried.append(candidate.path)
        return refused

    def _open(self, place: Candidate, path: bytes) -> OpenFile | Refused | None:
        rules = self._rules
        try:
            return self._disk.open(place.root, place.inside, safe=rules.safe, links=rules.links)
        except ForbiddenError as error:
            return Refused(path, str(error))

    def _usable(self, file: OpenFile, path: bytes) -> Found | None:
        skipped = self._rules.skipped
        if file.is_file and not file.path.endswith(skipped) and not path.endswith(skipped):
            return Found(file, path)
        file.close()
        return None

    def _promote(self, places: list[tuple[int, Candidate]], path: bytes, now: float) -> None:
        """Put the place where the path was found lately before the others."""
        number, until = self._remembered.get(path, (0, 0.0))
        if until > now:
            places.sort(key=lambda place: place[0] != number)

    def _remember(self, path: bytes, number: int, now: float) -> None:
        self._remembered.pop(path, None)  # behind all others; several threads may be here
        self._remembered[path] = (number, now + self._rules.remember)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
