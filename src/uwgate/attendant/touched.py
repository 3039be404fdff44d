"""Files whose change means something."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence


class Touched:
    """Remembers when files were changed."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._known = self._moments()

    def look(self) -> bool:
        """Whether one has changed since the last look.

        One that is gone has not: somebody may be replacing it. It counts when it is there again.
        """
        now = self._moments()
        changed = {path for path, moment in now.items() if self._known.get(path) != moment}
        self._known |= now
        return bool(changed)

    def _moments(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for path in self._paths:
            with contextlib.suppress(OSError):
                found[path] = os.stat(path).st_mtime_ns
        return found
