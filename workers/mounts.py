"""Which application serves which path."""

from __future__ import annotations

from typing import Any


class Mounted:
    """One application; ``number`` counts from 0, ``requests`` those that it got here."""

    __slots__ = ("call", "number", "point", "requests")

    def __init__(self, number: int, point: str, call: Any) -> None:
        self.number = number
        self.point = point
        self.call = call
        self.requests = 0


class Mounts:
    """Applications by mount point. The empty mount point is the default application.

    Without one the first application with a mount point serves the paths that match none,
    as in uWSGI, unless ``default_allowed`` is False.
    """

    def __init__(self, *, default_allowed: bool) -> None:
        self._all: list[Mounted] = []
        self._prefixed: list[Mounted] = []  # longest mount point first
        self._default: Mounted | None = None
        self._default_allowed = default_allowed

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Any:
        return iter(self._all)

    def add(self, point: str, call: Any) -> None:
        """Mount an application at a path; ``/`` is the same as the empty one."""
        point = point.rstrip("/")
        mounted = Mounted(len(self._all), point, call)
        self._all.append(mounted)
        if not point:
            self._default = mounted
        else:
            self._prefixed.append(mounted)
            self._prefixed.sort(key=lambda one: len(one.point), reverse=True)
            if self._default is None:
                self._default = mounted

    def find(self, environ: dict[str, Any]) -> Mounted | None:
        """The application for a request, None if there is none; splits PATH_INFO for it.

        UWSGI_APPID names one by its mount point, and then nothing is split.
        """
        if not self._prefixed:
            return self._default if self._default_allowed else None
        chosen = environ.get("UWSGI_APPID")  # by a rule (setapp)
        if chosen:
            for mounted in self._all:
                if mounted.point == chosen.rstrip("/"):
                    return mounted
        script = environ.get("SCRIPT_NAME", "")
        path = environ.get("PATH_INFO", "")
        if script:  # a front-end has split the path already
            for mounted in self._prefixed:
                if mounted.point == script.rstrip("/"):
                    return mounted
        else:
            for mounted in self._prefixed:
                point = mounted.point
                if path.startswith(point) and path[len(point) : len(point) + 1] in ("", "/"):
                    environ["SCRIPT_NAME"] = point
                    environ["PATH_INFO"] = path[len(point) :]
                    return mounted
        return self._default if self._default_allowed else None
