"""Files that a request would get: looked up as the gateway does it, and closed again."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.groups.static import StaticOptions
from uwgate.files.disk import RealDisk
from uwgate.files.finder import Finder, Found, Refused
from uwgate.files.request import Request
from uwgate.files.rules import read_rules
from uwgate.routing.results import ServeFile, ServeStatic


@dataclass(frozen=True, slots=True)
class Look:
    """What is at a path: ``path`` is the real one. ``reason``: why nothing is served from
    there, empty if it is."""

    path: bytes
    size: int = 0
    reason: str = ""

    @property
    def is_there(self) -> bool:
        """Whether a file is there that is served."""
        return not self.reason


class Files:
    """The static files of a configuration; without one those that rules name."""

    def __init__(self, options: StaticOptions | None = None) -> None:
        """Raises: ConfigError: an option cannot be used."""
        disk = RealDisk()
        rules = read_rules(options or StaticOptions(), disk)
        self._finder = Finder(rules, disk)
        self._types = rules.types
        self._has_maps = bool(rules.mappings or rules.by_document_root)

    def type_of(self, name: bytes) -> bytes:
        """The type by a file name's extension; empty if it is unknown."""
        return self._types.type_of(name) or b""

    def look(self, file: ServeStatic | ServeFile) -> Look:
        """Look at a file that a rule wants to serve; nothing of it is read."""
        try:
            found = self._finder.find_by_rule(file.path, file.root)
        except OSError as error:
            return Look(file.path, reason=error.strerror or str(error))
        return _look(found, file.path)

    def mapped(self, variables: dict[bytes, bytes]) -> Look | None:
        """The file that static maps have for a request; None: none of them is about it."""
        if not self._has_maps:
            return None
        request = Request(
            method=variables.get(b"REQUEST_METHOD", b""),
            path=variables.get(b"PATH_INFO", b""),
            document_root=variables.get(b"DOCUMENT_ROOT"),
        )
        try:
            found = self._finder.find(request, 0.0)
        except OSError as error:
            return Look(request.path, reason=error.strerror or str(error))
        return None if found is None else _look(found, request.path)


def _look(found: Found | Refused | None, path: bytes) -> Look:
    match found:
        case Found(file):
            file.close()
            return Look(file.path, file.size)
        case Refused(reason=reason):
            return Look(path, reason=reason)
        case _:
            return Look(path, reason="there is no such file")
